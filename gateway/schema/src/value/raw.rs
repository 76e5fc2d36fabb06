//! A value whose meaning belongs to somebody else (a plugin's settings, a fixed JSON answer), with its places.

use std::collections::BTreeMap;

use crate::span::Span;

/// A JSON value with the place of each part of it, so that its owner's errors can be shown where they are.
#[derive(Debug, Clone, Default)]
pub struct Raw {
    /// The value.
    pub value: serde_json::Value,
    /// Where the whole was written.
    pub at: Span,
    /// The place of each part by JSON pointer (RFC 6901).
    pub places: BTreeMap<String, Span>,
}

impl Raw {
    /// The place of a JSON pointer, or of the nearest part around it.
    pub fn place(&self, pointer: &str) -> Span {
        let mut pointer = pointer;
        loop {
            if let Some(at) = self.places.get(pointer) {
                return *at;
            }
            match pointer.rfind('/') {
                Some(cut) => pointer = pointer.get(..cut).unwrap_or(""),
                None => return self.at,
            }
        }
    }
}
