//! API keys: a random secret in a header field, known here only by its SHA-256.
//!
//! A fast hash is right because a key is at least 128 random bits, which nobody can search; a slow one would let
//! anybody burn our CPU. The compare takes the same time whether a key is known or not (T2), and no key text is kept,
//! logged or returned.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

use super::refusal::Wanted;
use super::{AuthRefusal, Credential, Identity};

/// The longest key a client may present, in bytes.
pub const KEY_BYTES_MAX: usize = 512;

/// Where keys are looked for unless the configuration says otherwise.
pub const DEFAULT_HEADER: HeaderName = HeaderName::from_static("x-api-key");

/// The SHA-256 of an API key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyDigest([u8; 32]);

/// A text that is not a SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a sha256 is 64 hexadecimal digits")]
pub struct NotADigest;

impl KeyDigest {
    /// The digest of a key.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// A digest from its 64 hexadecimal digits, in either case.
    ///
    /// # Errors
    /// [`NotADigest`] for anything else.
    pub fn from_hex(text: &str) -> Result<Self, NotADigest> {
        let mut digest = [0; 32];
        hex::decode_to_slice(text, &mut digest).map_err(|_| NotADigest)?;
        Ok(Self(digest))
    }

    /// The first eight bytes: uniform for any set of keys, so they serve to find a bucket.
    fn bucket(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(…)")
    }
}

/// Two consumers have the same key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("consumers `{first}` and `{second}` have the same api key")]
pub struct SharedKey {
    /// The consumer that had it first.
    pub first: Arc<str>,
    /// The consumer that has it too.
    pub second: Arc<str>,
}

/// Every configured key, with the consumer it belongs to. One table serves all gates of a snapshot.
#[derive(Default)]
pub struct ApiKeys {
    buckets: BTreeMap<u64, Vec<(KeyDigest, Arc<Identity>)>>,
}

impl ApiKeys {
    /// The table of these keys. A consumer may have several keys, and name one twice.
    ///
    /// # Errors
    /// [`SharedKey`] if a key belongs to two consumers.
    pub fn new(keys: impl IntoIterator<Item = (KeyDigest, Arc<str>)>) -> Result<Self, SharedKey> {
        let mut table = Self::default();
        for (digest, consumer) in keys {
            let bucket = table.buckets.entry(digest.bucket()).or_default();
            match bucket.iter().find(|(other, _)| *other == digest) {
                Some((_, owner)) if owner.subject == consumer => {}
                Some((_, owner)) => {
                    return Err(SharedKey { first: owner.subject.clone(), second: consumer });
                }
                None => bucket.push((digest, Arc::new(consumer_identity(consumer)))),
            }
        }
        Ok(table)
    }

    /// The owner of a key with this digest. Does one full compare at least, found or not.
    fn find(&self, digest: KeyDigest) -> Option<&Arc<Identity>> {
        let bucket = self.buckets.get(&digest.bucket()).map_or(&[][..], Vec::as_slice);
        let nobody = KeyDigest([0; 32]).0.ct_eq(&digest.0);
        let mut found = None;
        for (known, identity) in bucket {
            if bool::from(known.0.ct_eq(&digest.0)) {
                found = Some(identity);
            }
        }
        // Reading the compare with nobody's key keeps it from being left out when the bucket is empty.
        if bool::from(nobody) { None } else { found }
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeys").field("n_buckets", &self.buckets.len()).finish()
    }
}

fn consumer_identity(consumer: Arc<str>) -> Identity {
    Identity {
        subject: consumer.clone(),
        limit_key: format!("consumer {consumer}").into(),
        consumer: Some(consumer),
        credential: Credential::ApiKey,
        claims: Arc::default(),
        headers: Vec::new(),
    }
}

/// Lets a request in that presents a configured API key.
#[derive(Debug, Clone)]
pub struct ApiKeyGate {
    header: HeaderName,
    keys: Arc<ApiKeys>,
}

impl ApiKeyGate {
    /// A gate that looks for a key in `header`.
    #[must_use]
    pub const fn new(header: HeaderName, keys: Arc<ApiKeys>) -> Self {
        Self { header, keys }
    }

    /// The field the key is in. The key is for the gateway: the field should not go to the upstream.
    #[must_use]
    pub const fn header(&self) -> &HeaderName {
        &self.header
    }

