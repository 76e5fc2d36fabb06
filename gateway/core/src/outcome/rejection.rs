//! Why we said no: the closed list of reasons for which the gateway itself refuses a request.
//!
//! Decides status, slug and wording of each. Never retried, never covered by a fallback.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{Method, StatusCode};

use super::{Answer, Blame, ProxyError};

/// The methods named in `Allow` when a method is refused on every resource (RFC 9110 §15.5.6 demands the field).
const ALLOWED_SOMEWHERE: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// The gateway refused the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// The request has no single interpretation; `reason` says which rule it broke. 400.
    Malformed {
        /// Which rule, in lower case, from a fixed list.
        reason: &'static str,
    },
    /// The request line is longer than allowed. 414.
    UriTooLong,
    /// The head has too many bytes or too many fields. 431.
    HeadTooLarge,
    /// The head or the body did not arrive in time. 408.
    RequestTimeout,
    /// The body is longer than the route's `max_body`. 413.
    BodyTooLarge,
    /// `Expect` asks for something other than `100-continue`. 417.
    ExpectationFailed,
    /// `CONNECT`: the gateway is no forward proxy. 405.
    ConnectRefused,
    /// `TRACE` would show a client the fields that the gateway adds. 405.
    TraceRefused,
    /// A version other than HTTP/1.0, 1.1 or 2. 505.
    VersionRefused,
    /// No route matches. 404.
    NoRoute,
    /// A route matches the path but not the method. 405.
    MethodNotAllowed {
        /// Every method some route would take for this path.
        allow: Vec<Method>,
    },
    /// The host of the request is not one this connection may ask for (SNI ≠ Host). 421.
    Misdirected,
    /// Our own `Via` entry is already in the request. 508.
    Loop,
    /// No credential, or one that does not hold. 401.
    Unauthenticated {
        /// Why, for the log and the detail; never contains the credential.
        reason: &'static str,
        /// The value of `WWW-Authenticate`.
        challenge: Option<HeaderValue>,
    },
    /// The identity is known and may not do this. 403.
    Forbidden {
        /// Why, from a fixed list.
        reason: &'static str,
    },
    /// A rate limit is used up. 429.
    Limited {
        /// The limit's name in the configuration.
        policy: Arc<str>,
        /// When a next try can succeed.
        retry_after: Duration,
    },
    /// A plugin failed and its route says `failure: deny`. 500.
    PluginFault {
        /// The plugin's name in the configuration.
        plugin: Arc<str>,
    },
}

/// What is fixed about a rejection: one row of [`Rejection::facts`].
struct Facts {
    code: &'static str,
    status: StatusCode,
    blame: Blame,
    after: After,
    proxy_error: ProxyError,
}

/// What happens to an HTTP/1 connection after the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Goes,
    Closes,
}

impl Rejection {
    /// The table of all rejections.
    const fn facts(&self) -> Facts {
        use After::{Closes, Goes};
        use Blame::{Client, Gateway};
        use ProxyError as E;
        use StatusCode as S;
        let (code, status, blame, after, proxy_error) = match self {
            Self::Malformed { .. } => {
                ("malformed_request", S::BAD_REQUEST, Client, Closes, E::HttpRequestError)
            }
            Self::UriTooLong => ("uri_too_long", S::URI_TOO_LONG, Client, Closes, E::HttpRequestError),
            Self::HeadTooLarge => {
                ("head_too_large", S::REQUEST_HEADER_FIELDS_TOO_LARGE, Client, Closes, E::HttpRequestError)
            }
            Self::RequestTimeout => {
                ("request_timeout", S::REQUEST_TIMEOUT, Client, Closes, E::HttpRequestError)
            }
            Self::BodyTooLarge => {
                ("body_too_large", S::PAYLOAD_TOO_LARGE, Client, Closes, E::HttpRequestError)
            }
            Self::ExpectationFailed => {
                ("expectation_failed", S::EXPECTATION_FAILED, Client, Closes, E::HttpRequestError)
            }
            Self::ConnectRefused => {
                ("connect_refused", S::METHOD_NOT_ALLOWED, Client, Closes, E::HttpRequestError)
            }
            Self::TraceRefused => ("trace_refused", S::METHOD_NOT_ALLOWED, Client, Goes, E::HttpRequestError),
            Self::VersionRefused => {
                ("version_refused", S::HTTP_VERSION_NOT_SUPPORTED, Client, Closes, E::HttpRequestError)
            }
            Self::NoRoute => ("no_route", S::NOT_FOUND, Client, Goes, E::DestinationNotFound),
            Self::MethodNotAllowed { .. } => {
                ("method_not_allowed", S::METHOD_NOT_ALLOWED, Client, Goes, E::HttpRequestError)
            }
            Self::Misdirected => ("misdirected", S::MISDIRECTED_REQUEST, Client, Goes, E::HttpRequestError),
            Self::Loop => ("loop", S::LOOP_DETECTED, Gateway, Goes, E::ProxyLoopDetected),
            Self::Unauthenticated { .. } => {
                ("unauthenticated", S::UNAUTHORIZED, Client, Goes, E::HttpRequestDenied)
            }
            Self::Forbidden { .. } => ("forbidden", S::FORBIDDEN, Client, Goes, E::HttpRequestDenied),
            Self::Limited { .. } => {
                ("rate_limited", S::TOO_MANY_REQUESTS, Client, Goes, E::HttpRequestDenied)
            }
            Self::PluginFault { .. } => {
                ("plugin_fault", S::INTERNAL_SERVER_ERROR, Gateway, Goes, E::ProxyInternalError)
            }
        };
        Facts { code, status, blame, after, proxy_error }
    }

