//! A named set of endpoints with everything that must outlive a change of it.
//!
//! Decides which endpoint gets an attempt, or why none does: bound, breakers, health, draining,
//! then the balancer's order. Never connects, never waits; picks take no lock and allocate
//! nothing, they follow one pointer to an immutable pool and count with atomics.

mod endpoint_state;
mod gauge;
mod lease;
mod pool;
mod view;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use portcullis_discovery_model::{EndpointSet, Freshness};

use crate::balancer::{Balance, Turn};
use crate::breaker::{Breaker, BreakerSettings, BreakerState, Permit};
use crate::units::Moment;

pub use endpoint_state::EndpointState;
use gauge::Gauge;
use lease::Occupied;
pub use lease::{Lease, Verdict};
use pool::Pool;
pub use view::{BreakerView, EndpointView, UpstreamView};

/// What an upstream is told by the configuration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CellSettings {
    /// How attempts are spread.
    pub balance: Balance,
    /// The most attempts in flight at once over all endpoints; no bound if absent.
    pub max_requests: Option<NonZeroU32>,
    /// The distinct breaker settings of the routes that use the upstream; at most 256 are
    /// reachable by [`BreakerIdx`]. Each has one breaker for the upstream and one per endpoint.
    pub breakers: Vec<BreakerSettings>,
}

/// A position in [`CellSettings::breakers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BreakerIdx(pub u8);

/// What an attempt asks for.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The present.
    pub now: Moment,
    /// The breakers that apply, if the route has any.
    pub breaker: Option<BreakerIdx>,
    /// Addresses that earlier attempts of the exchange went to; taken again only if nothing else
    /// is left.
    pub tried: &'a [SocketAddr],
}

/// Why no endpoint was picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPick {
    /// The set is empty or not known yet, or every endpoint is critical or draining.
    #[error("no endpoint")]
    NoEndpoint,
    /// As many attempts are in flight as the upstream may have.
    #[error("{max} requests are in flight already")]
    Overloaded {
        /// The bound.
        max: NonZeroU32,
    },
    /// The upstream's breaker is tripped, or that of every endpoint that is left.
    #[error("every breaker is tripped")]
    Tripped {
        /// How long until the first of them may let an attempt through.
        retry_after: Duration,
    },
}

/// The moving part of an upstream: its endpoints, what is known about them, and their counts.
///
/// One cell belongs to one snapshot; [`UpstreamCell::carry`] makes the next snapshot's cell with
/// the same state inside.
#[derive(Debug)]
pub struct UpstreamCell {
    settings: CellSettings,
    pool: ArcSwap<Pool>,
    /// Held while a new pool is built, so that none is lost. Never taken by a pick.
    replacing: Mutex<()>,
    turn: Arc<Turn>,
    in_flight: Arc<Gauge>,
    breakers: Box<[Arc<Breaker>]>,
}

impl UpstreamCell {
    /// A cell that has no answer from discovery yet and picks nothing.
    #[must_use]
    pub fn new(settings: CellSettings) -> Self {
        let breakers = carried_breakers(&of_the_whole(&settings.breakers), &[]);
        Self {
            settings,
            pool: ArcSwap::default(),
            replacing: Mutex::default(),
            turn: Arc::default(),
            in_flight: Arc::default(),
            breakers,
        }
    }

    /// A cell for new settings with the endpoints, counts, drains and turn of `old`, and those of
    /// its breakers whose settings are the same.
    ///
    /// Counts are shared, not copied: leases of either cell show in both. A set that reaches `old`
    /// after this call does not reach the new cell, so whoever follows discovery calls
    /// [`UpstreamCell::replace`] with the present set once the new cell is in place.
    #[must_use]
    pub fn carry(old: &UpstreamCell, settings: CellSettings) -> Self {
        let breakers = carried_breakers(&of_the_whole(&settings.breakers), &old.breakers);
        let pool = old.pool.load().for_breakers(&settings.breakers, &old.settings.breakers);
        Self {
            settings,
            pool: ArcSwap::from_pointee(pool),
            replacing: Mutex::default(),
            turn: Arc::clone(&old.turn),
            in_flight: Arc::clone(&old.in_flight),
            breakers,
        }
    }

