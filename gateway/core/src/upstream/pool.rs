//! The endpoints of an upstream at one moment, ready to be picked from.
//!
//! Decides which endpoint of a new set is which of the old one, by address and id. Never changes
//! once built: the cell swaps whole pools.

use std::net::SocketAddr;
use std::sync::Arc;

use portcullis_discovery_model::{Endpoint, EndpointId, EndpointSet, Freshness};

use super::EndpointState;
use crate::balancer::Schedule;
use crate::breaker::BreakerSettings;

#[derive(Debug, Default)]
pub(super) struct Pool {
    /// Absent until discovery has answered.
    pub(super) freshness: Option<Freshness>,
    pub(super) members: Arc<Members>,
}

#[derive(Debug, Default)]
pub(super) struct Members {
    /// In the order of the set: by address and id.
    pub(super) all: Box<[Arc<EndpointState>]>,
    /// Those that may be picked by their health; the schedule's numbers are positions here.
    pub(super) pickable: Box<[Arc<EndpointState>]>,
    pub(super) schedule: Schedule,
}

impl Pool {
    /// The pool of a new set, with the state of the endpoints that stay.
    pub(super) fn replaced(
        &self,
        set: &EndpointSet,
        freshness: Freshness,
        breakers: &[BreakerSettings],
    ) -> Pool {
        let states: Box<[_]> = set.iter().map(|endpoint| self.members.state_of(endpoint, breakers)).collect();
        let unchanged = states.len() == self.members.all.len()
            && states.iter().zip(&self.members.all).all(|(new, old)| Arc::ptr_eq(new, old));
        let members = if unchanged { Arc::clone(&self.members) } else { Arc::new(Members::new(states)) };
        Pool { freshness: Some(freshness), members }
    }

    /// The same endpoints under the breaker settings `new` instead of `old`.
    pub(super) fn for_breakers(&self, new: &[BreakerSettings], old: &[BreakerSettings]) -> Pool {
        if new == old {
            return Pool { freshness: self.freshness, members: Arc::clone(&self.members) };
        }
        let states = self.members.all.iter().map(|state| Arc::new(state.for_breakers(new))).collect();
        Pool { freshness: self.freshness, members: Arc::new(Members::new(states)) }
    }
}

impl Members {
    fn new(all: Box<[Arc<EndpointState>]>) -> Self {
        let pickable: Box<[_]> = all.iter().filter(|state| state.is_pickable()).map(Arc::clone).collect();
        let weights: Vec<_> = pickable.iter().map(|state| state.endpoint().weight).collect();
        Self { all, pickable, schedule: Schedule::new(&weights) }
    }

    /// The state of `endpoint`: the one it has, redescribed if anything about it changed, or none yet.
    fn state_of(&self, endpoint: &Endpoint, breakers: &[BreakerSettings]) -> Arc<EndpointState> {
        match self.find(endpoint.address, &endpoint.id) {
            Some(state) if state.endpoint() == endpoint => Arc::clone(state),
            Some(state) => Arc::new(state.described(endpoint.clone())),
            None => Arc::new(EndpointState::new(endpoint.clone(), breakers)),
        }
    }

    fn find(&self, address: SocketAddr, id: &EndpointId) -> Option<&Arc<EndpointState>> {
        let by_identity = |state: &Arc<EndpointState>| {
            let endpoint = state.endpoint();
            endpoint.address.cmp(&address).then_with(|| endpoint.id.cmp(id))
        };
        self.all.get(self.all.binary_search_by(by_identity).ok()?)
    }
}
