//! Rate limits: whether one more request of a key fits its quota.
//!
//! Decides by GCRA (ITU-T I.371; the crate governor does the arithmetic) on a clock that is handed
//! in, and says what is left and when. Never reads a clock, never grows past its bound of keys,
//! never lets a request through because it has no room to count it.

mod cells;
mod clock;
mod key;

#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::{Quota, RateLimiter};
use http::HeaderName;

use crate::units::Moment;
use cells::{Cells, Store};
use clock::RequestClock;
use key::Fingerprint;

pub use key::{LimitKey, LimitSeed};

/// The longest time a bucket may take to fill, 73 years; longer ones are cut to it. Keeps all
/// arithmetic on nanoseconds within 64 bits.
const FILL_NANOS_MAX: u64 = 1 << 61;

/// A quota: `permits` requests `per` span, up to `burst` at once, for each key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSettings {
    /// The policy's name, for headers, logs and metrics.
    pub name: Arc<str>,
    /// Requests that each `per` allows.
    pub permits: NonZeroU32,
    /// The span of `permits`; zero is taken for a nanosecond.
    pub per: Duration,
    /// Requests that may come at once after a pause.
    pub burst: NonZeroU32,
    /// What the key is; the caller builds the [`LimitKey`] accordingly.
    pub by: LimitBy,
    /// Decide and count, but let every request through.
    pub dry_run: bool,
    /// The most keys remembered at once, at least one. Beyond it new keys share one bucket.
    pub keys_max: usize,
}

/// What requests are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LimitBy {
    /// The client's address.
    Ip,
    /// The authenticated consumer.
    Consumer,
    /// The value of a header.
    Header(HeaderName),
    /// Nothing: all requests of the route together.
    Route,
}

/// What a limit says about one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitDecision {
    /// Whether the request fits the quota.
    pub allowed: bool,
    /// Whether a request that does not fit is to be refused; false in a dry run.
    pub enforced: bool,
    /// Whether the key had no bucket of its own because the bound of keys is reached.
    pub shared: bool,
    /// The quota: requests that `window` allows.
    pub limit: u32,
    /// The span of the quota.
    pub window: Duration,
    /// Requests that would be allowed now, this one counted.
    pub remaining: u32,
    /// Until the whole burst is available again.
    pub reset: Duration,
    /// Until one request is allowed; zero if one is now.
    pub retry_after: Duration,
}

type Limiter = RateLimiter<Fingerprint, Store, RequestClock, StateInformationMiddleware>;

/// One limit with the buckets of all its keys.
pub struct Limit {
    settings: LimitSettings,
    seed: LimitSeed,
    limiter: Limiter,
    /// The limiter's own store, which it does not show.
    cells: Arc<Cells>,
    /// What a full bucket is ahead of one with a single request left, in nanoseconds.
    tolerance: u64,
}

impl LimitDecision {
    /// Whether the request is to be refused.
    #[must_use]
    pub const fn refuses(&self) -> bool {
        !self.allowed && self.enforced
    }
}

impl Limit {
    /// A limit with no keys yet. `seed` keeps outsiders from choosing keys that collide: draw it
    /// once at start, from a good source of randomness.
    #[must_use]
    pub fn new(settings: LimitSettings, seed: LimitSeed) -> Self {
        let (interval, burst) = paced(&settings);
        // The quota of one per interval is never zero long, so there always is one.
        let quota = Quota::with_period(Duration::from_nanos(interval))
            .unwrap_or(Quota::per_second(settings.permits))
            .allow_burst(burst);
        let cells = Arc::new(Cells::new(settings.keys_max));
        // governor counts from the moment the limiter is made: with that at the origin, its
        // nanoseconds are ours.
        let store = Store(Arc::clone(&cells));
        let limiter = RequestClock::at(Moment::ORIGIN, |clock| Limiter::new(quota, store, clock));
        let tolerance = interval.saturating_mul(u64::from(burst.get() - 1));
        Self { settings, seed, limiter, cells, tolerance }
    }

    /// The settings it was made with.
    #[must_use]
    pub fn settings(&self) -> &LimitSettings {
        &self.settings
    }

    /// Counts one request of `key`, if it fits. Allocates only for a key not seen lately.
    #[must_use]
    pub fn check(&self, key: &LimitKey<'_>, now: Moment) -> LimitDecision {
        let fingerprint = key.fingerprint(self.seed);
        // Before the request, not after: the room may be for it.
        self.cells.make_room(now);
        let (outcome, note) =
            cells::noted(|| RequestClock::at(now, |_| self.limiter.check_key(&fingerprint)));
        // The arrival time of a bucket that is ahead by `tolerance` has one request left.
        let (allowed, remaining, arrival) = match outcome {
            Ok(snapshot) => (true, snapshot.remaining_burst_capacity(), note.arrival),
            Err(refused) => (false, 0, refused.earliest_possible().as_u64().saturating_add(self.tolerance)),
        };
        let ahead = arrival.saturating_sub(now.as_nanos());
        LimitDecision {
            allowed,
            enforced: !self.settings.dry_run,
            shared: note.shared,
            limit: self.settings.permits.get(),
            window: self.settings.per,
            remaining,
            reset: Duration::from_nanos(ahead),
            retry_after: Duration::from_nanos(ahead.saturating_sub(self.tolerance)),
        }
    }

    /// Forgets keys whose buckets are full, which changes no decision; says how many. To be called
    /// every few seconds, off the hot path.
    pub fn sweep(&self, now: Moment) -> usize {
        self.cells.sweep(now)
    }

    /// Keys that have a bucket.
    #[must_use]
    pub fn n_keys(&self) -> usize {
        self.cells.n_live()
    }

    /// Requests that were counted in the shared bucket for want of room.
    #[must_use]
    pub fn n_shared(&self) -> u64 {
        self.cells.n_shared()
    }
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit").field("settings", &self.settings).field("n_keys", &self.n_keys()).finish()
    }
}

/// Nanoseconds between requests, and the burst, within [`FILL_NANOS_MAX`].
fn paced(settings: &LimitSettings) -> (u64, NonZeroU32) {
    let per = u64::try_from(settings.per.as_nanos()).unwrap_or(u64::MAX).min(FILL_NANOS_MAX);
    let interval = (per / u64::from(settings.permits.get())).max(1);
    let burst_max = u32::try_from(FILL_NANOS_MAX / interval).unwrap_or(u32::MAX);
    let burst = settings.burst.min(NonZeroU32::new(burst_max).unwrap_or(NonZeroU32::MIN));
    (interval, burst)
}

/// A moment in governor's words.
fn nanos(moment: Moment) -> Nanos {
    Nanos::from(moment.as_nanos())
}
