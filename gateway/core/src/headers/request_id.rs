//! The id under which one request is found in every log.
//!
//! Decides whether a given id is taken over, and how a fresh one is written. The time and the random bits of a
//! fresh id are handed in.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::{HeadEdit, Trust};

/// `X-Request-Id`.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken over.
const ID_BYTES_MAX: usize = 128;
/// Bytes of a UUID in text.
const UUID_BYTES: usize = 36;

/// An id of 1 to 128 characters out of `A-Z a-z 0-9 - _ . ~ : + / = @`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(SmallVec<[u8; UUID_BYTES]>);

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
        is_sound.then(|| Self(SmallVec::from_slice(bytes)))
    }

    /// A UUID version 7 (RFC 9562 §5.7) of `unix_ms` milliseconds since 1970 and 74 of the random bits.
    #[must_use]
    pub fn fresh(unix_ms: u64, random: [u64; 2]) -> Self {
        let [first, second] = random;
        let high = (unix_ms << 16) | 0x7000 | (first & 0x0fff);
        let low = (second & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
        let mut text = SmallVec::new();
        for (idx, byte) in high.to_be_bytes().into_iter().chain(low.to_be_bytes()).enumerate() {
            if matches!(idx, 4 | 6 | 8 | 10) {
                text.push(b'-');
            }
            text.extend(super::trace_context::hex_pair(byte));
        }
        Self(text)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII gets in by either constructor.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Makes this the head's only request id.
    pub fn write(&self, head: &mut impl HeadEdit) {
        if let Ok(value) = HeaderValue::from_bytes(&self.0) {
            head.set(X_REQUEST_ID, value);
        }
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
