//! What an upstream shows to people and metrics.
//!
//! Decides nothing: copies taken at one moment, free of atomics and locks.

use std::num::NonZeroU32;

use portcullis_discovery_model::{Endpoint, Freshness};

use super::EndpointState;
use crate::balancer::Balance;
use crate::breaker::{Breaker, BreakerSettings, BreakerState, Transitions};
use crate::units::Moment;

/// An upstream at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamView {
    /// How current the set is; absent until discovery has answered.
    pub freshness: Option<Freshness>,
    /// How attempts are spread.
    pub balance: Balance,
    /// Attempts in flight, those to endpoints that have left the set included.
    pub in_flight: u32,
    /// The bound on them.
    pub max_requests: Option<NonZeroU32>,
    /// The upstream's own breakers, in the order of its settings.
    pub breakers: Vec<BreakerView>,
    /// The endpoints in the order of the set.
    pub endpoints: Vec<EndpointView>,
}

/// An endpoint at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointView {
    /// What the registry says about it.
    pub endpoint: Endpoint,
    /// Attempts in flight to it.
    pub in_flight: u32,
    /// Attempts ever sent to it.
    pub picks: u64,
    /// Whether an operator keeps new attempts away from it.
    pub draining: bool,
    /// Its breakers, in the order of the upstream's settings.
    pub breakers: Vec<BreakerView>,
}

/// A breaker at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakerView {
    /// The settings it works by.
    pub settings: BreakerSettings,
    /// What it does with an attempt now.
    pub state: BreakerState,
    /// How often each state was entered.
    pub transitions: Transitions,
}

impl EndpointView {
    pub(super) fn of(state: &EndpointState, now: Moment) -> Self {
        Self {
            endpoint: state.endpoint().clone(),
            in_flight: state.in_flight(),
            picks: state.picks(),
            draining: state.is_draining(),
            breakers: state.breakers().iter().map(|breaker| BreakerView::of(breaker, now)).collect(),
        }
    }
}

impl BreakerView {
    pub(super) fn of(breaker: &Breaker, now: Moment) -> Self {
        Self {
            settings: breaker.settings().clone(),
            state: breaker.state(now),
            transitions: breaker.transitions(),
        }
    }
}
