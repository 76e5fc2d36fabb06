//! Heads that came by HTTP/2: the rows of the HTTP/2 table that a parsed head shows.
#![expect(clippy::expect_used, reason = "a test stops at the first surprise")]

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use portcullis_core::head::http2::{Head, Stream, check};
use portcullis_core::head::{BodyLength, Connection, TargetForm, UpgradeAsk, Version};
use portcullis_plugin_sdk::Scheme;

const FIELDS_MAX: usize = 100;

fn fields(pairs: &[(&str, &[u8])]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            let name: HeaderName = name.parse().expect("a name");
            (name, HeaderValue::from_bytes(value).expect("a value"))
        })
        .collect()
}

fn head<'a>(path: &'a str, fields: &'a HeaderMap) -> Head<'a> {
    Head {
        method: &Method::GET,
        scheme: Some("https"),
        authority: Some("h"),
        path,
        fields,
        transport: Scheme::Https,
        stream: Stream::Ended,
    }
}

fn status(head: &Head<'_>) -> u16 {
    check(head, FIELDS_MAX).map_or_else(|violation| violation.status(), |_| 200)
}

#[test]
fn a_plain_request_passes() {
    let none = HeaderMap::new();
    let summary = check(&head("/a?b", &none), FIELDS_MAX).expect("sound");
    assert_eq!((summary.version, summary.target), (Version::Http2, TargetForm::Origin));
    assert_eq!((summary.body, summary.connection), (BodyLength::None, Connection::KeepAlive));
    assert_eq!(summary.upgrade, UpgradeAsk::None);
}

#[test]
fn two_one_connect_and_trace_are_refused_by_status_405() {
    let none = HeaderMap::new();
    for method in [&Method::CONNECT, &Method::TRACE] {
        assert_eq!(status(&Head { method, ..head("/", &none) }), 405);
    }
}

#[test]
fn two_two_a_path_is_a_path() {
    let none = HeaderMap::new();
    for bad in ["", "a", "/a b", "/a#b", "/a\r\nb", "/a\0", "http://h/", "/\u{e9}", "*", "/a|b"] {
        assert_eq!(status(&head(bad, &none)), 400, "{bad:?}");
    }
    assert_eq!(status(&Head { method: &Method::OPTIONS, ..head("*", &none) }), 200);
}

#[test]
fn two_three_authority_and_host_agree() {
    let none = HeaderMap::new();
    let same = fields(&[("host", b"H:443")]);
    let other = fields(&[("host", b"other")]);
    let twice = fields(&[("host", b"h"), ("host", b"h")]);
    assert_eq!(status(&head("/", &same)), 200);
    assert_eq!(status(&head("/", &other)), 400);
    assert_eq!(status(&head("/", &twice)), 400);
    assert_eq!(status(&Head { authority: None, ..head("/", &same) }), 200);
    assert_eq!(status(&Head { authority: None, ..head("/", &none) }), 400);
    for bad in ["", "u@h", "h:0", "a,b", "h/x", "h:", "h h"] {
        assert_eq!(status(&Head { authority: Some(bad), ..head("/", &none) }), 400, "{bad:?}");
    }
}

#[test]
fn two_four_the_scheme_is_that_of_the_connection() {
    let none = HeaderMap::new();
    for scheme in [None, Some("http"), Some("https://evil/"), Some("")] {
        assert_eq!(status(&Head { scheme, ..head("/", &none) }), 400, "{scheme:?}");
    }
    let clear = Head { scheme: Some("http"), transport: Scheme::Http, ..head("/", &none) };
    assert_eq!(status(&clear), 200);
}

#[test]
fn two_five_values_do_not_begin_or_end_with_a_space() {
    for bad in [&b" a"[..], b"a ", b"\ta", b"a\t"] {
        let fields = fields(&[("x-a", bad)]);
        assert_eq!(status(&head("/", &fields)), 400, "{bad:?}");
    }
    let fields = fields(&[("x-a", b"a b\x80"), ("x-b", b"")]);
    assert_eq!(status(&head("/", &fields)), 200);
}

#[test]
fn two_six_connection_fields_have_no_place() {
    for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
        let fields = fields(&[(name, b"chunked")]);
        assert_eq!(status(&head("/", &fields)), 400, "{name}");
    }
    assert_eq!(status(&head("/", &fields(&[("te", b"gzip")]))), 400);
    assert_eq!(status(&head("/", &fields(&[("te", b"trailers, gzip")]))), 400);
    assert_eq!(status(&head("/", &fields(&[("te", b"Trailers")]))), 200);
}

#[test]
fn two_seven_a_length_is_one_plain_number_and_true() {
    for bad in [&b"+5"[..], b"5, 5", b"", b"5x"] {
        let fields = fields(&[("content-length", bad)]);
        assert_eq!(status(&Head { stream: Stream::Open, ..head("/", &fields) }), 400, "{bad:?}");
    }
    let twice = fields(&[("content-length", b"5"), ("content-length", b"5")]);
    assert_eq!(status(&Head { stream: Stream::Open, ..head("/", &twice) }), 400);
    let five = fields(&[("content-length", b"5")]);
    assert_eq!(status(&head("/", &five)), 400);
    let open = check(&Head { stream: Stream::Open, ..head("/", &five) }, FIELDS_MAX).expect("sound");
    assert_eq!(open.body, BodyLength::Length(5));
    let unknown = HeaderMap::new();
    let open = check(&Head { stream: Stream::Open, ..head("/", &unknown) }, FIELDS_MAX).expect("sound");
    assert_eq!(open.body, BodyLength::Chunked);
}

#[test]
fn two_eight_crumbs_count_as_fields() {
    let mut crumbs = HeaderMap::new();
    for idx in 0..=FIELDS_MAX {
        crumbs.append("cookie", HeaderValue::from(idx));
    }
    assert_eq!(status(&head("/", &crumbs)), 431);
}

#[test]
fn the_rules_of_single_fields_are_those_of_http_1() {
    assert_eq!(status(&head("/", &fields(&[("expect", b"200-ok")]))), 417);
    assert_eq!(status(&head("/", &fields(&[("authorization", b"a"), ("authorization", b"b")]))), 400);
    let grpc = fields(&[("content-type", b"application/grpc+proto")]);
    assert!(check(&head("/", &grpc), FIELDS_MAX).expect("sound").is_grpc);
}
