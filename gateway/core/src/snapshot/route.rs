//! A route with everything that a request on it needs, and a consumer.

use std::sync::Arc;

use super::{Fallback, HeaderEdits, Rewrite, Target};
use crate::auth::api_key::ApiKeyGate;
use crate::auth::jwt::JwtGate;
use crate::chain::Chain;
use crate::limit::Limit;
use crate::retry::RetryPolicy;

/// One route: what is its own. Ten thousand routes are found cold in the cache, so this is one line of it.
#[derive(Debug)]
pub struct Route {
    /// How it treats a request.
    pub settings: Arc<RouteSettings>,
    /// How the path is rewritten for the upstream.
    pub rewrite: Option<Box<Rewrite>>,
    /// Its name.
    pub name: Arc<str>,
    /// Changes when the meaning of the route does; of no use outside one process.
    pub fingerprint: u64,
    /// Its place among the routes of its snapshot: what the shell keeps for each route is found by it.
    pub idx: u32,
}

/// How a route treats a request; shared by the routes that treat theirs alike.
#[derive(Debug)]
pub struct RouteSettings {
    /// Where requests go.
    pub target: Target,
    /// Asks for a token.
    pub jwt: Option<Arc<JwtGate>>,
    /// Asks for an API key. Beside `jwt`, both must pass.
    pub api_key: Option<Arc<ApiKeyGate>>,
    /// Bounds how many requests come; see [`super::Snapshot::limits_for`].
    pub limit: Option<Arc<Limit>>,
    /// Whether `limit` counts by consumer, and so yields to a consumer's own.
    pub limit_is_by_consumer: bool,
    /// Repeats attempts that failed.
    pub retry: Option<Arc<RetryPolicy>>,
    /// Statuses of an upstream that count as failed, sorted.
    pub failed_statuses: Arc<[u16]>,
    /// What answers when the upstream cannot; the first that covers the failure.
    pub fallbacks: Box<[Fallback]>,
    /// Changes to the fields that the upstream sees.
    pub request_headers: Arc<HeaderEdits>,
    /// Changes to the fields that the client sees.
    pub response_headers: Arc<HeaderEdits>,
    /// Largest request body in bytes; `None` for no bound.
    pub body_bytes_max: Option<u64>,
    /// Plugins in the order they run.
    pub chain: Arc<Chain>,
}

/// Somebody who calls.
#[derive(Debug)]
pub struct Consumer {
    /// Its name.
    pub name: Arc<str>,
    /// A limit of its own.
    pub limit: Option<Arc<Limit>>,
}

impl RouteSettings {
    /// Whether an upstream's `status` counts as a failed attempt.
    #[must_use]
    pub fn is_failed(&self, status: u16) -> bool {
        self.failed_statuses.binary_search(&status).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_and_its_count_of_holders_fit_one_cache_line() {
        assert_eq!(size_of::<Route>() + 2 * size_of::<usize>(), 64);
    }
}