    /// Who presents a key in these header fields.
    ///
    /// # Errors
    /// `Missing`, `MalformedKey` (more than one key, none, or one over [`KEY_BYTES_MAX`]) or `UnknownKey`.
    pub fn check(&self, headers: &HeaderMap) -> Result<Arc<Identity>, AuthRefusal> {
        let mut presented = headers.get_all(&self.header).iter();
        let key =
            presented.next().ok_or_else(|| AuthRefusal::Missing(Wanted::ApiKey(self.header.clone())))?;
        if presented.next().is_some() {
            return Err(AuthRefusal::MalformedKey(self.header.clone()));
        }
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(AuthRefusal::MalformedKey(self.header.clone()));
        }
        let owner = self.keys.find(KeyDigest::of(key.as_bytes()));
        owner.cloned().ok_or_else(|| AuthRefusal::UnknownKey(self.header.clone()))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn gate() -> ApiKeyGate {
        let keys = [("key-a", "mobile-app"), ("key-b", "mobile-app"), ("key-c", "partner")];
        let keys = keys.map(|(key, consumer)| (KeyDigest::of(key.as_bytes()), Arc::from(consumer)));
        ApiKeyGate::new(DEFAULT_HEADER, Arc::new(ApiKeys::new(keys).unwrap()))
    }

    fn check(keys: &[&[u8]]) -> Result<String, AuthRefusal> {
        let mut headers = HeaderMap::new();
        for key in keys {
            headers.append(DEFAULT_HEADER, HeaderValue::from_bytes(key).unwrap());
        }
        gate().check(&headers).map(|identity| identity.name().to_owned())
    }

    #[test]
    fn a_known_key_is_its_consumer() {
        assert_eq!(check(&[b"key-a"]).unwrap(), "mobile-app");
        assert_eq!(check(&[b"key-b"]).unwrap(), "mobile-app");
        assert_eq!(check(&[b"key-c"]).unwrap(), "partner");
    }

    #[test]
    fn an_unknown_key_is_refused_and_so_is_no_key() {
        assert_eq!(check(&[b"key-d"]), Err(AuthRefusal::UnknownKey(DEFAULT_HEADER)));
        assert_eq!(check(&[b"KEY-A"]), Err(AuthRefusal::UnknownKey(DEFAULT_HEADER)));
        assert_eq!(check(&[]), Err(AuthRefusal::Missing(Wanted::ApiKey(DEFAULT_HEADER))));
    }

    #[test]
    fn a_digest_presented_as_a_key_is_not_a_key() {
        let digest = hex::encode(KeyDigest::of(b"key-a").0);
        assert!(matches!(check(&[digest.as_bytes()]), Err(AuthRefusal::UnknownKey(_))));
    }

    #[test]
    fn two_keys_an_empty_one_and_one_beyond_the_bound_are_refused() {
        assert!(matches!(check(&[b"key-a", b"key-c"]), Err(AuthRefusal::MalformedKey(_))));
        assert!(matches!(check(&[b"key-a", b"key-a"]), Err(AuthRefusal::MalformedKey(_))));
        assert!(matches!(check(&[b""]), Err(AuthRefusal::MalformedKey(_))));
        assert!(matches!(check(&[&[b'a'; KEY_BYTES_MAX + 1]]), Err(AuthRefusal::MalformedKey(_))));
        assert!(matches!(check(&[&[b'a'; KEY_BYTES_MAX]]), Err(AuthRefusal::UnknownKey(_))));
    }

    #[test]
    fn keys_that_share_a_bucket_are_told_apart_by_the_whole_digest() {
        let mut twin = KeyDigest::of(b"key-a");
        twin.0[31] ^= 1;
        let keys = ApiKeys::new([(twin, Arc::from("twin"))]).unwrap();
        assert!(keys.find(KeyDigest::of(b"key-a")).is_none());
        assert_eq!(keys.find(twin).unwrap().name(), "twin");
    }

    #[test]
    fn a_key_of_two_consumers_is_refused_and_a_repeated_one_is_not() {
        let digest = KeyDigest::of(b"k");
        let shared = ApiKeys::new([(digest, "a".into()), (digest, "b".into())]).unwrap_err();
        assert_eq!(shared, SharedKey { first: "a".into(), second: "b".into() });
        assert!(ApiKeys::new([(digest, "a".into()), (digest, "a".into())]).is_ok());
    }

    #[test]
    fn a_digest_is_read_from_hex_only() {
        let hex = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
        assert_eq!(KeyDigest::from_hex(hex), Ok(KeyDigest::of(b"foo")));
        assert_eq!(KeyDigest::from_hex(&hex.to_uppercase()), Ok(KeyDigest::of(b"foo")));
        for bad in ["", "foo", &hex[1..], &format!("{hex}00")] {
            assert_eq!(KeyDigest::from_hex(bad), Err(NotADigest));
        }
    }

    #[test]
    fn debug_shows_no_digest_and_no_key() {
        let shown = format!("{:?} {:?}", gate(), KeyDigest::of(b"key-a"));
        assert!(!shown.contains("key-a") && !shown.contains(&hex::encode(KeyDigest::of(b"key-a").0)));
    }

    #[test]
    fn a_consumer_counts_under_a_key_no_subject_can_have() {
        let mut headers = HeaderMap::new();
        headers.insert(DEFAULT_HEADER, HeaderValue::from_static("key-c"));
        assert_eq!(&*gate().check(&headers).unwrap().limit_key, "consumer partner");
    }
}
