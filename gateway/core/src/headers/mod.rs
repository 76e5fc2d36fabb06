//! What happens to header fields on their way through: which are dropped, which are ours to say.
//!
//! Decides hop-by-hop fields, fields that only we may set, forwarding fields, `Via`, request id and trace
//! context. Works on any head through [`HeadEdit`]; never reads a clock, draws a number or knows a route.
//!
//! The order of the calls matters: [`hop_by_hop::strip_request`] and [`identity::remove_spoofable`] run on what
//! the client sent, before anything of ours is set, so that a client can neither name nor fake our fields.

pub mod forwarded;
pub mod hop_by_hop;
pub mod identity;
pub mod request_id;
pub mod trace_context;
pub mod via;

mod trust;

use http::{HeaderMap, HeaderName, HeaderValue};

pub use trust::{Trust, TrustedProxies};

/// A head whose fields can be read and changed.
///
/// The engine's own head keeps the spelling of names beside the map, so changes go through it and not through
/// the map: the shell implements this for its type with the three operations that the engine offers.
pub trait HeadEdit {
    /// The fields as they are now.
    fn fields(&self) -> &HeaderMap;
    /// Removes every field of this name, if any.
    fn remove(&mut self, name: &HeaderName);
    /// Makes `value` the only value of this name.
    fn set(&mut self, name: HeaderName, value: HeaderValue);
    /// Adds a value behind those there are.
    fn append(&mut self, name: HeaderName, value: HeaderValue);
}

impl HeadEdit for HeaderMap {
    fn fields(&self) -> &HeaderMap {
        self
    }

    fn remove(&mut self, name: &HeaderName) {
        HeaderMap::remove(self, name);
    }

    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.insert(name, value);
    }

    fn append(&mut self, name: HeaderName, value: HeaderValue) {
        HeaderMap::append(self, name, value);
    }
}
