//! Who a request comes from, once a gate has made sure.
//!
//! Decides nothing. Debug shows names, never claims: they may be personal.

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use portcullis_plugin_sdk::IdentityView;
use serde_json::{Map, Value};

/// What kind of credential an identity was proved with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Credential {
    /// A signed token.
    Jwt,
    /// An API key.
    ApiKey,
}

/// A client that a gate has recognised.
#[derive(Clone, PartialEq)]
pub struct Identity {
    /// The token's `sub`, or the consumer's name for an API key; empty if the token has no subject.
    pub subject: Arc<str>,
    /// The configured consumer the credential belongs to.
    pub consumer: Option<Arc<str>>,
    /// What limits `by: consumer` count under. Different for a consumer and a token subject of the same name, and for
    /// equal subjects of two issuers, so that nobody can spend another's allowance.
    pub limit_key: Arc<str>,
    /// The kind of credential.
    pub credential: Credential,
    /// Every claim of a verified token; empty for an API key.
    pub claims: Arc<Map<String, Value>>,
    /// The header fields to set for the upstream, in place of any copies the client sent.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Identity {
    /// The identity as filters see it.
    #[must_use]
    pub fn view(&self) -> IdentityView<'_> {
        IdentityView { subject: &self.subject, consumer: self.consumer.as_deref(), claims: &self.claims }
    }

    /// The name for logs: the consumer if there is one, else the subject.
    #[must_use]
    pub fn name(&self) -> &str {
        self.consumer.as_deref().unwrap_or(&self.subject)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("subject", &self.subject)
            .field("consumer", &self.consumer)
            .field("credential", &self.credential)
            .finish_non_exhaustive()
    }
}
