//! Why a command was refused, in Consul's words where Consul has words for it.
//! It decides whose fault it was; the HTTP status is `api`'s.

/// Whose fault a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The request is wrong.
    Request,
    /// The request names something that is not there.
    Missing,
    /// The registry is full.
    Full,
    /// Consul answers an internal error here, so do we.
    Internal,
}

/// A refused command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// Whose fault it was.
    pub blame: Blame,
    /// For humans.
    pub text: String,
}

impl Refusal {
    /// The request is wrong.
    pub fn request(text: impl Into<String>) -> Self {
        Self { blame: Blame::Request, text: text.into() }
    }

    /// The request names something that is not there.
    pub fn missing(text: impl Into<String>) -> Self {
        Self { blame: Blame::Missing, text: text.into() }
    }

    /// Consul answers an internal error here.
    pub fn internal(text: impl Into<String>) -> Self {
        Self { blame: Blame::Internal, text: text.into() }
    }

    pub(crate) fn full(what: &str, max: usize) -> Self {
        Self { blame: Blame::Full, text: format!("registry full: at most {max} {what}") }
    }

    pub(crate) fn unknown_service(id: &str) -> Self {
        Self::missing(format!(
            "Unknown service ID {id:?}. Ensure that the service ID is passed, not the service name."
        ))
    }

    pub(crate) fn unknown_check(id: &str) -> Self {
        Self::missing(format!(
            "Unknown check ID {id:?}. Ensure that the check ID is passed, not the check name."
        ))
    }
}
