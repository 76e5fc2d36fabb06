//! Header semantics H1–H13: hop-by-hop fields, identities and what a client may say about itself.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod http_drive;

use http::{HeaderMap, HeaderName, HeaderValue};
use http_drive::run;
use portcullis_core::framing::Limits;
use portcullis_core::headers::hop_by_hop::{Onward, strip_request, strip_response};
use portcullis_core::headers::identity::{IdentityNames, remove_spoofable};
use portcullis_core::headers::{HeadEdit, Trust};

fn fields(pairs: &[(&str, &[u8])]) -> HeaderMap {
    let field = |(name, value): &(&str, &[u8])| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value).unwrap())
    };
    pairs.iter().map(field).collect()
}

fn names(head: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<&str> = head.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

fn identities() -> IdentityNames {
    IdentityNames::new(["x-user", "x-consumer-id", "x-scopes"].map(HeaderName::from_static))
}

fn refused(bytes: &[u8]) -> Option<u16> {
    run(bytes, &[], Limits::default()).refused.map(|violation| violation.status())
}

#[test]
fn h01_connection_cannot_take_away_what_we_or_a_proxy_say() {
    for tokens in
        [&b"close, X-User, X-Forwarded-For"[..], b"x-user,x-forwarded-for", b"X-USER , X-FORWARDED-FOR"]
    {
        let mut head = fields(&[
            ("connection", tokens),
            ("x-user", b"alice"),
            ("x-forwarded-for", b"192.0.2.1"),
            ("x-mine", b"1"),
        ]);
        strip_request(&mut head, Onward::Plain, &identities());
        assert_eq!(names(&head), ["x-forwarded-for", "x-mine", "x-user"]);
    }
}

#[test]
fn h01_connection_takes_away_what_is_the_clients_own() {
    let mut head =
        fields(&[("connection", b"X-Mine"), ("connection", b"keep-alive, x-too"), ("x-mine", b"1")]);
    head.append("x-too", HeaderValue::from_static("1"));
    head.append("x-too", HeaderValue::from_static("2"));
    strip_request(&mut head, Onward::Plain, &identities());
    assert!(head.is_empty(), "{head:?}");
}

#[test]
fn h01_connection_cannot_take_away_what_decisions_hang_on() {
    for name in ["host", "authorization", "cookie", "content-length", "content-type", "traceparent", "via"] {
        let mut head = fields(&[("connection", name.as_bytes()), (name, b"v")]);
        strip_request(&mut head, Onward::Plain, &identities());
        assert_eq!(names(&head), [name]);
    }
}

#[test]
fn h02_fields_of_the_connection_end_with_it() {
    let mut head = fields(&[
        ("te", b"gzip"),
        ("keep-alive", b"timeout=5"),
        ("proxy-connection", b"keep-alive"),
        ("proxy-authorization", b"Basic x"),
        ("trailer", b"X-T"),
        ("connection", b"Upgrade, HTTP2-Settings"),
        ("upgrade", b"h2c"),
        ("http2-settings", b"AAMAAABkAAQAAP__"),
        ("accept", b"*/*"),
    ]);
    strip_request(&mut head, Onward::Plain, &identities());
    assert_eq!(names(&head), ["accept"]);
}

#[test]
fn h02_a_websocket_handshake_is_said_anew() {
    let mut head = fields(&[
        ("connection", b"keep-alive, Upgrade, X-Mine"),
        ("upgrade", b"WebSocket"),
        ("sec-websocket-key", b"k"),
        ("x-mine", b"1"),
    ]);
    strip_request(&mut head, Onward::WebSocket, &identities());
    assert_eq!(names(&head), ["connection", "sec-websocket-key", "upgrade"]);
    assert_eq!(
        (&head["connection"], &head["upgrade"]),
        (&"Upgrade".parse().unwrap(), &"websocket".parse().unwrap())
    );
}

#[test]
fn h02_stripping_twice_is_stripping_once() {
    for onward in [Onward::Plain, Onward::WebSocket, Onward::Grpc] {
        let mut once = fields(&[
            ("connection", b"Upgrade, X-Mine, X-Forwarded-For"),
            ("upgrade", b"websocket"),
            ("te", b"trailers"),
            ("x-mine", b"1"),
            ("x-forwarded-for", b"192.0.2.1"),
        ]);
        strip_request(&mut once, onward, &identities());
        let mut twice = once.clone();
        strip_request(&mut twice, onward, &identities());
        assert_eq!(once, twice, "{onward:?}");
    }
}

#[test]
fn h02_grpc_keeps_its_trailers() {
    let mut head = fields(&[("te", b"trailers"), ("trailer", b"grpc-status"), ("keep-alive", b"1")]);
    strip_request(&mut head, Onward::Grpc, &identities());
    assert_eq!(names(&head), ["te", "trailer"]);
    assert_eq!(head["te"], "trailers");
}

#[test]
fn h02_framing_is_left_to_the_engine() {
    let mut head = fields(&[("transfer-encoding", b"chunked"), ("connection", b"transfer-encoding")]);
    strip_request(&mut head, Onward::Plain, &identities());
    assert_eq!(names(&head), ["transfer-encoding"]);
}

#[test]
fn h03_names_that_alias_another_are_dropped_from_everybody() {
    for trust in [Trust::Trusted, Trust::Untrusted] {
        let mut head = fields(&[
            ("X_User", b"alice"),
            ("X-User", b"bob"),
            ("X.User", b"eve"),
            ("x-forwarded_for", b"1"),
            ("x-plain", b"1"),
        ]);
        remove_spoofable(&mut head, trust, &identities());
        assert_eq!(names(&head), ["x-plain"]);
    }
}

const SPOOFED: [&str; 16] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-prefix",
    "x-forwarded-port",
    "x-forwarded-client-cert",
    "x-real-ip",
    "forwarded",
    "x-original-url",
    "x-rewrite-url",
    "true-client-ip",
    "cf-connecting-ip",
    "client-ip",
    "x-envoy-original-path",
    "x-envoy-external-address",
    "x-forwarded",
];

