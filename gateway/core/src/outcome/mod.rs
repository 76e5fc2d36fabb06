//! What the gateway answers when an exchange does not end with the upstream's own reply.
//!
//! Decides the status, slug, wording, `Proxy-Status` and gRPC code of every such end, in one mapping.
//! A [`Rejection`] is ours: we said no. A [`Failure`] is the upstream's: it broke, and only a failure
//! may be retried or covered by a fallback. Never writes to a connection and never holds a client's words:
//! every text here is fixed or comes from the configuration.

mod answer;
mod failure;
mod grpc;
mod proxy_status;
mod rejection;

pub use answer::Answer;
pub use failure::{ConnectFailure, Failure};
pub use grpc::grpc_status_of_http;
pub use proxy_status::ProxyError;
pub use rejection::Rejection;

/// Who has to change something for the exchange to succeed; a closed label of logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The request was wrong, not allowed, or too much.
    Client,
    /// The gateway refused for its own sake, or one of its parts failed.
    Gateway,
    /// The upstream did not answer, or answered with what cannot be passed on.
    Upstream,
}

impl Blame {
    /// The label value: `client`, `gateway` or `upstream`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gateway => "gateway",
            Self::Upstream => "upstream",
        }
    }
}
