//! The gates of a route and the one order in which every request meets them.
//!
//! Decides what the order is called and which gates a route has; the shell's `admit` step walks the same order, and
//! a test from outside holds it to it.

use super::{Route, Snapshot};
use crate::chain::Hook;
use crate::limit::LimitBy;

/// A gate. The order of the variants is the order in which they are met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gate {
    /// Plugins that answer CORS preflights, which carry no credential by definition.
    Preflight,
    /// A limit by address, header or route.
    RateLimit,
    /// An API key.
    ApiKey,
    /// A token.
    Jwt,
    /// A limit by consumer, the route's or the consumer's own.
    ConsumerLimit,
    /// The size of the body.
    MaxBody,
    /// Plugins.
    Plugins,
}

impl Gate {
    /// Every gate in the order in which a request meets them.
    pub const ORDER: [Self; 7] = [
        Self::Preflight,
        Self::RateLimit,
        Self::ApiKey,
        Self::Jwt,
        Self::ConsumerLimit,
        Self::MaxBody,
        Self::Plugins,
    ];

    /// A stable name for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::RateLimit => "rate_limit",
            Self::ApiKey => "api_key",
            Self::Jwt => "jwt",
            Self::ConsumerLimit => "consumer_limit",
            Self::MaxBody => "max_body",
            Self::Plugins => "plugins",
        }
    }

    /// What it asks, in a few words, and with which status it refuses.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Preflight => "plugins that answer CORS preflights",
            Self::RateLimit => "rate_limit by ip, header or route, else 429",
            Self::ApiKey => "api_key, else 401",
            Self::Jwt => "jwt, else 401 or 403",
            Self::ConsumerLimit => "rate_limit by consumer, else 429",
            Self::MaxBody => "max_body, else 413",
            Self::Plugins => "plugins, in their order",
        }
    }

    /// Whether a request on `route` can be stopped here.
    #[must_use]
    pub fn is_on(self, snapshot: &Snapshot, route: &Route) -> bool {
        match self {
            Self::Preflight => route.settings.chain.wants(Hook::Preflight),
            Self::RateLimit => route.settings.limit.is_some() && !route.settings.limit_is_by_consumer,
            Self::ApiKey => route.settings.api_key.is_some(),
            Self::Jwt => route.settings.jwt.is_some(),
            Self::ConsumerLimit => {
                route.settings.limit_is_by_consumer || has_consumers_with_limits(snapshot, route)
            }
            Self::MaxBody => route.settings.body_bytes_max.is_some(),
            Self::Plugins => route.settings.chain.wants(Hook::Request),
        }
    }
}

/// Whether a consumer's own limit can apply. A token beside a key names the client, and it names no consumer.
fn has_consumers_with_limits(snapshot: &Snapshot, route: &Route) -> bool {
    let names_consumers = route.settings.api_key.is_some() && route.settings.jwt.is_none();
    let mut limits = snapshot.consumers.values().filter_map(|consumer| consumer.limit.as_ref());
    names_consumers && limits.any(|limit| limit.settings().by == LimitBy::Consumer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_variants_and_names_each_once() {
        assert!(Gate::ORDER.is_sorted_by(|before, after| before < after));
        let mut names: Vec<&str> = Gate::ORDER.iter().map(|gate| gate.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Gate::ORDER.len());
    }
}
