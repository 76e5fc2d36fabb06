//! What ties a call or an event to the request that caused it: one request id, one trace.
//!
//! What a caller sends is believed: only the gateway reaches a service, and it replaces what strangers send.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tracing::Span;
use uuid::Uuid;

/// The header with the request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The header with the trace (W3C Trace Context).
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What other systems keep in the trace; passed on as it came.
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Characters of a request id.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// One request id and one place in a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    request_id: String,
    trace_id: String,
    span_id: String,
    flags: String,
    state: Option<HeaderValue>,
}

impl Trace {
    /// The trace that a request brings with it; what it lacks is begun here.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let state = headers.get(&TRACESTATE).cloned();
        Self { state, ..Self::resume(text(&REQUEST_ID), text(&TRACEPARENT)) }
    }

    /// Goes on with what an event or a row kept of the request that caused it; what is missing is begun here.
    #[must_use]
    pub fn resume(request_id: Option<&str>, traceparent: Option<&str>) -> Self {
        let request_id = request_id.filter(|id| is_request_id(id)).map_or_else(new_request_id, str::to_owned);
        let (trace_id, flags) =
            traceparent.and_then(parse).unwrap_or_else(|| (hex(Uuid::new_v4()), "01".to_owned()));
        Self { request_id, trace_id, span_id: hex(Uuid::new_v4()).split_off(16), flags, state: None }
    }

    /// The id that the customer was told, and that every service logs.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The id of the trace, 32 digits.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        &self.trace_id
    }

    /// The trace with this service as the parent of what comes next.
    #[must_use]
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{}", self.trace_id, self.span_id, self.flags)
    }

    /// The headers of a call that this request causes.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let values = [(REQUEST_ID, self.request_id.clone()), (TRACEPARENT, self.traceparent())];
        for (name, value) in values {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
        if let Some(state) = &self.state {
            headers.insert(TRACESTATE, state.clone());
        }
        headers
    }

    /// A span under which everything logged carries both ids.
    #[must_use]
    pub fn span(&self) -> Span {
        tracing::info_span!("work", request_id = %self.request_id, trace_id = %self.trace_id)
    }
}

/// The trace of the request, as the service's first layer established it.
impl<S: Sync> FromRequestParts<S> for Trace {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self::of(&parts.headers)))
    }
}

fn new_request_id() -> String {
    Uuid::now_v7().to_string()
}

fn is_request_id(id: &str) -> bool {
    (1..=REQUEST_ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The trace id and the flags of a `traceparent` of the first version.
fn parse(text: &str) -> Option<(String, String)> {
    let mut parts = text.splitn(4, '-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_set = |part: &str| part.bytes().any(|byte| byte != b'0');
    let fits = version == "00" && is_hex(trace, 32) && is_hex(parent, 16) && is_hex(flags, 2);
    (fits && is_set(trace) && is_set(parent)).then(|| (trace.to_owned(), flags.to_owned()))
}

fn hex(id: Uuid) -> String {
    id.simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    #[test]
    fn a_trace_goes_on_under_a_parent_of_ours() {
        let trace = Trace::resume(Some("r-1"), Some(PARENT));
        assert_eq!((trace.request_id(), trace.trace_id()), ("r-1", "4bf92f3577b34da6a3ce929d0e0e4736"));
        let sent = trace.traceparent();
        assert!(sent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && sent.ends_with("-00"), "{sent}");
        assert!(!sent.contains("00f067aa0ba902b7"), "{sent}");
        assert_eq!(Trace::of(&trace.headers()).trace_id(), trace.trace_id());
    }

    #[test]
    fn what_is_missing_or_broken_is_begun_here() {
        let broken = [
            "",
            "00-0-0-0",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-00",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-00",
        ];
        for traceparent in broken {
            let trace = Trace::resume(Some("two words"), Some(traceparent));
            assert_eq!((trace.trace_id().len(), trace.request_id().len()), (32, 36), "{traceparent}");
            assert!(parse(&trace.traceparent()).is_some(), "{}", trace.traceparent());
        }
    }
}
