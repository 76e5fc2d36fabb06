//! Answers: their headers, their body, and how a refusal becomes a status.
//! One mapping for all endpoints.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ALLOW, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Response, StatusCode};
use portcullis_consul_wire::headers;
use serde::Serialize;
use serde_json::Value;

use crate::store::{Blame, Refusal};
use crate::wait::Crowded;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const NOTICE: HeaderValue = HeaderValue::from_static(crate::NOTICE);

/// A good answer.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    body: Body,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Debug)]
enum Body {
    Empty,
    Json(Value),
    /// Serialized already, because it can be large and is never asked for in another form.
    Compact(Vec<u8>),
    Bytes(Vec<u8>),
}

impl Reply {
    /// 200 without a body, as Consul answers writes to the agent.
    pub(super) fn empty() -> Self {
        Self::new(StatusCode::OK, Body::Empty)
    }

    /// A JSON answer.
    pub(super) fn json(value: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_vec(value).map_err(|error| Problem::server_error(error.to_string()))?;
        Ok(Self::new(StatusCode::OK, Body::Compact(body)))
    }

    /// A small JSON answer that cannot fail.
    pub(super) fn value(value: Value) -> Self {
        Self::new(StatusCode::OK, Body::Json(value))
    }

    /// Text for humans.
    pub(super) fn text(text: String) -> Self {
        Self::new(StatusCode::OK, Body::Bytes(text.into_bytes())).header(CONTENT_TYPE, PLAIN)
    }

    /// The bytes of a value, marked so that a browser never runs them.
    pub(super) fn raw(bytes: Vec<u8>) -> Self {
        Self::new(StatusCode::OK, Body::Bytes(bytes))
            .header(CONTENT_TYPE, PLAIN)
            .header(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
            .header(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"))
    }

    /// 404 without a body, as Consul answers for a key that is not there.
    pub(super) fn absent() -> Self {
        Self::new(StatusCode::NOT_FOUND, Body::Empty)
    }

    /// Answer to `OPTIONS`.
    pub(super) fn allow(methods: &[Method]) -> Self {
        Self::empty().header(ALLOW, allow(methods))
    }

    /// Adds what Consul says of every read.
    pub(super) fn read_at(self, index: u64) -> Self {
        self.header(headers::INDEX, HeaderValue::from(index.max(1)))
            .header(headers::KNOWN_LEADER, HeaderValue::from_static("true"))
            .header(headers::LAST_CONTACT, HeaderValue::from_static("0"))
            .header(headers::QUERY_BACKEND, HeaderValue::from_static("blocking-query"))
    }

    /// Adds what Consul says of reads of the catalog and of health, but not of keys.
    pub(super) fn consistent(self, consistency: &'static str) -> Self {
        self.header(headers::EFFECTIVE_CONSISTENCY, HeaderValue::from_static(consistency))
    }

    fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    fn new(status: StatusCode, body: Body) -> Self {
        Self { status, body, headers: Vec::new() }
    }

    pub(super) fn into_response(self, pretty: bool) -> Response<Full<Bytes>> {
        let json = matches!(self.body, Body::Json(_) | Body::Compact(_));
        let mut bytes = match self.body {
            Body::Empty => Vec::new(),
            Body::Json(value) => value.to_string().into_bytes(),
            Body::Compact(bytes) | Body::Bytes(bytes) => bytes,
        };
        if json && pretty {
            bytes = indent(&bytes).unwrap_or(bytes);
        }
        let mut response = respond(self.status, bytes);
        if json {
            response.headers_mut().insert(CONTENT_TYPE, JSON);
        }
        response.headers_mut().extend(self.headers.into_iter().map(|(name, value)| (Some(name), value)));
        response
    }
}

/// Four spaces and a final line feed, as Consul's `?pretty`.
fn indent(json: &[u8]) -> Option<Vec<u8>> {
    let value: Box<serde_json::value::RawValue> = serde_json::from_slice(json).ok()?;
    let value: Value = serde_json::from_str(value.get()).ok()?;
    let mut bytes = Vec::with_capacity(json.len() * 2);
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    value.serialize(&mut serializer).ok()?;
    bytes.push(b'\n');
    Some(bytes)
}

/// An answer that says what was wrong, in plain text as Consul does.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    text: String,
    allow: Option<HeaderValue>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), allow: None }
    }

    pub(super) fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    pub(super) fn server_error(text: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }

    pub(super) fn method_not_allowed(method: &Method, methods: &[Method]) -> Self {
        Self {
            status: StatusCode::METHOD_NOT_ALLOWED,
            text: format!("method {method} not allowed"),
            allow: Some(allow(methods)),
        }
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = respond(self.status, self.text.into_bytes());
        response.headers_mut().insert(CONTENT_TYPE, PLAIN);
        if let Some(allow) = self.allow {
            response.headers_mut().insert(ALLOW, allow);
        }
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.blame {
            Blame::Request => StatusCode::BAD_REQUEST,
            Blame::Missing => StatusCode::NOT_FOUND,
            Blame::Full => StatusCode::INSUFFICIENT_STORAGE,
            Blame::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, refusal.text)
    }
}

impl From<Crowded> for Problem {
    fn from(crowded: Crowded) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, crowded.to_string())
    }
}

fn respond(status: StatusCode, bytes: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(bytes)));
    *response.status_mut() = status;
    response.headers_mut().insert(headers::PORTCULLIS_REGISTRY, NOTICE);
    response.headers_mut().insert(headers::DEFAULT_ACL_POLICY, HeaderValue::from_static("allow"));
    response
}

fn allow(methods: &[Method]) -> HeaderValue {
    let names: Vec<&str> = std::iter::once("OPTIONS").chain(methods.iter().map(Method::as_str)).collect();
    HeaderValue::from_str(&names.join(",")).unwrap_or(HeaderValue::from_static("OPTIONS"))
}
