//! The error types of `Proxy-Status` (RFC 9209 §2.3) that this gateway uses, and the field's value.
//!
//! Decides spelling and quoting only; which error fits is said by `Rejection` and `Failure`.

use std::fmt::Write as _;

use http::HeaderValue;

/// A proxy error type of RFC 9209 §2.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyError {
    /// No route leads anywhere (§2.3.3).
    DestinationNotFound,
    /// No endpoint may be used now (§2.3.4).
    DestinationUnavailable,
    /// There is no way to the address (§2.3.6).
    DestinationIpUnroutable,
    /// The address refused the connection (§2.3.7).
    ConnectionRefused,
    /// The connection ended before the reply did (§2.3.8).
    ConnectionTerminated,
    /// No connection in time (§2.3.9).
    ConnectionTimeout,
    /// Silence on an open connection (§2.3.10).
    ConnectionReadTimeout,
    /// As many exchanges in flight as allowed (§2.3.12).
    ConnectionLimitReached,
    /// TLS to the endpoint failed (§2.3.13).
    TlsProtocolError,
    /// We answer 4xx for the origin (§2.3.16).
    HttpRequestError,
    /// Policy says no (§2.3.17).
    HttpRequestDenied,
    /// The reply did not end in time (§2.3.26).
    HttpResponseTimeout,
    /// The reply was not HTTP (§2.3.28).
    HttpProtocolError,
    /// A part of the gateway failed (§2.3.30).
    ProxyInternalError,
    /// The request came back to us (§2.3.32).
    ProxyLoopDetected,
}

impl ProxyError {
    /// The token in the registry of proxy error types.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::DestinationNotFound => "destination_not_found",
            Self::DestinationUnavailable => "destination_unavailable",
            Self::DestinationIpUnroutable => "destination_ip_unroutable",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionTerminated => "connection_terminated",
            Self::ConnectionTimeout => "connection_timeout",
            Self::ConnectionReadTimeout => "connection_read_timeout",
            Self::ConnectionLimitReached => "connection_limit_reached",
            Self::TlsProtocolError => "tls_protocol_error",
            Self::HttpRequestError => "http_request_error",
            Self::HttpRequestDenied => "http_request_denied",
            Self::HttpResponseTimeout => "http_response_timeout",
            Self::HttpProtocolError => "http_protocol_error",
            Self::ProxyInternalError => "proxy_internal_error",
            Self::ProxyLoopDetected => "proxy_loop_detected",
        }
    }
}

/// `gateway; error=connection_timeout; next-hop="orders"; details="connect_timeout"` as a field value.
pub(super) fn field_value(
    gateway: &str,
    error: Option<ProxyError>,
    next_hop: Option<&str>,
    details: &str,
) -> Option<HeaderValue> {
    let mut text = String::with_capacity(96);
    push_name(&mut text, gateway);
    if let Some(error) = error {
        // Writing to a String cannot fail.
        let _ = write!(text, "; error={}", error.token());
    }
    if let Some(next_hop) = next_hop {
        text.push_str("; next-hop=");
        push_string(&mut text, next_hop);
    }
    text.push_str("; details=");
    push_string(&mut text, details);
    HeaderValue::try_from(text).ok()
}

/// The member itself: an sf-token where the grammar allows one, else an sf-string (RFC 9209 §2).
fn push_name(text: &mut String, raw: &str) {
    let token_byte = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&b);
    if raw.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*') && raw.bytes().all(token_byte) {
        text.push_str(raw);
    } else {
        push_string(text, raw);
    }
}

/// An sf-string (RFC 8941 §3.3.3); characters it cannot hold are left out.
fn push_string(text: &mut String, raw: &str) {
    text.push('"');
    for character in raw.chars().filter(|c| matches!(c, ' '..='~')) {
        if matches!(character, '"' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    text.push('"');
}