    /// The settings it was made with.
    #[must_use]
    pub fn settings(&self) -> &CellSettings {
        &self.settings
    }

    /// Takes over a set. Endpoints that stay, by address and id, keep their counts, breakers and
    /// drain; leases of those that go stay valid until they end.
    ///
    /// O(endpoints) and off the hot path: picks go on with the old pool until the new one is ready.
    pub fn replace(&self, set: &EndpointSet, freshness: Freshness) {
        let _one_at_a_time = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.pool.load().replaced(set, freshness, &self.settings.breakers);
        self.pool.store(Arc::new(next));
    }

    /// Picks an endpoint for one attempt and counts the attempt in until the lease ends.
    /// `rng` gives uniform numbers.
    ///
    /// # Errors
    /// Says why there is none; nothing is counted then.
    pub fn pick(&self, ask: &Ask<'_>, rng: &mut dyn FnMut() -> u64) -> Result<Lease, NoPick> {
        let pool = self.pool.load();
        if pool.members.pickable.is_empty() {
            return Err(NoPick::NoEndpoint);
        }
        let seat = Gauge::enter(&self.in_flight, self.settings.max_requests)
            .map_err(|max| NoPick::Overloaded { max })?;
        let upstream_permit = match ask.breaker.and_then(|idx| self.breakers.get(usize::from(idx.0))) {
            Some(breaker) => Some(
                breaker
                    .try_acquire(ask.now)
                    .map_err(|tripped| NoPick::Tripped { retry_after: tripped.retry_after })?,
            ),
            None => None,
        };
        let (occupied, endpoint_permit) = self.choose(&pool, ask, rng)?;
        Ok(Lease::new(occupied, [upstream_permit, endpoint_permit], seat))
    }

    /// The states of all endpoints in the order of the set, critical ones included.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Arc<EndpointState>> {
        self.pool.load().members.all.to_vec()
    }

    /// Its own breakers, in the order of its settings; those of the endpoints are with the endpoints.
    #[must_use]
    pub fn breakers(&self) -> &[Arc<Breaker>] {
        &self.breakers
    }

    /// How current the set is; absent until discovery has answered.
    #[must_use]
    pub fn freshness(&self) -> Option<Freshness> {
        self.pool.load().freshness
    }

    /// Lets attempts through every breaker of the upstream and of its endpoints again; says how many did not
    /// let them through before.
    pub fn reset_breakers(&self) -> usize {
        let pool = self.pool.load();
        let of_endpoints = pool.members.all.iter().flat_map(|state| state.breakers());
        self.breakers.iter().chain(of_endpoints).filter(|breaker| breaker.reset()).count()
    }

    /// Attempts in flight, those to endpoints that have left the set included.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.count()
    }

    /// Whether discovery has answered.
    #[must_use]
    pub fn has_answer(&self) -> bool {
        self.pool.load().freshness.is_some()
    }

    /// Everything there is to show, as of `now`.
    #[must_use]
    pub fn view(&self, now: Moment) -> UpstreamView {
        let pool = self.pool.load();
        UpstreamView {
            freshness: pool.freshness,
            balance: self.settings.balance,
            in_flight: self.in_flight.count(),
            max_requests: self.settings.max_requests,
            breakers: self.breaker_views(&pool, now),
            endpoints: pool.members.all.iter().map(|state| EndpointView::of(state, now)).collect(),
        }
    }

    /// The upstream's own breakers; one is shown as tripped, too, if those of all endpoints are: nothing gets through.
    fn breaker_views(&self, pool: &Pool, now: Moment) -> Vec<BreakerView> {
        let pickable = &pool.members.pickable;
        let is_tripped = |state: &Arc<EndpointState>, idx: usize| {
            state.breakers().get(idx).is_some_and(|breaker| breaker.state(now) == BreakerState::Tripped)
        };
        let settings = self.settings.breakers.iter().cloned();
        let views = settings.zip(&self.breakers).enumerate().map(|(idx, (settings, breaker))| {
            let view = BreakerView { settings, ..BreakerView::of(breaker, now) };
            let all_tripped = !pickable.is_empty() && pickable.iter().all(|state| is_tripped(state, idx));
            if all_tripped { BreakerView { state: BreakerState::Tripped, ..view } } else { view }
        });
        views.collect()
    }

    /// Asks the balancer for an endpoint that is not draining, not tried and not tripped; failing
    /// that, for a tried one.
    fn choose(
        &self,
        pool: &Pool,
        ask: &Ask<'_>,
        rng: &mut dyn FnMut() -> u64,
    ) -> Result<(Occupied, Option<Permit>), NoPick> {
        let mut admission = Admission { ask, retry_after: None, passed_over: false };
        let pickable = &pool.members.pickable;
        let fresh = self.settings.balance.pick(
            &pool.members.schedule,
            &self.turn,
            rng,
            |idx| pickable.get(idx).map_or_else(EndpointState::no_load, |state| state.load()),
            |idx| admission.admit_untried(pickable.get(idx)?),
        );
        if let Some(admitted) = fresh {
            return Ok(admitted);
        }
        if admission.passed_over {
            let again = pickable.iter().find_map(|state| admission.admit(state));
            if let Some(admitted) = again {
                return Ok(admitted);
            }
        }
        Err(match admission.retry_after {
            Some(retry_after) => NoPick::Tripped { retry_after },
            None => NoPick::NoEndpoint,
        })
    }
}

