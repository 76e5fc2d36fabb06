//! How an upstream broke: the closed list of ends of an attempt that did not give a usable reply.
//!
//! Decides status, slug and wording of each. Whether a failure is tried again is the retry policy's to say;
//! this list only says what happened.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;

use super::{Answer, Blame, ProxyError};

/// An attempt, or the choice of an endpoint for it, failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The upstream has no endpoint that may be picked. 503.
    NoEndpoint,
    /// A breaker is tripped. 503.
    Tripped {
        /// When the breaker will probe again.
        retry_after: Duration,
    },
    /// The upstream has `max_requests` in flight. 503.
    Overloaded {
        /// When a next try is welcome.
        retry_after: Duration,
    },
    /// No connection could be made. 502, or 504 if time ran out.
    Connect(ConnectFailure),
    /// The connection ended before the reply did. 502.
    Reset,
    /// The endpoint was silent for longer than allowed. 504.
    ReadTimeout,
    /// The exchange's own time is up. 504.
    Deadline,
    /// The endpoint replied with a status that the route counts as a failure.
    Status(u16),
    /// The reply was not HTTP, or had more than one interpretation. 502.
    BadResponse,
}

/// Why no connection could be made; nothing of the request was sent in any of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectFailure {
    /// The address answered that nobody listens.
    Refused,
    /// The address did not answer in time.
    Timeout,
    /// The TLS handshake failed: certificate, name or protocol.
    Tls,
    /// There is no way to the address.
    Unreachable,
    /// Anything else the operating system reported.
    Other,
}

impl Failure {
    /// The stable slug: problem `code`, log field, `error_type` label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoEndpoint => "no_endpoint",
            Self::Tripped { .. } => "breaker_tripped",
            Self::Overloaded { .. } => "upstream_overloaded",
            Self::Connect(ConnectFailure::Refused) => "connect_refused_by_endpoint",
            Self::Connect(ConnectFailure::Timeout) => "connect_timeout",
            Self::Connect(ConnectFailure::Tls) => "connect_tls",
            Self::Connect(ConnectFailure::Unreachable) => "connect_unreachable",
            Self::Connect(ConnectFailure::Other) => "connect_failed",
            Self::Reset => "upstream_reset",
            Self::ReadTimeout => "upstream_timeout",
            Self::Deadline => "deadline_exceeded",
            Self::Status(_) => "upstream_status",
            Self::BadResponse => "bad_response",
        }
    }

    /// The status of the answer if nothing else covers the failure.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoEndpoint | Self::Tripped { .. } | Self::Overloaded { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Connect(ConnectFailure::Timeout) | Self::ReadTimeout | Self::Deadline => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::Connect(
                ConnectFailure::Refused
                | ConnectFailure::Tls
                | ConnectFailure::Unreachable
                | ConnectFailure::Other,
            )
            | Self::Reset
            | Self::BadResponse => StatusCode::BAD_GATEWAY,
            Self::Status(code) => received_status(*code),
        }
    }

    /// Always the upstream: that is what makes it a failure and not a rejection.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        Blame::Upstream
    }

    /// The whole answer.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let mut answer = Answer::new(self.status(), self.code(), Cow::Borrowed(self.detail()));
        answer.proxy_status = self.proxy_error();
        answer.retry_after = self.retry_after();
        answer
    }

    /// When a next try can succeed, where we know.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Tripped { retry_after } | Self::Overloaded { retry_after } => Some(*retry_after),
            Self::NoEndpoint | Self::Connect(_) | Self::Reset | Self::ReadTimeout => None,
            Self::Deadline | Self::Status(_) | Self::BadResponse => None,
        }
    }

    const fn proxy_error(&self) -> Option<ProxyError> {
        match self {
            Self::NoEndpoint | Self::Tripped { .. } => Some(ProxyError::DestinationUnavailable),
            Self::Overloaded { .. } => Some(ProxyError::ConnectionLimitReached),
            Self::Connect(ConnectFailure::Refused | ConnectFailure::Other) => {
                Some(ProxyError::ConnectionRefused)
            }
            Self::Connect(ConnectFailure::Timeout) => Some(ProxyError::ConnectionTimeout),
            Self::Connect(ConnectFailure::Tls) => Some(ProxyError::TlsProtocolError),
            Self::Connect(ConnectFailure::Unreachable) => Some(ProxyError::DestinationIpUnroutable),
            Self::Reset => Some(ProxyError::ConnectionTerminated),
            Self::ReadTimeout => Some(ProxyError::ConnectionReadTimeout),
            Self::Deadline => Some(ProxyError::HttpResponseTimeout),
            // A status is a whole and well-formed reply: RFC 9209 knows no error for it.
            Self::Status(_) => None,
            Self::BadResponse => Some(ProxyError::HttpProtocolError),
        }
    }

    const fn detail(&self) -> &'static str {
        match self {
            Self::NoEndpoint => "the service has no healthy endpoint",
            Self::Tripped { .. } => "the service failed too often and is given a rest",
            Self::Overloaded { .. } => "the service has as many requests in flight as it may",
            Self::Connect(ConnectFailure::Timeout) => "the service could not be reached in time",
            Self::Connect(ConnectFailure::Tls) => "no secure connection to the service could be made",
            Self::Connect(ConnectFailure::Refused | ConnectFailure::Unreachable | ConnectFailure::Other) => {
                "the service could not be reached"
            }
            Self::Reset => "the service broke off the connection",
            Self::ReadTimeout => "the service did not answer in time",
            Self::Deadline => "the time for this request is up",
            Self::Status(_) => "the service answered with an error",
            Self::BadResponse => "the service's answer could not be understood",
        }
    }
}

/// The status to show for a failed reply: its own if it says an error, else 502.
fn received_status(code: u16) -> StatusCode {
    match StatusCode::from_u16(code) {
        Ok(status) if status.is_client_error() || status.is_server_error() => status,
        Ok(_) | Err(_) => StatusCode::BAD_GATEWAY,
    }
}
