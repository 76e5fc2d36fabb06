//! Advisories of other gateways that path, head and header logic alone decides: one test each, none reproduces.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod http_drive;

use http::{HeaderMap, HeaderName, HeaderValue};
use http_drive::run;
use portcullis_core::framing::Limits;
use portcullis_core::head::{PathRefusal, is_normal, normalize};
use portcullis_core::headers::hop_by_hop::{Onward, strip_request};
use portcullis_core::headers::identity::{IdentityNames, remove_spoofable};
use portcullis_core::headers::{Trust, TrustedProxies, forwarded};

fn fields(pairs: &[(&str, &str)]) -> HeaderMap {
    let field = |(name, value): &(&str, &str)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    pairs.iter().map(field).collect()
}

fn identities() -> IdentityNames {
    IdentityNames::new([HeaderName::from_static("x-consumer-id")])
}

/// What is left of a stranger's head, as a gateway would do it.
fn cleaned(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut head = fields(pairs);
    remove_spoofable(&mut head, Trust::Untrusted, &identities());
    strip_request(&mut head, Onward::Plain, &identities());
    head
}

fn refused(bytes: &[u8]) -> Option<u16> {
    run(bytes, &[], Limits::default()).refused.map(|violation| violation.status())
}

#[test]
fn cve_2026_105299_connection_nominated_header() {
    let head = cleaned(&[("connection", "x-secret-hop"), ("x-secret-hop", "1"), ("keep-alive", "1")]);
    assert!(head.is_empty());
}

#[test]
fn cve_2024_45410_connection_removes_forwarded_fields() {
    let mut head = fields(&[("connection", "X-Forwarded-For, X-Forwarded-Proto, X-Real-Ip")]);
    let names = ["x-forwarded-for", "x-forwarded-proto", "x-real-ip"];
    for name in names {
        head.insert(name, HeaderValue::from_static("set-by-a-proxy"));
    }
    strip_request(&mut head, Onward::Plain, &identities());
    assert!(names.iter().all(|name| head.contains_key(*name)));
}

#[test]
fn cve_2026_29054_connection_removes_forwarded_fields_in_lower_case() {
    let mut head =
        fields(&[("connection", "x-forwarded-host,\tX-FORWARDED-PORT"), ("x-forwarded-host", "h")]);
    head.insert("x-forwarded-port", HeaderValue::from_static("1"));
    strip_request(&mut head, Onward::Plain, &identities());
    assert_eq!(head.len(), 2);
}

#[test]
fn cve_2021_32813_connection_removes_an_identity() {
    let mut head = fields(&[("connection", "X-Consumer-Id"), ("x-consumer-id", "set-by-us")]);
    strip_request(&mut head, Onward::Plain, &identities());
    assert_eq!(head["x-consumer-id"], "set-by-us");
}

#[test]
fn cve_2026_2835_transfer_encoding_on_http_1_0() {
    let bytes = b"POST / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(refused(bytes), Some(400));
    let coded =
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(refused(coded), Some(400));
}

#[test]
fn cve_2026_2833_bytes_behind_an_upgrade_are_requests_until_101() {
    let bytes =
        b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nGET /admin HTTP/1.1\r\n\r\n";
    let run = run(bytes, &[], Limits::default());
    assert_eq!((run.heads.len(), run.refused.map(|violation| violation.status())), (1, Some(400)));
}

#[test]
fn cve_2019_9900_nul_in_a_value() {
    assert_eq!(refused(b"GET / HTTP/1.1\r\nHost: h\r\nX-A: a\0b\r\n\r\n"), Some(400));
    assert_eq!(normalize("/a%00b"), Err(PathRefusal::EncodedControl));
}

#[test]
fn cve_2019_9901_path_is_normalised_before_it_is_matched() {
    assert_eq!(normalize("/public/%2e%2e/admin").as_deref(), Ok("/admin"));
    assert_eq!(normalize("//admin").as_deref(), Ok("/admin"));
}

