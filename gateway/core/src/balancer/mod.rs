//! Which endpoint of a set gets the next attempt.
//!
//! Decides from weights and requests in flight, and asks its caller whether the chosen one is
//! admitted. Never knows an address, a breaker or a clock; holds no lock and allocates nothing
//! per pick.

mod least_request;
mod round_robin;
mod schedule;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use schedule::Schedule;

/// How an upstream spreads its attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Balance {
    /// Smooth weighted round-robin: each endpoint in turn, as often as its weight says.
    #[default]
    RoundRobin,
    /// The less busy of two endpoints drawn by weight.
    LeastRequest,
}

/// Where an upstream is in its schedule. Shared by all threads; survives changes of the set.
///
/// The walk begins at an offset drawn by the first pick, so that a fleet of gateways started
/// together does not send its first requests to the same endpoint.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    offset: OnceLock<u64>,
    taken: AtomicU64,
}

/// How busy an endpoint is, in proportion to what it can take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Requests in flight.
    pub(crate) in_flight: u32,
    /// Its weight.
    pub(crate) weight: u16,
}

impl Balance {
    /// The word for it in the configuration: `round-robin` or `least-request`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::LeastRequest => "least-request",
        }
    }

    /// The first endpoint in this balance's order that `admit` accepts, as what `admit` made of it.
    ///
    /// `admit` is called a bounded number of times on the way and then at most once more for each
    /// endpoint. `None` means that it accepted none.
    pub(crate) fn pick<T>(
        self,
        schedule: &Schedule,
        turn: &Turn,
        rng: &mut dyn FnMut() -> u64,
        load: impl Fn(usize) -> Load,
        admit: impl FnMut(usize) -> Option<T>,
    ) -> Option<T> {
        match self {
            Self::RoundRobin => round_robin::pick(schedule, turn, rng, admit),
            Self::LeastRequest => least_request::pick(schedule, rng, load, admit),
        }
    }
}

impl Turn {
    /// The next position; wraps after 2^64.
    fn next(&self, rng: &mut dyn FnMut() -> u64) -> u64 {
        let offset = *self.offset.get_or_init(rng);
        offset.wrapping_add(self.taken.fetch_add(1, Ordering::Relaxed))
    }
}

impl Load {
    /// Whether this endpoint is less busy than `other`: in-flight per weight, compared exactly.
    fn is_lighter_than(self, other: Load) -> bool {
        u64::from(self.in_flight) * u64::from(other.weight)
            < u64::from(other.in_flight) * u64::from(self.weight)
    }
}

/// The first endpoint from `start` on, going round once, that `admit` accepts.
fn scan<T>(n_endpoints: usize, start: usize, admit: &mut impl FnMut(usize) -> Option<T>) -> Option<T> {
    let start = start.min(n_endpoints);
    (start..n_endpoints).chain(0..start).find_map(admit)
}
