//! Who the client is, and what upstreams are told about it.
//!
//! Decides the client's address by the rightmost-untrusted rule, and writes `X-Forwarded-For`, `-Proto`, `-Host`,
//! `-Port` and, if wanted, `Forwarded` (RFC 7239). From an untrusted peer nothing is carried over: the fields are
//! set. From a trusted one they are continued.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, header::FORWARDED};
use portcullis_plugin_sdk::Scheme;

use super::{HeadEdit, Trust, TrustedProxies};
use crate::head::{Authority, list_members};

/// `X-Forwarded-For`.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `X-Forwarded-Proto`.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// `X-Forwarded-Host`.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// `X-Forwarded-Port`.
pub const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// The two ends of a client's connection as upstreams are told: written once a connection, not once a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    peer: IpAddr,
    peer_text: HeaderValue,
    port_text: HeaderValue,
}

impl Ends {
    /// A connection from `peer` to our `port`.
    #[must_use]
    pub fn new(peer: IpAddr, port: u16) -> Self {
        let peer = peer.to_canonical();
        // An address holds nothing that a field may not.
        let peer_text = HeaderValue::try_from(peer.to_string());
        let peer_text = peer_text.unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        Self { peer, peer_text, port_text: HeaderValue::from(port) }
    }

    /// The address at the other end; an IPv4-mapped IPv6 address is the IPv4 address.
    #[must_use]
    pub const fn peer(&self) -> IpAddr {
        self.peer
    }
}

/// How a request reached this gateway.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The connection it came on.
    pub ends: &'a Ends,
    /// Whether its other end is a trusted proxy.
    pub trust: Trust,
    /// How it is connected.
    pub scheme: Scheme,
    /// `Host` or `:authority` as sent, with its port if it has one.
    pub host: Option<&'a HeaderValue>,
}

/// Whether `Forwarded` (RFC 7239) is written beside the `X-Forwarded-` fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardedField {
    /// It is not.
    #[default]
    Omitted,
    /// It is.
    Written,
}

/// The client's address: the last in `X-Forwarded-For` that is not one of ours to trust.
///
/// Read from the right, because everything left of the first untrusted address was written by it. An entry that
/// is no address ends the walk at the hop that reported it. All-trusted chains give their first address.
#[must_use]
pub fn client_address(fields: &HeaderMap, peer: IpAddr, trusted: &TrustedProxies) -> IpAddr {
    let mut client = peer.to_canonical();
    if trusted.trust(client) == Trust::Untrusted {
        return client;
    }
    for value in fields.get_all(X_FORWARDED_FOR).iter().rev() {
        for entry in value.as_bytes().rsplit(|&byte| byte == b',') {
            let Some(address) = read_entry(entry.trim_ascii()) else { return client };
            client = address;
            if trusted.trust(client) == Trust::Untrusted {
                return client;
            }
        }
    }
    client
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:4711`.
fn read_entry(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address = text
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .or_else(bracketed)?;
    Some(address.to_canonical())
}

/// Writes the forwarding fields for the upstream.
///
/// Expects [`super::identity::remove_spoofable`] to have run: from an untrusted peer there is nothing left to
/// overwrite, but a field set here is set and never appended to.
pub fn write(head: &mut impl HeadEdit, arrival: &Arrival<'_>, field: ForwardedField) {
    write_for(head, arrival);
    keep_or_set(head, arrival.trust, X_FORWARDED_PROTO, is_scheme, || {
        Some(HeaderValue::from_static(arrival.scheme.as_str()))
    });
    keep_or_set(head, arrival.trust, X_FORWARDED_HOST, is_host, || arrival.host.cloned());
    keep_or_set(head, arrival.trust, X_FORWARDED_PORT, is_port, || Some(arrival.ends.port_text.clone()));
    match field {
        ForwardedField::Omitted => {}
        ForwardedField::Written => write_forwarded(head, arrival),
    }
}

fn write_for(head: &mut impl HeadEdit, arrival: &Arrival<'_>) {
    if arrival.trust == Trust::Untrusted {
        head.set(X_FORWARDED_FOR, arrival.ends.peer_text.clone());
        return;
    }
    let mut chain = String::with_capacity(80);
    push_hops(&mut chain, head.fields());
    // Writing to a String cannot fail.
    let _ = write!(chain, "{}", arrival.ends.peer);
    if let Ok(value) = HeaderValue::try_from(chain) {
        head.set(X_FORWARDED_FOR, value);
    }
}

/// RFC 7239 §4: one element of our own hop, behind those of trusted proxies.
fn write_forwarded(head: &mut impl HeadEdit, arrival: &Arrival<'_>) {
    let mut chain = String::with_capacity(80);
    if arrival.trust == Trust::Trusted {
        push_members(&mut chain, head.fields(), &FORWARDED);
    }
    // Writing to a String cannot fail.
    let _ = match arrival.ends.peer {
        IpAddr::V4(address) => write!(chain, "for={address}"),
        IpAddr::V6(address) => write!(chain, "for=\"[{address}]\""),
    };
    // A host that passed the head's rules holds neither quote nor backslash.
    let host = arrival.host.and_then(|host| host.to_str().ok());
    if let Some(host) = host.filter(|host| is_host(host.as_bytes())) {
        let _ = write!(chain, ";host=\"{host}\"");
    }
    let _ = write!(chain, ";proto={}", arrival.scheme.as_str());
    if let Ok(value) = HeaderValue::try_from(chain) {
        head.set(FORWARDED, value);
    }
}

/// The hops that are already there, on one line with a comma behind it.
///
/// One that is empty or no text ends the walk of [`client_address`], and has to end the next proxy's, too: left out,
/// it would give way to what a stranger wrote before it. So it is `unknown` (RFC 7239 §6.2).
fn push_hops(chain: &mut String, fields: &HeaderMap) {
    for value in fields.get_all(X_FORWARDED_FOR) {
        for entry in value.as_bytes().split(|&byte| byte == b',') {
            let text = std::str::from_utf8(entry.trim_ascii()).ok().filter(|text| !text.is_empty());
            chain.push_str(text.unwrap_or("unknown"));
            chain.push_str(", ");
        }
    }
}

/// What is already there, on one line with a comma behind it. Bytes that are no text end up left out.
fn push_members(chain: &mut String, fields: &HeaderMap, name: &HeaderName) {
    for value in fields.get_all(name) {
        for member in list_members(value.as_bytes()) {
            if let Ok(member) = std::str::from_utf8(member) {
                chain.push_str(member);
                chain.push_str(", ");
            }
        }
    }
}

/// Keeps a trusted proxy's word if there is exactly one and it makes sense; else says our own.
fn keep_or_set(
    head: &mut impl HeadEdit,
    trust: Trust,
    name: HeaderName,
    makes_sense: impl FnOnce(&[u8]) -> bool,
    own: impl FnOnce() -> Option<HeaderValue>,
) {
    let kept = trust == Trust::Trusted && {
        let mut values = head.fields().get_all(&name).iter();
        match (values.next(), values.next()) {
            (Some(only), None) => makes_sense(only.as_bytes()),
            (None | Some(_), _) => false,
        }
    };
    if kept {
        return;
    }
    match own() {
        Some(value) => head.set(name, value),
        None => head.remove(&name),
    }
}

fn is_scheme(value: &[u8]) -> bool {
    matches!(value, b"http" | b"https")
}

fn is_host(value: &[u8]) -> bool {
    Authority::parse(value).is_ok()
}

fn is_port(value: &[u8]) -> bool {
    std::str::from_utf8(value).ok().and_then(|text| text.parse::<u16>().ok()).is_some_and(|port| port > 0)
}