#[test]
fn cve_2021_29492_encoded_slashes() {
    for raw in ["/a/..%2fadmin", "/a/..%5Cadmin", "/a%2F%2e%2e%2Fadmin"] {
        assert_eq!(normalize(raw), Err(PathRefusal::EncodedSeparator), "{raw}");
    }
}

#[test]
fn cve_2026_73553_path_parameters() {
    for raw in ["/admin;x", "/admin;x/y", "/;x/admin", "/..;/admin", "/a/..;x=y/admin"] {
        assert_eq!(normalize(raw), Err(PathRefusal::PathParameters), "{raw}");
    }
}

#[test]
fn cve_2026_73552_obs_text_does_not_hide_a_field() {
    let mut head = HeaderMap::new();
    head.insert("x-consumer-id", HeaderValue::from_bytes(b"a\x80").unwrap());
    remove_spoofable(&mut head, Trust::Untrusted, &identities());
    assert!(head.is_empty());
}

#[test]
fn cve_2025_66490_encoded_characters_in_a_path() {
    // Restricted characters stay encoded in the form that is matched *and* forwarded; separators are refused.
    assert_eq!(normalize("/admin%3fx").as_deref(), Ok("/admin%3Fx"));
    assert_eq!(normalize("/admin%23x").as_deref(), Ok("/admin%23x"));
    assert_eq!(normalize("/x%2fadmin"), Err(PathRefusal::EncodedSeparator));
}

#[test]
fn cve_2026_40912_prefix_in_an_encoded_form() {
    assert_eq!(normalize("/%61pi/x").as_deref(), Ok("/api/x"));
    assert_eq!(normalize("/api%2e/x").as_deref(), Ok("/api./x"));
}

#[test]
fn cve_2026_48020_what_is_left_of_a_prefix_is_not_normalised_again() {
    assert_eq!(normalize("/api../admin").as_deref(), Ok("/api../admin"));
    for left in ["../admin", "//admin", "/../admin", "/./admin"] {
        assert!(!is_normal(left), "{left}");
    }
}

#[test]
fn cve_2026_35051_and_2026_33433_spoofed_prefix() {
    let head =
        cleaned(&[("x-forwarded-prefix", "/evil"), ("X-Forwarded-Uri", "/admin"), ("x-original-uri", "/a")]);
    assert!(head.is_empty());
}

#[test]
fn cve_2026_54763_and_2026_88011_aliases_of_an_identity() {
    let head = cleaned(&[("x_consumer_id", "1"), ("x.consumer.id", "2"), ("X-Consumer_Id", "3")]);
    assert!(head.is_empty());
}

#[test]
fn cve_2026_71324_connect() {
    assert_eq!(refused(b"CONNECT 127.0.0.1:24000 HTTP/1.1\r\nHost: 127.0.0.1:24000\r\n\r\n"), Some(405));
}

#[test]
fn cve_2023_27487_internal_fields_of_a_stranger() {
    let head =
        cleaned(&[("x-envoy-original-path", "/admin"), ("x-gateway-route", "a"), ("x-portcullis-user", "b")]);
    assert!(head.is_empty());
}

#[test]
fn cve_2022_24112_address_out_of_a_field_of_a_stranger() {
    let head = fields(&[("x-real-ip", "127.0.0.1"), ("x-forwarded-for", "127.0.0.1")]);
    let stranger = "192.0.2.9".parse().unwrap();
    assert_eq!(forwarded::client_address(&head, stranger, &TrustedProxies::default()), stranger);
    assert!(cleaned(&[("x-real-ip", "127.0.0.1")]).is_empty());
}

#[test]
fn cve_2016_5385_httpoxy() {
    assert!(cleaned(&[("proxy", "http://evil/")]).is_empty());
}

#[test]
fn cve_2024_32638_requests_hidden_in_a_body() {
    for framing in
        ["Content-Length: 3\r\nContent-Length: 30", "Content-Length: 3\r\nTransfer-Encoding: chunked"]
    {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\nabcGET /admin HTTP/1.1\r\nHost: h\r\n\r\n"
        );
        assert_eq!(refused(head.as_bytes()), Some(400), "{framing}");
    }
}