    /// The stable slug: problem `code`, log field, metric label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.facts().code
    }

    /// The status of the answer.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.facts().status
    }

    /// Who has to change something.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        self.facts().blame
    }

    /// Whether an HTTP/1 connection must be closed after the answer.
    ///
    /// True where the bytes that follow may not be the next request: a message that was not understood,
    /// a body that is still on its way, a peer that is too slow.
    #[must_use]
    pub const fn closes_connection(&self) -> bool {
        matches!(self.facts().after, After::Closes)
    }

    /// The whole answer.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let mut answer = Answer::new(self.status(), self.code(), self.detail());
        answer.proxy_status = Some(self.facts().proxy_error);
        answer.retry_after = self.retry_after();
        answer.headers.extend(self.field());
        answer
    }

    /// When a next try can succeed, where we know.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        if let Self::Limited { retry_after, .. } = self { Some(*retry_after) } else { None }
    }

    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::Malformed { reason }
            | Self::Unauthenticated { reason, .. }
            | Self::Forbidden { reason } => Cow::Borrowed(reason),
            Self::UriTooLong => Cow::Borrowed("the request line is longer than this listener allows"),
            Self::HeadTooLarge => Cow::Borrowed("the header fields are larger than this listener allows"),
            Self::RequestTimeout => Cow::Borrowed("the request did not arrive in time"),
            Self::BodyTooLarge => Cow::Borrowed("the body is larger than this route allows"),
            Self::ExpectationFailed => Cow::Borrowed("only the expectation `100-continue` can be met"),
            Self::ConnectRefused => Cow::Borrowed("this gateway opens no tunnels"),
            Self::TraceRefused => Cow::Borrowed("TRACE is not answered here"),
            Self::VersionRefused => Cow::Borrowed("only HTTP/1.0, HTTP/1.1 and HTTP/2 are spoken here"),
            Self::NoRoute => Cow::Borrowed("no route matches this request"),
            Self::MethodNotAllowed { .. } => Cow::Borrowed("the resource does not take this method"),
            Self::Misdirected => Cow::Borrowed("this connection was not opened for this host"),
            Self::Loop => Cow::Borrowed("the request has already passed this gateway"),
            Self::Limited { policy, .. } => Cow::Owned(format!("the limit `{policy}` is used up")),
            Self::PluginFault { .. } => Cow::Borrowed("a plugin could not decide about this request"),
        }
    }

    /// The one extra field that the status demands, if any.
    fn field(&self) -> Option<(HeaderName, HeaderValue)> {
        if let Self::MethodNotAllowed { allow } = self {
            let names: Vec<&str> = allow.iter().map(Method::as_str).collect();
            return HeaderValue::try_from(names.join(", ")).ok().map(|value| (ALLOW, value));
        }
        if let Self::Unauthenticated { challenge, .. } = self {
            return challenge.clone().map(|value| (WWW_AUTHENTICATE, value));
        }
        let refused_everywhere = matches!(self, Self::ConnectRefused | Self::TraceRefused);
        refused_everywhere.then(|| (ALLOW, HeaderValue::from_static(ALLOWED_SOMEWHERE)))
    }
}
