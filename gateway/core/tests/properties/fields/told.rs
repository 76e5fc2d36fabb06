//! What upstreams are told about the way of a request, and what they are not told.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue};
use portcullis_core::head::Authority;
use portcullis_core::headers::forwarded::{
    Arrival, Ends, ForwardedField, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO,
    client_address, write,
};
use portcullis_core::headers::hop_by_hop::{Onward, strip_request};
use portcullis_core::headers::identity::{IdentityNames, remove_spoofable};
use portcullis_core::headers::{Trust, TrustedProxies};
use portcullis_plugin_sdk::Scheme;

/// A proxy that is trusted.
const PROXY: &str = "10.0.0.2";

pub(super) fn check(host: &str, scheme: Scheme, peer: &str, fields: &HeaderMap) {
    let networks = ["10.0.0.0/8", "fd00::/8"].iter().filter_map(|network| network.parse().ok());
    let trusted = TrustedProxies::new(networks);
    let Ok(peer) = peer.parse::<IpAddr>().or_else(|_| PROXY.parse()) else { return };
    let client = client_address(fields, peer, &trusted);
    assert_eq!(client, by_hand(fields, peer, &trusted), "{peer} {fields:?}");

    let identity = IdentityNames::new([http::HeaderName::from_static("x-user")]);
    let trust = trusted.trust(peer);
    let mut head = fields.clone();
    strips_the_hop(&mut head, &identity);
    drops_what_is_not_theirs_to_say(&mut head, trust, &identity);

    let host = if Authority::parse(host.as_bytes()).is_ok() { host } else { "h" };
    let (ends, host) = (Ends::new(peer, 443), HeaderValue::from_str(host).ok());
    let arrival = Arrival { ends: &ends, trust, scheme, host: host.as_ref() };
    write(&mut head, &arrival, ForwardedField::Written);
    says_each_thing_once(&head, &arrival);
    // The next proxy, which trusts us, must find the client that we found.
    let Ok(us) = PROXY.parse() else { return };
    assert_eq!(client_address(&head, us, &trusted), client, "{peer} {fields:?} {head:?}");
}

/// The rightmost address that is not trusted, by going through all of them from the right.
fn by_hand(fields: &HeaderMap, peer: IpAddr, trusted: &TrustedProxies) -> IpAddr {
    let lines: Vec<&[u8]> = fields.get_all(X_FORWARDED_FOR).iter().map(|value| value.as_bytes()).collect();
    let mut hops: Vec<Option<IpAddr>> = if lines.is_empty() {
        Vec::new()
    } else {
        lines.join(&b',').split(|&byte| byte == b',').map(address).collect()
    };
    hops.push(Some(peer));
    let mut client = peer;
    for hop in hops.into_iter().rev() {
        let Some(hop) = hop else { break };
        client = hop.to_canonical();
        if trusted.trust(client) == Trust::Untrusted {
            break;
        }
    }
    client
}

fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, port) = rest.split_once(']')?;
        let fits = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return inside.parse::<std::net::Ipv6Addr>().ok().filter(|_| fits).map(IpAddr::V6);
    }
    match text.split_once(':') {
        Some((front, port)) if is_port(port) && front.contains('.') => front.parse().ok(),
        _ => text.parse().ok(),
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

fn strips_the_hop(head: &mut HeaderMap, identity: &IdentityNames) {
    let before = head.clone();
    strip_request(head, Onward::Plain, identity);
    for name in ["connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "http2-settings"]
    {
        assert!(!head.contains_key(name), "{before:?}");
    }
    for name in ["authorization", "host", "content-length", "cookie", "x-forwarded-for", "x-user", "via"] {
        let values = |map: &HeaderMap| map.get_all(name).iter().cloned().collect::<Vec<_>>();
        assert_eq!(values(head), values(&before), "{name} {before:?}");
    }
    let once = head.clone();
    strip_request(head, Onward::Plain, identity);
    assert_eq!(*head, once, "{before:?}");
}

fn drops_what_is_not_theirs_to_say(head: &mut HeaderMap, trust: Trust, identity: &IdentityNames) {
    remove_spoofable(head, trust, identity);
    for name in head.keys().map(http::HeaderName::as_str) {
        assert!(!name.contains(['_', '.']) && !matches!(name, "x-user" | "proxy"), "{name}");
        assert!(!name.starts_with("x-portcullis-") && !name.starts_with("x-gateway-"), "{name}");
        let is_about_the_way = name.starts_with("x-forwarded-") || matches!(name, "forwarded" | "x-real-ip");
        assert!(trust == Trust::Trusted || !is_about_the_way, "{name}");
    }
    let once = head.clone();
    remove_spoofable(head, trust, identity);
    assert_eq!(*head, once);
}

fn says_each_thing_once(head: &HeaderMap, arrival: &Arrival<'_>) {
    let only = |name: &http::HeaderName| {
        let values: Vec<&[u8]> = head.get_all(name).iter().map(|value| value.as_bytes()).collect();
        assert_eq!(values.len(), 1, "{name} {head:?}");
        String::from_utf8_lossy(values.first().copied().unwrap_or_default()).into_owned()
    };
    let chain = only(&X_FORWARDED_FOR);
    let peer = arrival.ends.peer().to_string();
    assert_eq!(chain.rsplit(", ").next(), Some(peer.as_str()), "{chain}");
    assert!(matches!(only(&X_FORWARDED_PROTO).as_str(), "http" | "https"), "{head:?}");
    assert!(Authority::parse(only(&X_FORWARDED_HOST).as_bytes()).is_ok(), "{head:?}");
    assert!(only(&X_FORWARDED_PORT).parse::<u16>().is_ok_and(|port| port > 0), "{head:?}");
    let forwarded = only(&http::header::FORWARDED);
    assert!(forwarded.ends_with(&format!(";proto={}", arrival.scheme.as_str())), "{forwarded}");
    if arrival.trust == Trust::Untrusted {
        assert_eq!(chain, peer);
        assert!(forwarded.starts_with("for=") && !forwarded.contains(','), "{forwarded}");
    }
}
