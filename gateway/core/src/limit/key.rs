//! What a request is counted under.
//!
//! Decides which requests share a bucket. Never keeps a key: buckets are found by a keyed
//! fingerprint of fixed size, so an address costs no allocation and a megabyte of header value
//! costs as much memory as a byte.

use std::fmt;
use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip128::{Hasher128, SipHasher13};

/// A key as the request shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitKey<'a> {
    /// A client's address. IPv6 addresses count by their /64, the least that a network hands to
    /// one subscriber (RFC 6177); IPv4 addresses mapped into IPv6 count as IPv4.
    Ip(IpAddr),
    /// A consumer's name or a header's value, byte for byte.
    Text(&'a [u8]),
    /// Everything together.
    Whole,
}

/// The secret of the fingerprints; uniform random bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LimitSeed(pub [u64; 2]);

/// 128 bits of SipHash-1-3 (Aumasson and Bernstein, 2012): among a million keys two share one with
/// a probability below 2^-88, and without the seed nobody can make two that do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint {
    pub(super) high: u64,
    pub(super) low: u64,
}

impl LimitKey<'_> {
    pub(super) fn fingerprint(&self, LimitSeed([k0, k1]): LimitSeed) -> Fingerprint {
        let mut hasher = SipHasher13::new_with_keys(k0, k1);
        // The first byte keeps keys of different kinds apart.
        match self {
            Self::Ip(address) => match address.to_canonical() {
                IpAddr::V4(address) => {
                    hasher.write_u8(4);
                    hasher.write(&address.octets());
                }
                IpAddr::V6(address) => {
                    hasher.write_u8(6);
                    hasher.write_u64((address.to_bits() >> 64) as u64);
                }
            },
            Self::Text(text) => {
                hasher.write_u8(1);
                hasher.write(text);
            }
            Self::Whole => hasher.write_u8(0),
        }
        let hash = hasher.finish128();
        Fingerprint { high: hash.h1, low: hash.h2 }
    }
}

impl fmt::Debug for LimitSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LimitSeed(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &LimitKey<'_>, b: &LimitKey<'_>) -> bool {
        a.fingerprint(LimitSeed([1, 2])) == b.fingerprint(LimitSeed([1, 2]))
    }

    fn ip(text: &str) -> LimitKey<'static> {
        LimitKey::Ip(text.parse().unwrap())
    }

    #[test]
    fn addresses_of_one_subscriber_are_one_key() {
        assert!(same(&ip("2001:db8:1:2::1"), &ip("2001:db8:1:2:ffff:ffff:ffff:ffff")));
        assert!(same(&ip("::ffff:192.0.2.7"), &ip("192.0.2.7")));
        assert!(!same(&ip("2001:db8:1:2::1"), &ip("2001:db8:1:3::1")));
        assert!(!same(&ip("::ffff:192.0.2.7"), &ip("192.0.2.8")));
    }

    #[test]
    fn keys_of_different_kinds_are_different() {
        let bytes = [192, 0, 2, 7];
        assert!(!same(&LimitKey::Text(&bytes), &ip("192.0.2.7")));
        assert!(!same(&LimitKey::Text(b""), &LimitKey::Whole));
        assert!(!same(&LimitKey::Text(b"a"), &LimitKey::Text(b"A")));
    }

    #[test]
    fn another_seed_gives_other_fingerprints_and_is_not_printed() {
        let key = ip("192.0.2.7");
        assert_ne!(key.fingerprint(LimitSeed([1, 2])), key.fingerprint(LimitSeed([1, 3])));
        assert_eq!(format!("{:?}", LimitSeed([12_345, 6])), "LimitSeed(***)");
    }
}