/// The door of one pick: lets endpoints in and remembers why it did not.
struct Admission<'a> {
    ask: &'a Ask<'a>,
    /// The shortest wait that a tripped breaker named.
    retry_after: Option<Duration>,
    /// Whether an endpoint was refused only because it had been tried.
    passed_over: bool,
}

impl Admission<'_> {
    fn admit_untried(&mut self, state: &Arc<EndpointState>) -> Option<(Occupied, Option<Permit>)> {
        if self.ask.tried.contains(&state.endpoint().address) {
            self.passed_over = true;
            return None;
        }
        self.admit(state)
    }

    fn admit(&mut self, state: &Arc<EndpointState>) -> Option<(Occupied, Option<Permit>)> {
        if state.is_draining() {
            return None;
        }
        let Some(breaker) = self.ask.breaker.and_then(|idx| state.breaker(idx)) else {
            return Some((Occupied::new(state), None));
        };
        match breaker.try_acquire(self.ask.now) {
            Ok(permit) => Some((Occupied::new(state), Some(permit))),
            Err(tripped) => {
                let wait = tripped.retry_after;
                self.retry_after = Some(self.retry_after.map_or(wait, |shortest| shortest.min(wait)));
                None
            }
        }
    }
}

/// What the breaker of the whole upstream goes by. Failures in a row are an endpoint's: when one of many dies, all that
/// was in flight to it fails at once, and the others are well.
fn of_the_whole(settings: &[BreakerSettings]) -> Vec<BreakerSettings> {
    settings.iter().map(|one| BreakerSettings { consecutive: None, ..one.clone() }).collect()
}

/// A breaker for each of `settings`: the old one with equal settings, else a new one.
fn carried_breakers(settings: &[BreakerSettings], old: &[Arc<Breaker>]) -> Box<[Arc<Breaker>]> {
    let same = |one: &BreakerSettings| old.iter().find(|breaker| breaker.settings() == one).map(Arc::clone);
    settings.iter().map(|one| same(one).unwrap_or_else(|| Arc::new(Breaker::new(one.clone())))).collect()
}
