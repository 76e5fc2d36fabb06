//! Every end of an exchange that we make ourselves: status, wording, fields, gRPC code.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode};
use portcullis_core::outcome::{Answer, Blame, ConnectFailure, Failure, Rejection, grpc_status_of_http};

const SECOND: Duration = Duration::from_secs(1);

fn rejections() -> Vec<(Rejection, u16, u8)> {
    vec![
        (Rejection::Malformed { reason: "a bare line feed" }, 400, 3),
        (Rejection::UriTooLong, 414, 3),
        (Rejection::HeadTooLarge, 431, 8),
        (Rejection::RequestTimeout, 408, 4),
        (Rejection::BodyTooLarge, 413, 8),
        (Rejection::ExpectationFailed, 417, 3),
        (Rejection::ConnectRefused, 405, 12),
        (Rejection::TraceRefused, 405, 12),
        (Rejection::VersionRefused, 505, 12),
        (Rejection::NoRoute, 404, 12),
        (Rejection::MethodNotAllowed { allow: vec![Method::GET, Method::HEAD] }, 405, 12),
        (Rejection::Misdirected, 421, 3),
        (Rejection::Loop, 508, 13),
        (Rejection::Unauthenticated { reason: "no token", challenge: None }, 401, 16),
        (Rejection::Forbidden { reason: "a scope is missing" }, 403, 7),
        (Rejection::Limited { policy: Arc::from("public"), retry_after: SECOND }, 429, 8),
        (Rejection::PluginFault { plugin: Arc::from("country") }, 500, 13),
    ]
}

fn failures() -> Vec<(Failure, u16, u8)> {
    vec![
        (Failure::NoEndpoint, 503, 14),
        (Failure::Tripped { retry_after: SECOND }, 503, 14),
        (Failure::Overloaded { retry_after: SECOND }, 503, 14),
        (Failure::Connect(ConnectFailure::Refused), 502, 14),
        (Failure::Connect(ConnectFailure::Timeout), 504, 14),
        (Failure::Connect(ConnectFailure::Tls), 502, 14),
        (Failure::Connect(ConnectFailure::Unreachable), 502, 14),
        (Failure::Connect(ConnectFailure::Other), 502, 14),
        (Failure::Reset, 502, 14),
        (Failure::ReadTimeout, 504, 4),
        (Failure::Deadline, 504, 4),
        (Failure::Status(500), 500, 13),
        (Failure::Status(503), 503, 14),
        (Failure::Status(200), 502, 14),
        (Failure::Status(9), 502, 14),
        (Failure::BadResponse, 502, 14),
    ]
}

fn field(fields: &[(http::HeaderName, HeaderValue)], name: &str) -> Option<String> {
    fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.to_str().unwrap().to_owned())
}

#[test]
fn each_rejection_has_its_status_and_grpc_code() {
    for (rejection, status, grpc) in rejections() {
        let answer = rejection.answer();
        assert_eq!(answer.status.as_u16(), status, "{rejection:?}");
        assert_eq!(answer.grpc_status().0, grpc, "{rejection:?}");
        assert_eq!(answer.code, rejection.code());
        assert!(answer.proxy_status.is_some(), "{rejection:?}");
    }
}

#[test]
fn each_failure_has_its_status_and_grpc_code() {
    for (failure, status, grpc) in failures() {
        let answer = failure.answer();
        assert_eq!(answer.status.as_u16(), status, "{failure:?}");
        assert_eq!(answer.grpc_status().0, grpc, "{failure:?}");
        assert_eq!(failure.blame(), Blame::Upstream);
    }
}

#[test]
fn no_two_ends_share_a_slug() {
    let mut seen = BTreeSet::new();
    for (rejection, ..) in rejections() {
        assert!(seen.insert(rejection.code()), "{}", rejection.code());
    }
    let failed: BTreeSet<_> = failures().iter().map(|(failure, ..)| failure.code()).collect();
    assert!(seen.is_disjoint(&failed));
    assert_eq!(failed.len(), 13);
}

