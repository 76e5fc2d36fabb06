//! The id under which one request is found in every log.
//!
//! Decides whether a given id is taken over, and how a fresh one is written. The time and the random bits of a
//! fresh id are handed in.

use std::fmt;
use std::ops::Range;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::trace_context::fill_hex;
use super::{HeadEdit, Trust};

/// `X-Request-Id`.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken over.
const ID_BYTES_MAX: usize = 128;
/// Bytes of a UUID in text.
const UUID_BYTES: usize = 36;
/// Where each group of a UUID begins in its text, and which bytes it shows (RFC 9562 §4).
const UUID_GROUPS: [(usize, Range<usize>); 5] = [(0, 0..4), (9, 4..6), (14, 6..8), (19, 8..10), (24, 10..16)];

/// An id of 1 to 128 characters out of `A-Z a-z 0-9 - _ . ~ : + / = @`.
///
/// Kept as the value of its field: it is written on the request and on the reply, and copied for neither.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The id in the request, if a trusted peer brought exactly one and it is safe to log.
    #[must_use]
    pub fn received(fields: &HeaderMap, trust: Trust) -> Option<Self> {
        if trust == Trust::Untrusted {
            return None;
        }
        let mut values = fields.get_all(X_REQUEST_ID).iter();
        let (Some(only), None) = (values.next(), values.next()) else { return None };
        let bytes = only.as_bytes();
        let is_sound = (1..=ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().copied().all(is_safe);
        is_sound.then(|| Self(only.clone()))
    }

    /// A UUID version 7 (RFC 9562 §5.7) of `unix_ms` milliseconds since 1970 and 74 of the random bits.
    #[must_use]
    pub fn fresh(unix_ms: u64, random: [u64; 2]) -> Self {
        let [first, second] = random;
        let high = (unix_ms << 16) | 0x7000 | (first & 0x0fff);
        let low = (second & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
        let mut text = [b'-'; UUID_BYTES];
        let digits = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
        for (place, bytes) in UUID_GROUPS {
            fill_hex(text.get_mut(place..), digits.get(bytes).unwrap_or_default());
        }
        // Hexadecimal digits and dashes are a value, always.
        Self(HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("-")))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII gets in by either constructor.
        std::str::from_utf8(self.0.as_bytes()).unwrap_or_default()
    }

    /// Makes this the head's only request id.
    pub fn write(&self, head: &mut impl HeadEdit) {
        head.set(X_REQUEST_ID, self.0.clone());
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({})", self.as_str())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn is_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~:+/=@".contains(&byte)
}
