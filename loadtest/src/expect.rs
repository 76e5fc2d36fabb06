//! What a right answer is, and in which way an answer is wrong. Decides; sends nothing.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use sha2::{Digest, Sha256};

/// Bytes of a wrong body that are shown.
const SHOWN_BYTES: usize = 160;

/// What a right answer is.
#[derive(Debug, Clone, Default)]
pub struct Expect {
    /// Statuses that are right; empty means every 2xx.
    pub statuses: Vec<StatusCode>,
    /// What the body must be.
    pub body: BodyExpect,
}

/// Looks at a whole body and says whether it is right.
pub type Judge = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// What a right body is.
#[derive(Clone, Default)]
pub enum BodyExpect {
    /// Any that arrives whole.
    #[default]
    Any,
    /// These bytes.
    Exactly(Bytes),
    /// These bytes are somewhere in it.
    Contains(Bytes),
    /// Its SHA-256 is this.
    Sha256([u8; 32]),
    /// The function says so.
    Holds(Judge),
}

impl fmt::Debug for BodyExpect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("Any"),
            Self::Exactly(bytes) => write!(f, "Exactly({} bytes)", bytes.len()),
            Self::Contains(bytes) => f.debug_tuple("Contains").field(bytes).finish(),
            Self::Sha256(digest) => write!(f, "Sha256({})", hex::encode(digest)),
            Self::Holds(_) => f.write_str("Holds(..)"),
        }
    }
}

/// In which way a request failed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// No connection came about.
    Connect,
    /// The connection ended before the answer was whole.
    Closed,
    /// No whole answer in time.
    Timeout,
    /// The answer is not HTTP.
    Protocol,
    /// A status that was not expected.
    Status(u16),
    /// A body that was not expected.
    Body,
    /// A body longer than the driver reads.
    BodyTooLong,
    /// The request's id did not come back.
    RequestId,
    /// Not sent: too many were waiting already.
    BacklogFull,
}

impl Kind {
    /// Its name in a report.
    pub(crate) fn name(&self) -> String {
        let name = match self {
            Self::Connect => "connect",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Status(status) => return format!("status_{status}"),
            Self::Body => "body",
            Self::BodyTooLong => "body_too_long",
            Self::RequestId => "request_id",
            Self::BacklogFull => "backlog_full",
        };
        name.to_owned()
    }
}

/// A request that failed.
#[derive(Debug, Clone)]
pub(crate) struct Wrong {
    pub(crate) kind: Kind,
    /// For a reader: what was seen.
    pub(crate) detail: String,
}

impl Wrong {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

impl Expect {
    /// Whether status and body are right.
    pub(crate) fn judge(&self, status: StatusCode, body: &[u8]) -> Result<(), Wrong> {
        let right =
            if self.statuses.is_empty() { status.is_success() } else { self.statuses.contains(&status) };
        if !right {
            return Err(Wrong::new(Kind::Status(status.as_u16()), shown(body)));
        }
        if self.body.holds(body) {
            Ok(())
        } else {
            Err(Wrong::new(Kind::Body, format!("{} bytes: {}", body.len(), shown(body))))
        }
    }
}

impl BodyExpect {
    fn holds(&self, body: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(bytes) => body == bytes,
            Self::Contains(bytes) => {
                bytes.is_empty() || body.windows(bytes.len()).any(|window| window == bytes)
            }
            Self::Sha256(digest) => Sha256::digest(body).as_slice() == digest,
            Self::Holds(judge) => judge(body),
        }
    }
}

fn shown(body: &[u8]) -> String {
    let start = body.get(..SHOWN_BYTES).unwrap_or(body);
    String::from_utf8_lossy(start).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: BodyExpect, seen: &[u8]) -> bool {
        Expect { statuses: Vec::new(), body }.judge(StatusCode::OK, seen).is_ok()
    }

    #[test]
    fn bodies_are_judged_by_what_was_asked_for() {
        assert!(check(BodyExpect::Any, b""));
        assert!(check(BodyExpect::Exactly(Bytes::from_static(b"ab")), b"ab"));
        assert!(!check(BodyExpect::Exactly(Bytes::from_static(b"ab")), b"abc"));
        assert!(check(BodyExpect::Contains(Bytes::from_static(b"bc")), b"abcd"));
        assert!(!check(BodyExpect::Contains(Bytes::from_static(b"x")), b"abcd"));
        let digest: [u8; 32] = Sha256::digest(b"test").as_slice().try_into().unwrap();
        assert!(check(BodyExpect::Sha256(digest), b"test"));
        assert!(!check(BodyExpect::Sha256(digest), b"tesd"));
        assert!(!check(BodyExpect::Holds(Arc::new(|body| body.len() > 3)), b"abc"));
    }

    #[test]
    fn without_statuses_every_2xx_is_right_and_with_them_only_those() {
        let any = Expect::default();
        assert!(any.judge(StatusCode::CREATED, b"").is_ok());
        assert_eq!(any.judge(StatusCode::BAD_GATEWAY, b"x").unwrap_err().kind, Kind::Status(502));
        let limited = Expect { statuses: vec![StatusCode::TOO_MANY_REQUESTS], body: BodyExpect::Any };
        assert!(limited.judge(StatusCode::TOO_MANY_REQUESTS, b"").is_ok());
        assert_eq!(limited.judge(StatusCode::OK, b"").unwrap_err().kind.name(), "status_200");
    }
}