#[test]
fn h04_a_stranger_says_nothing_about_its_way() {
    for name in SPOOFED.into_iter().chain(["x-gateway-route", "x-portcullis-user", "proxy"]) {
        let mut head = fields(&[(name, b"1"), (name, b"2"), ("accept", b"*/*")]);
        remove_spoofable(&mut head, Trust::Untrusted, &identities());
        assert_eq!(names(&head), ["accept"], "{name}");
    }
}

#[test]
fn h04_a_trusted_proxy_does_but_never_speaks_for_us() {
    for name in SPOOFED {
        let mut head = fields(&[(name, b"1")]);
        remove_spoofable(&mut head, Trust::Trusted, &identities());
        assert_eq!(names(&head), [name]);
    }
    for name in ["x-gateway-route", "x-portcullis-user", "proxy"] {
        let mut head = fields(&[(name, b"1")]);
        remove_spoofable(&mut head, Trust::Trusted, &identities());
        assert!(head.is_empty(), "{name}");
    }
}

#[test]
fn h05_two_authorizations_are_refused() {
    let bytes = b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n";
    assert_eq!(refused(bytes), Some(400));
}

#[test]
fn h06_an_identity_of_any_route_is_taken_from_the_client_on_every_route() {
    for trust in [Trust::Trusted, Trust::Untrusted] {
        let mut head = fields(&[
            ("X-Consumer-Id", b"1"),
            ("x-consumer-id", b"2"),
            ("X-CONSUMER-ID", b"\x80"),
            ("x-scopes", b"admin"),
            ("x-consumer-idea", b"1"),
        ]);
        remove_spoofable(&mut head, trust, &identities());
        assert_eq!(names(&head), ["x-consumer-idea"]);
    }
}

#[test]
fn h07_obs_text_does_not_hide_a_field() {
    let mut head =
        fields(&[("x-user", b"ali\x80ce"), ("x-real-ip", b"\xff"), ("connection", b"x-mine\x80, x-too")]);
    head.insert("x-too", HeaderValue::from_static("1"));
    remove_spoofable(&mut head, Trust::Untrusted, &identities());
    strip_request(&mut head, Onward::Plain, &identities());
    assert!(head.is_empty(), "{head:?}");
}

#[test]
fn h08_a_method_override_is_a_field_like_any_other() {
    let bytes = b"POST / HTTP/1.1\r\nHost: h\r\nX-HTTP-Method-Override: DELETE\r\n\r\n";
    let run = run(bytes, &[], Limits::default());
    assert_eq!((run.refused, run.heads[0].is_head), (None, false));
    let mut head = fields(&[("x-http-method-override", b"DELETE")]);
    remove_spoofable(&mut head, Trust::Untrusted, &identities());
    assert_eq!(names(&head), ["x-http-method-override"]);
}

#[test]
fn h09_http_1_0_needs_a_host_too() {
    assert_eq!(refused(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), Some(400));
}

#[test]
fn h10_an_unknown_expectation_is_refused() {
    assert_eq!(refused(b"GET / HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\n\r\n"), Some(417));
}

#[test]
fn h11_what_follows_an_upgrade_that_was_not_granted_is_a_request() {
    let bytes = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n\
                  GET /admin/s HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(run(bytes, &[], Limits::default()).heads.len(), 2);
    let tunnelled = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n\x81\x00";
    assert_eq!(refused(tunnelled), Some(400));
}

#[test]
fn h12_an_answer_that_grants_no_upgrade_carries_none() {
    let mut head = fields(&[("connection", b"upgrade"), ("upgrade", b"websocket"), ("content-type", b"a/b")]);
    strip_response(&mut head, Onward::Plain);
    assert_eq!(names(&head), ["content-type"]);
    let mut granted =
        fields(&[("connection", b"Upgrade, X-Mine"), ("upgrade", b"WebSocket"), ("x-mine", b"1")]);
    strip_response(&mut granted, Onward::WebSocket);
    assert_eq!(names(&granted), ["connection", "upgrade"]);
}

#[test]
fn h13_trailers_change_nothing_about_the_message() {
    let bytes = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
                  X-Trailer: a\r\nContent-Length: 9\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let run = run(bytes, &[], Limits::default());
    assert_eq!((run.refused, run.ends), (None, 2));
}

#[test]
fn a_head_can_be_edited_through_the_trait() {
    let mut head = fields(&[("x-a", b"1"), ("x-a", b"2")]);
    HeadEdit::set(&mut head, HeaderName::from_static("x-a"), HeaderValue::from_static("3"));
    HeadEdit::append(&mut head, HeaderName::from_static("x-a"), HeaderValue::from_static("4"));
    assert_eq!(head.fields().get_all("x-a").iter().collect::<Vec<_>>(), ["3", "4"]);
    HeadEdit::remove(&mut head, &HeaderName::from_static("x-a"));
    assert!(head.fields().is_empty());
}
