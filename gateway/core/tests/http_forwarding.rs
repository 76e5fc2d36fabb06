//! The client's address, the forwarding fields, Via, request ids and trace contexts.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis_core::head::Version;
use portcullis_core::headers::forwarded::{Arrival, Ends, ForwardedField, client_address, write};
use portcullis_core::headers::request_id::RequestId;
use portcullis_core::headers::trace_context::{Sampling, TraceContext};
use portcullis_core::headers::via::Via;
use portcullis_core::headers::{Trust, TrustedProxies};
use portcullis_core::outcome::Rejection;
use portcullis_plugin_sdk::Scheme;

fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let field = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    pairs.iter().map(field).collect()
}

fn proxies() -> TrustedProxies {
    TrustedProxies::new(["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap()))
}

#[track_caller]
fn client(peer: &str, chains: &[&'static str], expected: &str) {
    let pairs: Vec<_> = chains.iter().map(|chain| ("x-forwarded-for", *chain)).collect();
    let seen = client_address(&fields(&pairs), peer.parse().unwrap(), &proxies());
    assert_eq!(seen, expected.parse::<IpAddr>().unwrap(), "{peer} {chains:?}");
}

#[test]
fn a_stranger_is_the_client_whatever_it_says() {
    client("192.0.2.9", &["1.1.1.1"], "192.0.2.9");
    client("192.0.2.9", &[], "192.0.2.9");
}

#[test]
fn the_client_is_the_rightmost_address_that_is_not_trusted() {
    client("10.0.0.1", &["1.1.1.1, 192.0.2.9"], "192.0.2.9");
    client("10.0.0.1", &["1.1.1.1, 192.0.2.9, 10.0.0.2"], "192.0.2.9");
    client("10.0.0.1", &["1.1.1.1", "192.0.2.9, 10.0.0.2"], "192.0.2.9");
    client("10.0.0.1", &["192.0.2.9", "10.0.0.2"], "192.0.2.9");
    client("fd00::1", &["2001:db8::7"], "2001:db8::7");
}

#[test]
fn a_chain_of_proxies_only_gives_its_first() {
    client("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3");
    client("10.0.0.1", &[], "10.0.0.1");
}

#[test]
fn an_entry_that_is_no_address_ends_the_walk() {
    client("10.0.0.1", &["1.1.1.1, unknown, 10.0.0.2"], "10.0.0.2");
    client("10.0.0.1", &["1.1.1.1,"], "10.0.0.1");
    client("10.0.0.1", &["_hidden"], "10.0.0.1");
}

#[test]
fn an_entry_may_have_a_port_or_brackets() {
    client("10.0.0.1", &["192.0.2.9:4711"], "192.0.2.9");
    client("10.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7");
    client("10.0.0.1", &["[2001:db8::7]"], "2001:db8::7");
}

#[test]
fn an_ipv4_address_in_ipv6_clothes_is_ipv4() {
    client("::ffff:10.0.0.1", &["::ffff:192.0.2.9"], "192.0.2.9");
    assert_eq!(proxies().trust("::ffff:10.1.2.3".parse().unwrap()), Trust::Trusted);
    assert_eq!(TrustedProxies::default().trust("127.0.0.1".parse().unwrap()), Trust::Untrusted);
}

fn tell(head: &mut HeaderMap, peer: &str, trust: Trust, field: ForwardedField) {
    let ends = Ends::new(peer.parse().unwrap(), 8443);
    let host = HeaderValue::from_static("shop.example:8443");
    write(head, &Arrival { ends: &ends, trust, scheme: Scheme::Https, host: Some(&host) }, field);
}

fn values(head: &HeaderMap, name: &str) -> Vec<String> {
    head.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[test]
fn from_a_stranger_the_fields_are_set() {
    let mut head = fields(&[
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-for", "2.2.2.2"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "evil"),
        ("x-forwarded-port", "1"),
    ]);
    tell(&mut head, "192.0.2.9", Trust::Untrusted, ForwardedField::Written);
    assert_eq!(values(&head, "x-forwarded-for"), ["192.0.2.9"]);
    assert_eq!(values(&head, "x-forwarded-proto"), ["https"]);
    assert_eq!(values(&head, "x-forwarded-host"), ["shop.example:8443"]);
    assert_eq!(values(&head, "x-forwarded-port"), ["8443"]);
    assert_eq!(values(&head, "forwarded"), ["for=192.0.2.9;host=\"shop.example:8443\";proto=https"]);
}

#[test]
fn a_hop_that_cannot_be_read_is_not_left_out_for_the_next_proxy() {
    for (chain, expected) in [
        (&b"1.1.1.1,"[..], "1.1.1.1, unknown, 10.0.0.1"),
        (b"1.1.1.1, \xff, 10.0.0.9", "1.1.1.1, unknown, 10.0.0.9, 10.0.0.1"),
        (b"", "unknown, 10.0.0.1"),
    ] {
        let mut head = HeaderMap::new();
        head.append("x-forwarded-for", HeaderValue::from_bytes(chain).unwrap());
        let seen = client_address(&head, "10.0.0.1".parse().unwrap(), &proxies());
        tell(&mut head, "10.0.0.1", Trust::Trusted, ForwardedField::Omitted);
        assert_eq!(values(&head, "x-forwarded-for"), [expected]);
        assert_eq!(client_address(&head, "10.0.0.2".parse().unwrap(), &proxies()), seen);
    }
}

#[test]
fn from_a_trusted_proxy_the_fields_are_continued() {
    let mut head = fields(&[
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-for", "192.0.2.9"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "outer.example"),
        ("x-forwarded-port", "80"),
        ("forwarded", "for=192.0.2.9"),
    ]);
    tell(&mut head, "fd00::1", Trust::Trusted, ForwardedField::Written);
    assert_eq!(values(&head, "x-forwarded-for"), ["1.1.1.1, 192.0.2.9, fd00::1"]);
    assert_eq!(values(&head, "x-forwarded-proto"), ["http"]);
    assert_eq!(values(&head, "x-forwarded-host"), ["outer.example"]);
    assert_eq!(values(&head, "x-forwarded-port"), ["80"]);
    assert_eq!(
        values(&head, "forwarded"),
        ["for=192.0.2.9, for=\"[fd00::1]\";host=\"shop.example:8443\";proto=https"]
    );
}

#[test]
fn a_trusted_proxy_that_makes_no_sense_is_corrected() {
    let mut head = fields(&[
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-host", "a, b"),
        ("x-forwarded-port", "0"),
        ("x-forwarded-port", "80"),
    ]);
    tell(&mut head, "10.0.0.1", Trust::Trusted, ForwardedField::Omitted);
    assert_eq!(values(&head, "x-forwarded-proto"), ["https"]);
    assert_eq!(values(&head, "x-forwarded-host"), ["shop.example:8443"]);
    assert_eq!(values(&head, "x-forwarded-port"), ["8443"]);
    assert!(values(&head, "forwarded").is_empty());
}

#[test]
fn via_grows_by_our_hop() {
    let via = Via::new("portcullis-7f").unwrap();
    let mut head = fields(&[("via", "1.1 outer (x, y)")]);
    assert_eq!(via.check(&head), Ok(()));
    via.append(&mut head, Version::Http11);
    via.append(&mut head, Version::Http2);
    assert_eq!(values(&head, "via"), ["1.1 outer (x, y)", "1.1 portcullis-7f", "2 portcullis-7f"]);
}

#[test]
fn a_request_that_comes_back_to_us_is_refused() {
    let via = Via::new("portcullis-7f").unwrap();
    for line in ["1.1 portcullis-7f", "1.0 a, 2  Portcullis-7F (c), 1.1 b", "HTTP/1.1\tportcullis-7f"] {
        assert_eq!(
            via.check(&fields(&[("via", "1.1 first"), ("via", line)])),
            Err(Rejection::Loop),
            "{line}"
        );
    }
    for line in ["1.1 portcullis-7", "portcullis-7f", "1.1 x (portcullis-7f)", "1.1 portcullis-7f:80", ""] {
        assert_eq!(via.check(&fields(&[("via", line)])), Ok(()), "{line}");
    }
    assert_eq!(Rejection::Loop.status(), 508);
    assert_eq!(Via::new("two words"), None);
}

#[test]
fn a_request_id_is_taken_over_from_a_trusted_peer_only() {
    let head = fields(&[("x-request-id", "abc-123_x.y~z:+/=@")]);
    let id = RequestId::received(&head, Trust::Trusted).unwrap();
    assert_eq!(id.as_str(), "abc-123_x.y~z:+/=@");
    assert_eq!(RequestId::received(&head, Trust::Untrusted), None);
}

#[test]
fn a_request_id_that_is_not_safe_to_log_is_not_taken_over() {
    for bad in ["", "a b", "a\"b", "a,b", "<a>", "a\tb", "a{b}"] {
        assert_eq!(RequestId::received(&fields(&[("x-request-id", bad)]), Trust::Trusted), None, "{bad:?}");
    }
    let twice = fields(&[("x-request-id", "a"), ("x-request-id", "a")]);
    assert_eq!(RequestId::received(&twice, Trust::Trusted), None);
    for (length, taken) in [(128, true), (129, false)] {
        let mut head = HeaderMap::new();
        head.insert("x-request-id", "a".repeat(length).parse().unwrap());
        assert_eq!(RequestId::received(&head, Trust::Trusted).is_some(), taken);
    }
}

#[test]
fn a_fresh_request_id_is_a_uuid_of_version_7() {
    let id = RequestId::fresh(0x0191_2345_6789, [u64::MAX, u64::MAX]);
    assert_eq!(id.as_str(), "01912345-6789-7fff-bfff-ffffffffffff");
    assert_eq!(RequestId::fresh(0, [0, 0]).as_str(), "00000000-0000-7000-8000-000000000000");
    let mut head = fields(&[("x-request-id", "a"), ("x-request-id", "b")]);
    id.write(&mut head);
    assert_eq!(values(&head, "x-request-id"), [id.to_string()]);
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn receive(head: &HeaderMap) -> TraceContext {
    TraceContext::receive(head, 7, 9, Sampling::Skipped)
}

#[test]
fn a_sound_trace_is_continued() {
    let mut head = fields(&[("traceparent", PARENT), ("tracestate", "a=b")]);
    let trace = receive(&head);
    assert_eq!(trace.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
    assert_eq!((trace.parent_id, trace.span_id), (Some(0xb7ad_6b71_6920_3331), 9));
    assert!(trace.is_sampled());
    trace.write(&mut head);
    assert_eq!(values(&head, "traceparent"), ["00-0af7651916cd43dd8448eb211c80319c-0000000000000009-01"]);
    assert_eq!(values(&head, "tracestate"), ["a=b"]);
}

#[test]
fn a_trace_of_a_later_version_is_continued_in_ours() {
    for parent in [
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra",
        "fe-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff",
    ] {
        let trace = receive(&fields(&[("traceparent", parent)]));
        assert!(trace.parent_id.is_some() && trace.flags <= 3, "{parent}");
    }
}

#[test]
fn a_trace_that_is_not_sound_is_not_continued() {
    for parent in [
        "",
        "00",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
        "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
        "0x-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ] {
        let mut head = fields(&[("traceparent", parent), ("tracestate", "a=b")]);
        let trace = receive(&head);
        assert_eq!((trace.trace_id, trace.parent_id, trace.flags), (7, None, 0), "{parent}");
        trace.write(&mut head);
        assert!(!head.contains_key("tracestate"), "{parent}");
        assert_eq!(values(&head, "traceparent"), ["00-00000000000000000000000000000007-0000000000000009-00"]);
    }
    assert_eq!(receive(&fields(&[("traceparent", PARENT), ("traceparent", PARENT)])).parent_id, None);
}

#[test]
fn a_started_trace_is_recorded_by_choice_and_never_zero() {
    let trace = TraceContext::receive(&HeaderMap::new(), 0, 0, Sampling::Recorded);
    assert_eq!((trace.trace_id, trace.span_id, trace.is_sampled()), (1, 1, true));
}
