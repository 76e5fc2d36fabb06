//! A whole answer made by a filter.
//!
//! Holds no framing: length, connection and transfer headers are the gateway's, so a filter cannot desynchronise a
//! connection whatever it writes here.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::Fault;
use crate::view::is_gateway_owned;

/// The largest body a filter may answer with, in bytes. More belongs behind an upstream.
pub const REPLY_BODY_BYTES_MAX: usize = 1024 * 1024;

/// An answer that replaces whatever the upstream would say or has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status; a final one, so 200 to 599.
    pub status: StatusCode,
    /// The header fields, without those the gateway owns.
    pub headers: HeaderMap,
    /// The body. Not sent in answer to `HEAD`, nor with 204 and 304.
    pub body: Bytes,
}

impl Reply {
    /// An empty answer with this status.
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// The same answer with one more field; earlier fields of that name are replaced.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The same answer with a body of the given media type.
    #[must_use]
    pub fn with_body(mut self, media_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        self.headers.insert(CONTENT_TYPE, media_type);
        self.body = body.into();
        self
    }

    /// The same answer with a JSON body.
    #[must_use]
    pub fn with_json(self, json: &serde_json::Value) -> Self {
        self.with_body(HeaderValue::from_static("application/json"), json.to_string())
    }

    /// Whether the gateway can send this answer as it stands. The gateway asks; a filter need not.
    ///
    /// # Errors
    /// A [`Fault`] for an interim status, a header the gateway owns, or a body over [`REPLY_BODY_BYTES_MAX`].
    pub fn check(&self) -> Result<(), Fault> {
        if !(200..=599).contains(&self.status.as_u16()) {
            return Err(Fault::new(format!("reply status {} is not a final one", self.status.as_u16())));
        }
        if let Some(name) = self.headers.keys().find(|name| is_gateway_owned(name)) {
            return Err(Fault::new(format!("reply sets `{name}`, which belongs to the gateway")));
        }
        if self.body.len() > REPLY_BODY_BYTES_MAX {
            return Err(Fault::new(format!("reply body is larger than {REPLY_BODY_BYTES_MAX} bytes")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::header::{CONTENT_LENGTH, RETRY_AFTER};

    use super::*;

    #[test]
    fn an_ordinary_reply_may_be_sent() {
        let reply = Reply::new(StatusCode::SERVICE_UNAVAILABLE)
            .with_header(RETRY_AFTER, HeaderValue::from_static("5"))
            .with_json(&serde_json::json!({ "title": "later" }));
        assert_eq!(reply.check(), Ok(()));
        assert_eq!(reply.headers[CONTENT_TYPE], "application/json");
        assert_eq!(&reply.body[..], br#"{"title":"later"}"#);
    }

    #[test]
    fn an_interim_status_is_a_fault() {
        assert!(Reply::new(StatusCode::CONTINUE).check().is_err());
        assert!(Reply::new(StatusCode::SWITCHING_PROTOCOLS).check().is_err());
    }

    #[test]
    fn a_reply_that_sets_its_own_framing_is_a_fault() {
        let reply = Reply::new(StatusCode::OK).with_header(CONTENT_LENGTH, HeaderValue::from_static("5"));
        assert!(reply.check().is_err());
    }

    #[test]
    fn a_reply_beyond_the_bound_is_a_fault() {
        let body = vec![0; REPLY_BODY_BYTES_MAX + 1];
        let reply = Reply::new(StatusCode::OK).with_body(HeaderValue::from_static("text/plain"), body);
        assert!(reply.check().is_err());
    }
}
