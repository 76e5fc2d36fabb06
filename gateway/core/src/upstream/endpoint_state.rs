//! One endpoint of an upstream with what the gateway has learnt about it.
//!
//! Decides nothing; remembers. What the registry says is replaced with every set, what we counted
//! stays for as long as the endpoint does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use portcullis_discovery_model::{Endpoint, Health};

use super::gauge::Gauge;
use super::{BreakerIdx, carried_breakers};
use crate::balancer::Load;
use crate::breaker::{Breaker, BreakerSettings};

/// An endpoint and its state. Immutable but for its counters and its drain.
#[derive(Debug)]
pub struct EndpointState {
    endpoint: Endpoint,
    vitals: Arc<Vitals>,
    breakers: Box<[Arc<Breaker>]>,
}

/// What stays when weight, health, tags or breaker settings change.
#[derive(Debug, Default)]
struct Vitals {
    in_flight: Gauge,
    picks: AtomicU64,
    draining: AtomicBool,
}

impl EndpointState {
    pub(super) fn new(endpoint: Endpoint, breakers: &[BreakerSettings]) -> Self {
        Self { endpoint, vitals: Arc::default(), breakers: carried_breakers(breakers, &[]) }
    }

    /// The same endpoint as the registry describes it now.
    pub(super) fn described(&self, endpoint: Endpoint) -> Self {
        Self { endpoint, vitals: Arc::clone(&self.vitals), breakers: self.breakers.clone() }
    }

    /// The same endpoint under other breaker settings.
    pub(super) fn for_breakers(&self, breakers: &[BreakerSettings]) -> Self {
        Self {
            endpoint: self.endpoint.clone(),
            vitals: Arc::clone(&self.vitals),
            breakers: carried_breakers(breakers, &self.breakers),
        }
    }

    /// What the registry says about it.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Attempts in flight to it.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.vitals.in_flight.count()
    }

    /// Attempts ever sent to it.
    #[must_use]
    pub fn picks(&self) -> u64 {
        self.vitals.picks.load(Ordering::Relaxed)
    }

    /// Its breakers, in the order of the upstream's settings.
    #[must_use]
    pub fn breakers(&self) -> &[Arc<Breaker>] {
        &self.breakers
    }

    /// Whether it gets no new attempts by an operator's wish.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.vitals.draining.load(Ordering::Relaxed)
    }

    /// Keeps new attempts away from it, or lets them come again. Those in flight go on. Kept over
    /// changes of the set and of the configuration, forgotten when the endpoint leaves the set.
    pub fn set_draining(&self, draining: bool) {
        self.vitals.draining.store(draining, Ordering::Relaxed);
    }

    /// Whether its health lets it be picked at all.
    pub(super) fn is_pickable(&self) -> bool {
        match self.endpoint.health {
            Health::Passing | Health::Warning => true,
            Health::Critical => false,
        }
    }

    pub(super) fn breaker(&self, idx: BreakerIdx) -> Option<&Arc<Breaker>> {
        self.breakers.get(usize::from(idx.0))
    }

    pub(super) fn load(&self) -> Load {
        Load { in_flight: self.in_flight(), weight: self.endpoint.weight.get() }
    }

    /// The load of no endpoint, for a position that is none.
    pub(super) fn no_load() -> Load {
        Load { in_flight: u32::MAX, weight: 1 }
    }

    pub(super) fn enter(&self) {
        self.vitals.in_flight.add();
        self.vitals.picks.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave(&self) {
        self.vitals.in_flight.subtract();
    }
}
