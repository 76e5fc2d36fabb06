//! `Via`: which hops a request took, and whether we were one of them (RFC 9110 §7.6.3).
//!
//! Decides that a request which already names this node goes round in circles. Two nodes must not share an id.

use http::header::{HeaderMap, HeaderValue, VIA};

use super::HeadEdit;
use crate::head::{Version, is_token, list_members};
use crate::outcome::Rejection;

/// The id of this node, ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    id: Box<str>,
    http10: HeaderValue,
    http11: HeaderValue,
    http2: HeaderValue,
}

impl Via {
    /// The entry of the node `id`; `None` if it is not a token.
    #[must_use]
    pub fn new(id: &str) -> Option<Self> {
        if !is_token(id.as_bytes()) {
            return None;
        }
        let entry = |version: &str| HeaderValue::try_from(format!("{version} {id}")).ok();
        Some(Self { id: Box::from(id), http10: entry("1.0")?, http11: entry("1.1")?, http2: entry("2")? })
    }

    /// Refuses a request that has passed this node.
    ///
    /// # Errors
    /// [`Rejection::Loop`], answered with 508 (RFC 5842 §7.2).
    pub fn check(&self, fields: &HeaderMap) -> Result<(), Rejection> {
        let names_us = |member: &[u8]| {
            let mut words = member.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
            words.nth(1).is_some_and(|by| by.eq_ignore_ascii_case(self.id.as_bytes()))
        };
        let passed = fields.get_all(VIA).iter().any(|value| list_members(value.as_bytes()).any(names_us));
        if passed { Err(Rejection::Loop) } else { Ok(()) }
    }

    /// Adds our hop; `received` is the version in which the message reached us.
    pub fn append(&self, head: &mut impl HeadEdit, received: Version) {
        let entry = match received {
            Version::Http10 => &self.http10,
            Version::Http11 => &self.http11,
            Version::Http2 => &self.http2,
        };
        head.append(VIA, entry.clone());
    }
}
