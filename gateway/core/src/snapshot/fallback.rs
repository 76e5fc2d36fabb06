//! What answers when the upstream cannot.
//!
//! Decides which failures and methods a fallback covers. A rejection is never covered: it was our own answer.

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use portcullis_schema::FallbackOn;

use super::Destination;
use crate::outcome::{ConnectFailure, Failure};
use crate::router::MethodSet;

/// One fallback of a route; the first that covers a failure answers.
#[derive(Debug, Clone)]
pub struct Fallback {
    /// Kinds of failure it covers.
    pub kinds: FallbackKinds,
    /// Methods it covers; `None` means any.
    pub methods: Option<MethodSet>,
    /// What it answers.
    pub answer: FallbackAnswer,
}

/// What a fallback answers.
#[derive(Debug, Clone)]
pub enum FallbackAnswer {
    /// Whatever this other upstream says. Its own failure has no fallback: there are no chains.
    Upstream(Destination),
    /// This reply.
    Fixed {
        /// Its status.
        status: StatusCode,
        /// The type of its body; `None` if it has none.
        content_type: Option<HeaderValue>,
        /// Its body.
        body: Bytes,
    },
}

/// A set of kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FallbackKinds(u8);

impl FallbackKinds {
    /// Every kind.
    pub const ALL: Self = Self(u8::MAX);

    /// The set of `kinds`.
    #[must_use]
    pub fn new(kinds: impl IntoIterator<Item = FallbackOn>) -> Self {
        Self(kinds.into_iter().map(bit).fold(0, |all, bit| all | bit))
    }

    /// Whether `kind` is in the set.
    #[must_use]
    pub fn contains(self, kind: FallbackOn) -> bool {
        self.0 & bit(kind) != 0
    }
}

const fn bit(kind: FallbackOn) -> u8 {
    1 << match kind {
        FallbackOn::NoEndpoint => 0,
        FallbackOn::Tripped => 1,
        FallbackOn::Overloaded => 2,
        FallbackOn::Connect => 3,
        FallbackOn::Reset => 4,
        FallbackOn::Timeout => 5,
        FallbackOn::Status => 6,
        FallbackOn::BadResponse => 7,
    }
}

impl Fallback {
    /// Whether it answers for `failure` of a request with `method`.
    #[must_use]
    pub fn covers(&self, failure: &Failure, method: &Method) -> bool {
        self.kinds.contains(kind_of(failure))
            && self.methods.as_ref().is_none_or(|methods| methods.contains(method))
    }
}

/// The word of the configuration for a failure.
fn kind_of(failure: &Failure) -> FallbackOn {
    match failure {
        Failure::NoEndpoint => FallbackOn::NoEndpoint,
        Failure::Tripped { .. } => FallbackOn::Tripped,
        Failure::Overloaded { .. } => FallbackOn::Overloaded,
        Failure::Connect(ConnectFailure::Timeout) | Failure::ReadTimeout | Failure::Deadline => {
            FallbackOn::Timeout
        }
        Failure::Connect(
            ConnectFailure::Refused
            | ConnectFailure::Tls
            | ConnectFailure::Unreachable
            | ConnectFailure::Other,
        ) => FallbackOn::Connect,
        Failure::Reset => FallbackOn::Reset,
        Failure::Status(_) => FallbackOn::Status,
        Failure::BadResponse => FallbackOn::BadResponse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fallback_covers_its_kinds_and_methods_only() {
        let fallback = Fallback {
            kinds: FallbackKinds::new([FallbackOn::Timeout, FallbackOn::Status]),
            methods: Some(MethodSet::new([Method::GET])),
            answer: FallbackAnswer::Fixed {
                status: StatusCode::SERVICE_UNAVAILABLE,
                content_type: None,
                body: Bytes::new(),
            },
        };
        assert!(fallback.covers(&Failure::Connect(ConnectFailure::Timeout), &Method::GET));
        assert!(fallback.covers(&Failure::Status(503), &Method::HEAD));
        assert!(!fallback.covers(&Failure::Status(503), &Method::POST));
        assert!(!fallback.covers(&Failure::Reset, &Method::GET));
    }
}
