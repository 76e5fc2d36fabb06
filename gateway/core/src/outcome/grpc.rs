//! HTTP status → gRPC status.
//!
//! Decides nothing about HTTP: gives gRPC clients the code that makes them do the right thing.

use http::StatusCode;

use super::{Answer, ProxyError};

/// The codes of the gRPC core that a gateway can mean, with their names.
const UNKNOWN: (u8, &str) = (2, "UNKNOWN");
const INVALID_ARGUMENT: (u8, &str) = (3, "INVALID_ARGUMENT");
const DEADLINE_EXCEEDED: (u8, &str) = (4, "DEADLINE_EXCEEDED");
const PERMISSION_DENIED: (u8, &str) = (7, "PERMISSION_DENIED");
const RESOURCE_EXHAUSTED: (u8, &str) = (8, "RESOURCE_EXHAUSTED");
const UNIMPLEMENTED: (u8, &str) = (12, "UNIMPLEMENTED");
const INTERNAL: (u8, &str) = (13, "INTERNAL");
const UNAVAILABLE: (u8, &str) = (14, "UNAVAILABLE");
const UNAUTHENTICATED: (u8, &str) = (16, "UNAUTHENTICATED");

/// What a gRPC client itself makes of a reply without `grpc-status`
/// (grpc/grpc `doc/http-grpc-status-mapping.md`).
///
/// For replies that are not ours; for our own answers see [`Answer::grpc_status`].
#[must_use]
pub fn grpc_status_of_http(status: StatusCode) -> (u8, &'static str) {
    match status.as_u16() {
        400 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => UNIMPLEMENTED,
        429 | 502..=504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

impl Answer {
    /// The gRPC status code and its name for an answer of ours.
    ///
    /// Sharper than the client-side table, since we know the cause: a used-up limit and a body too large are
    /// `RESOURCE_EXHAUSTED` (a retry at once is useless), a deadline is `DEADLINE_EXCEEDED`, while a
    /// connect timeout stays `UNAVAILABLE`, for nothing was sent and clients may try again.
    #[must_use]
    pub fn grpc_status(&self) -> (u8, &'static str) {
        match self.status.as_u16() {
            400 | 411 | 414 | 417 | 421 => INVALID_ARGUMENT,
            408 => DEADLINE_EXCEEDED,
            413 | 429 | 431 => RESOURCE_EXHAUSTED,
            404 | 405 | 501 | 505 => UNIMPLEMENTED,
            504 if self.proxy_status != Some(ProxyError::ConnectionTimeout) => DEADLINE_EXCEEDED,
            500 | 508 => INTERNAL,
            _ => grpc_status_of_http(self.status),
        }
    }
}