#[test]
fn a_problem_says_all_members_and_nothing_else() {
    let body = Rejection::NoRoute.answer().problem_json("id-1");
    let text = std::str::from_utf8(&body).unwrap();
    assert_eq!(
        text,
        r#"{"type":"about:blank","title":"Not Found","status":404,"detail":"no route matches this request","code":"no_route","request_id":"id-1"}"#
    );
}

#[test]
fn a_problem_escapes_what_the_configuration_put_into_a_name() {
    let rejection = Rejection::Limited { policy: Arc::from("a\"b\n"), retry_after: SECOND };
    let body = rejection.answer().problem_json("id");
    let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(value["detail"], "the limit `a\"b\n` is used up");
}

#[test]
fn a_405_names_the_methods_it_would_take() {
    let answer = Rejection::MethodNotAllowed { allow: vec![Method::GET, Method::HEAD] }.answer();
    assert_eq!(field(&answer.problem_headers("gateway", None), "allow").as_deref(), Some("GET, HEAD"));
    for rejection in [Rejection::ConnectRefused, Rejection::TraceRefused] {
        assert!(field(&rejection.answer().headers, "allow").is_some_and(|allow| !allow.contains("CONNECT")));
    }
}

#[test]
fn a_401_carries_its_challenge() {
    let challenge = Some(HeaderValue::from_static("Bearer error=\"invalid_token\""));
    let fields =
        Rejection::Unauthenticated { reason: "expired", challenge }.answer().problem_headers("gateway", None);
    assert_eq!(field(&fields, "www-authenticate").as_deref(), Some("Bearer error=\"invalid_token\""));
}

#[test]
fn retry_after_is_rounded_up_and_never_zero() {
    let seconds = |span| Failure::Overloaded { retry_after: span }.answer().retry_after_seconds();
    assert_eq!(seconds(Duration::ZERO), Some(1));
    assert_eq!(seconds(Duration::from_millis(1)), Some(1));
    assert_eq!(seconds(Duration::from_millis(1001)), Some(2));
    assert_eq!(seconds(Duration::MAX), Some(u64::MAX));
    assert_eq!(Rejection::NoRoute.answer().retry_after_seconds(), None);
}

#[test]
fn proxy_status_names_error_next_hop_and_cause() {
    let answer = Failure::Connect(ConnectFailure::Timeout).answer();
    assert_eq!(
        field(&answer.problem_headers("gateway", Some("order-service")), "proxy-status").as_deref(),
        Some(r#"gateway; error=connection_timeout; next-hop="order-service"; details="connect_timeout""#)
    );
    let odd = answer.problem_headers("my \"gate\" €", Some("a\\b\r\n"));
    assert_eq!(
        field(&odd, "proxy-status").as_deref(),
        Some(r#""my \"gate\" "; error=connection_timeout; next-hop="a\\b"; details="connect_timeout""#)
    );
}

#[test]
fn a_grpc_client_gets_a_trailers_only_reply() {
    let answer = Answer::new(StatusCode::NOT_FOUND, "x", "100 % ü".into());
    let fields = answer.grpc_headers("gateway", None);
    assert_eq!(field(&fields, "content-type").as_deref(), Some("application/grpc"));
    assert_eq!(field(&fields, "grpc-status").as_deref(), Some("12"));
    assert_eq!(field(&fields, "grpc-message").as_deref(), Some("100 %25 %C3%BC"));
}

#[test]
fn the_client_side_table_of_grpc_is_kept_for_foreign_replies() {
    let expected =
        [(400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (502, 14), (503, 14), (504, 14), (418, 2)];
    for (status, code) in expected {
        assert_eq!(grpc_status_of_http(StatusCode::from_u16(status).unwrap()).0, code, "{status}");
    }
}

#[test]
fn a_request_that_was_not_understood_ends_its_connection() {
    assert!(Rejection::Malformed { reason: "x" }.closes_connection());
    assert!(Rejection::BodyTooLarge.closes_connection());
    assert!(!Rejection::NoRoute.closes_connection());
}
