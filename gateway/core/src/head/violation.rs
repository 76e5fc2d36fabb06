//! A broken rule, small enough to be returned from a byte loop.
//!
//! Decides only the status of each kind; the answer is written by `outcome`.

use std::fmt;

use crate::outcome::Rejection;

/// Why a message is refused before it is routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// What kind of refusal it is, which fixes the status.
    pub kind: ViolationKind,
    /// Which rule, in lower case, from a fixed list.
    pub reason: &'static str,
}

/// The kinds of refusal a head or a framing can earn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ViolationKind {
    /// More than one interpretation, or none. 400.
    Malformed,
    /// The request line is too long. 414.
    UriTooLong,
    /// Too many bytes or fields in the head or the trailers. 431.
    HeadTooLarge,
    /// An expectation other than `100-continue`. 417.
    Expectation,
    /// `CONNECT`. 405.
    Connect,
    /// `TRACE`. 405.
    Trace,
    /// A version we do not speak. 505.
    Version,
}

impl Violation {
    /// A message without exactly one interpretation.
    #[must_use]
    pub const fn malformed(reason: &'static str) -> Self {
        Self { kind: ViolationKind::Malformed, reason }
    }

    /// The status of the answer: 400, 405, 414, 417, 431 or 505.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.rejection().status().as_u16()
    }

    /// The same as the gateway's refusal, to be answered or logged.
    #[must_use]
    pub const fn rejection(&self) -> Rejection {
        match self.kind {
            ViolationKind::Malformed => Rejection::Malformed { reason: self.reason },
            ViolationKind::UriTooLong => Rejection::UriTooLong,
            ViolationKind::HeadTooLarge => Rejection::HeadTooLarge,
            ViolationKind::Expectation => Rejection::ExpectationFailed,
            ViolationKind::Connect => Rejection::ConnectRefused,
            ViolationKind::Trace => Rejection::TraceRefused,
            ViolationKind::Version => Rejection::VersionRefused,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl std::error::Error for Violation {}
