//! Fields that belong to one connection and end with it (RFC 9110 §7.6.1).
//!
//! Decides what of them is dropped and the little that is said anew for the next hop. Leaves `Content-Length`
//! and `Transfer-Encoding` alone: how a body is framed is the engine's to say on each side.

use http::header::{CONNECTION, HeaderName, HeaderValue, TE, UPGRADE};
use smallvec::SmallVec;

use super::HeadEdit;
use super::identity::{IdentityNames, is_forwarding_field, is_reserved};
use crate::head::{is_token, list_members};

/// Fields that `Connection` cannot take away: end-to-end by definition, or a decision hangs on them.
const PROTECTED: [&str; 17] = [
    "accept-encoding",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "host",
    "origin",
    "set-cookie",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "via",
    "x-request-id",
];

/// What the next hop is asked to do with the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Onward {
    /// An ordinary exchange.
    Plain,
    /// A WebSocket handshake over HTTP/1.1: `Connection: Upgrade` and `Upgrade: websocket` are said anew.
    WebSocket,
    /// gRPC over HTTP/2: `TE: trailers` is said anew, `Trailer` stays.
    Grpc,
}

/// Drops the fields of the client's connection, and those that its `Connection` names.
///
/// A name that is protected, ours, or in `identity` stays: dropping it could lose the client's address or an
/// identity on the way to the upstream (CVE-2024-45410, CVE-2026-29054, CVE-2026-105299).
///
/// Doing it twice is doing it once: it belongs to the arrival of a request, before an engine acts on
/// `Connection` in its own way, and again on the copy for an upstream if that engine drops what is said anew.
pub fn strip_request(head: &mut impl HeadEdit, onward: Onward, identity: &IdentityNames) {
    strip(head, onward, identity);
    match onward {
        Onward::Plain => {}
        Onward::WebSocket => {
            head.set(CONNECTION, HeaderValue::from_static("Upgrade"));
            head.set(UPGRADE, HeaderValue::from_static("websocket"));
        }
        Onward::Grpc => head.set(TE, HeaderValue::from_static("trailers")),
    }
}

/// Drops the fields of the upstream's connection. For a 101, pass [`Onward::WebSocket`].
pub fn strip_response(head: &mut impl HeadEdit, onward: Onward) {
    strip(head, onward, &IdentityNames::default());
    if onward == Onward::WebSocket {
        head.set(CONNECTION, HeaderValue::from_static("Upgrade"));
        head.set(UPGRADE, HeaderValue::from_static("websocket"));
    }
}

fn strip(head: &mut impl HeadEdit, onward: Onward, identity: &IdentityNames) {
    for name in nominated(head, identity) {
        head.remove(&name);
    }
    let doomed: SmallVec<[HeaderName; 4]> =
        head.fields().keys().filter(|name| is_dropped(name, onward)).cloned().collect();
    for name in &doomed {
        head.remove(name);
    }
}

/// Whether a field is always dropped, named by `Connection` or not. Asked of the few fields there
/// are: looking nine names up in a map would cost more.
fn is_dropped(name: &HeaderName, onward: Onward) -> bool {
    match name.as_str() {
        "trailer" => onward != Onward::Grpc,
        "connection"
        | "keep-alive"
        | "proxy-connection"
        | "proxy-authenticate"
        | "proxy-authorization"
        | "te"
        | "upgrade"
        | "http2-settings" => true,
        _ => false,
    }
}

/// The names in `Connection` that may be taken away.
fn nominated(head: &impl HeadEdit, identity: &IdentityNames) -> SmallVec<[HeaderName; 4]> {
    let mut names = SmallVec::new();
    for value in head.fields().get_all(CONNECTION) {
        for member in list_members(value.as_bytes()) {
            // The everyday members name no field; looking them up would cost more than this.
            if is_option(member) || !is_token(member) {
                continue;
            }
            // Reading lower-cases the name, so `x-user` and `X-User` are one.
            let Ok(name) = HeaderName::from_bytes(member) else { continue };
            if !is_protected(&name) && !identity.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

fn is_option(member: &[u8]) -> bool {
    [&b"close"[..], b"keep-alive", b"upgrade"].iter().any(|option| member.eq_ignore_ascii_case(option))
}

fn is_protected(name: &HeaderName) -> bool {
    let name = name.as_str();
    PROTECTED.binary_search(&name).is_ok() || is_forwarding_field(name) || is_reserved(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protected_names_are_in_order() {
        assert!(PROTECTED.is_sorted());
    }
}
