//! The document as the gateway runs it: names resolved, defaults filled in, nothing left open.
//!
//! Decides what a document means ([`compile`]) and what outlives a reload ([`carry`](Carried)). Immutable once
//! built, but for the cells it points to; published by one swap, and a request keeps the one it started with.

mod boot;
mod listener;
mod upstream;

mod destination;
mod edits;
mod fallback;
mod rewrite;
mod route;

mod carry;
mod compile;
mod diff;
mod gate;
mod in_force;
mod route_test;

pub use portcullis_schema::{Alpn, Consistency, Protocol, TlsVersion, Writes};

pub use boot::{AccessLog, AdminDoor, AdminToken, Boot, Consul, KeptSecret};
pub use carry::Carried;
pub use compile::{Compiled, Explained, Explanation, Origin, compile, explain, explain_all};
pub use destination::{Destination, Target, Timeouts, WeightedDestination};
pub use diff::{Change, Difference};
pub use edits::HeaderEdits;
pub use fallback::{Fallback, FallbackAnswer, FallbackKinds};
pub use gate::Gate;
pub use listener::{CertificateFiles, Listener, ListenerLimits, ListenerTls};
pub use rewrite::Rewrite;
pub use route::{Consumer, Route, RouteSettings};
pub use route_test::{RouteTestResult, TestFailure, run_route_tests};
pub use upstream::{Upstream, UpstreamSource};

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::auth::jwt::JwksCell;
use crate::headers::identity::IdentityNames;
use crate::limit::Limit;
use crate::router::Router;

/// Everything the data path needs, compiled from one document.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts the snapshots since start, from 1.
    pub generation: u64,
    /// All routes, indexed.
    pub router: Router<Arc<Route>>,
    /// Upstreams that a route uses, by name; one named directly in a route is here under its text.
    pub upstreams: BTreeMap<Arc<str>, Arc<Upstream>>,
    /// Consumers by name.
    pub consumers: BTreeMap<Arc<str>, Arc<Consumer>>,
    /// Where clients connect, by name. Live: a reload opens and closes listeners.
    pub listeners: BTreeMap<Arc<str>, Arc<Listener>>,
    /// Headers by which any route hands an identity to its upstream; a client may bring them on none.
    pub identity_names: Arc<IdentityNames>,
    /// Key sets that gates trust; the shell keeps them fresh.
    pub jwks: Vec<Arc<JwksCell>>,
    /// Every limit in use, to be swept of idle keys.
    pub limits: Vec<Arc<Limit>>,
    /// What only a restart can change.
    pub boot: Boot,
    carried: Carried,
}

impl Snapshot {
    /// What a later snapshot may take over from this one.
    #[must_use]
    pub fn carried(&self) -> &Carried {
        &self.carried
    }

    /// The limits for a request on `route` by `consumer`, in the order they are asked.
    ///
    /// A consumer's own limit stands in for a limit by consumer on the route, and applies to every other route too.
    pub fn limits_for<'s>(
        &'s self,
        route: &'s Route,
        consumer: Option<&str>,
    ) -> impl Iterator<Item = &'s Arc<Limit>> + use<'s> {
        let own =
            consumer.and_then(|name| self.consumers.get(name)).and_then(|consumer| consumer.limit.as_ref());
        let of_route =
            route.settings.limit.as_ref().filter(|_| own.is_none() || !route.settings.limit_is_by_consumer);
        of_route.into_iter().chain(own)
    }

    /// The route of this name; a search, not for the data path.
    #[must_use]
    pub fn route(&self, name: &str) -> Option<&Arc<Route>> {
        self.router.iter().find(|(known, _)| ***known == *name).map(|(_, route)| route)
    }
}
