//! An answer we make ourselves, and how it is written down: problem+json or gRPC trailers-only.
//!
//! Decides the bytes; never shows a stack, a version, an address or anything the client sent.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use serde::Serialize;

use super::{ProxyError, proxy_status};

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// A whole answer, not yet bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status; for gRPC it travels as 200 with [`Answer::grpc_status`].
    pub status: StatusCode,
    /// The stable slug, for machines.
    pub code: &'static str,
    /// The status phrase: RFC 9457 §4.2.1 asks for it when `type` is `about:blank`.
    pub title: &'static str,
    /// One sentence for people: lower case, no full stop.
    pub detail: Cow<'static, str>,
    /// The error of `Proxy-Status`; `None` if the upstream's reply was whole.
    pub proxy_status: Option<ProxyError>,
    /// When a next try can succeed.
    pub retry_after: Option<Duration>,
    /// Fields that belong to this answer only: `Allow`, `WWW-Authenticate`, `RateLimit`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// The members of RFC 9457 §3.1 and our two extensions, `code` and `request_id`.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    request_id: &'a str,
}

impl Answer {
    /// An answer with the phrase of its status as title and nothing else set.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, detail: Cow<'static, str>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self { status, code, title, detail, proxy_status: None, retry_after: None, headers: Vec::new() }
    }

    /// The body as `application/problem+json` (RFC 9457). Not to be sent for HEAD.
    #[must_use]
    pub fn problem_json(&self, request_id: &str) -> Bytes {
        let problem = Problem {
            r#type: "about:blank",
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            request_id,
        };
        // Strings and a number always serialize; an empty body would still be a valid reply.
        serde_json::to_vec(&problem).map(Bytes::from).unwrap_or_default()
    }

    /// Every field of the head but the framing ones: content type, `Cache-Control: no-store`, `Retry-After`,
    /// `Proxy-Status` and the answer's own. `gateway` is our name, `next_hop` the upstream's, if one was chosen.
    #[must_use]
    pub fn problem_headers(&self, gateway: &str, next_hop: Option<&str>) -> Vec<(HeaderName, HeaderValue)> {
        let mut fields = vec![(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
        self.push_shared(&mut fields, gateway, next_hop);
        fields
    }

    /// The same for a gRPC client: a trailers-only reply, whose head is sent with status 200 and no body.
    #[must_use]
    pub fn grpc_headers(&self, gateway: &str, next_hop: Option<&str>) -> Vec<(HeaderName, HeaderValue)> {
        let (code, _) = self.grpc_status();
        let mut fields = vec![
            (CONTENT_TYPE, HeaderValue::from_static("application/grpc")),
            (GRPC_STATUS, HeaderValue::from(u16::from(code))),
        ];
        if let Ok(message) = HeaderValue::try_from(percent_encoded(&self.detail)) {
            fields.push((GRPC_MESSAGE, message));
        }
        self.push_shared(&mut fields, gateway, next_hop);
        fields
    }

    /// `Retry-After` in whole seconds, rounded up, at least 1: an early return would only be refused again.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        let span = self.retry_after?;
        let up = u64::from(span.subsec_nanos() > 0);
        Some(span.as_secs().saturating_add(up).max(1))
    }

    fn push_shared(
        &self,
        fields: &mut Vec<(HeaderName, HeaderValue)>,
        gateway: &str,
        next_hop: Option<&str>,
    ) {
        fields.push((CACHE_CONTROL, HeaderValue::from_static("no-store")));
        if let Some(seconds) = self.retry_after_seconds() {
            fields.push((RETRY_AFTER, HeaderValue::from(seconds)));
        }
        if let Some(value) = proxy_status::field_value(gateway, self.proxy_status, next_hop, self.code) {
            fields.push((PROXY_STATUS, value));
        }
        fields.extend(self.headers.iter().cloned());
    }
}

/// `grpc-message`: everything outside printable ASCII, and `%`, as `%XX` (gRPC over HTTP/2, "Percent-Encoded").
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(hex_digit(byte >> 4));
            encoded.push(hex_digit(byte & 15));
        }
    }
    encoded
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).map_or('0', |c| c.to_ascii_uppercase())
}
