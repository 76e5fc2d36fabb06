//! What a listener refuses before the proxy ever sees it, told to whoever counts and logs.
//!
//! Decides nothing: it is the shape of the report. The proxy logs exchanges, this covers what never became one.

use std::borrow::Cow;
use std::net::SocketAddr;

use http::StatusCode;

/// Why a connection or a request ended in the listener. A closed set: fit for a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalCause {
    /// A request head broke a rule, or missed its deadline, and was answered.
    Request,
    /// The connection cap was reached; closed without an answer.
    ConnectionCap,
    /// The TLS handshake failed.
    Handshake,
    /// The TLS handshake missed its deadline.
    HandshakeTimeout,
}

impl RefusalCause {
    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::ConnectionCap => "connection_cap",
            Self::Handshake => "tls_handshake",
            Self::HandshakeTimeout => "tls_handshake_timeout",
        }
    }
}

/// One refusal.
#[derive(Debug, Clone)]
pub struct Refusal<'a> {
    /// The listener's name in the configuration.
    pub listener: &'a str,
    /// The peer of the connection, before any forwarded header.
    pub client: SocketAddr,
    /// Why.
    pub cause: RefusalCause,
    /// The status we answered with; `None` if we closed without a word.
    pub status: Option<StatusCode>,
    /// The stable slug: the problem's `code` for [`RefusalCause::Request`], else the cause's label.
    pub code: &'static str,
    /// Which rule, for people; never the client's bytes.
    pub detail: Cow<'static, str>,
    /// The id in the answer's `x-request-id`.
    pub request_id: Option<&'a str>,
}

/// Takes reports of refusals. Called on the data path: must neither block nor panic.
pub trait RefusalSink: Send + Sync + 'static {
    /// A fresh request id for an answer the listener makes itself.
    fn request_id(&self) -> String;
    /// One connection or request was refused.
    fn refused(&self, refusal: &Refusal<'_>);
}
