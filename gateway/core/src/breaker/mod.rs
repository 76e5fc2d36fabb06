//! Circuit breakers: whether an attempt may go to something that has been failing.
//!
//! Decides from the outcomes of past attempts alone: passing, tripped (refuse for a while) or
//! probing (a few may try). Never waits, never reads the clock, never locks: the whole state is
//! one atomic word and a ring of bits, so a busy breaker costs the hot path a few atomics.
//!
//! The three states are those of M. Nygard, *Release It!* (2007), there closed, open, half-open;
//! the count-based window is the one of resilience4j.

mod permit;
mod phase;
mod window;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::units::Moment;

pub use permit::Permit;
use permit::Report;
use phase::{Phase, Stage};
use window::{Tally, Window};

/// The longest a breaker stays tripped after repeated trips, unless `open` itself is longer.
pub const OPEN_MAX: Duration = Duration::from_secs(300);
/// The largest window in outcomes; larger ones are cut to it (8 KiB of bits).
pub const WINDOW_MAX: u32 = 65_536;
/// The most probes; more are cut to it.
pub const PROBES_MAX: u32 = phase::COUNT_MAX;
/// The failure rate is judged once this share of the window, in percent and rounded up, is filled.
/// Below it a single failure after a quiet night would be a rate of one.
pub const WINDOW_FILL_PERCENT: u64 = 50;
/// What a caller is told to wait while all probes are out: nobody knows when they return.
pub const PROBING_RETRY_AFTER: Duration = Duration::from_secs(1);

/// When a breaker trips and how it recovers. With neither `failure_rate` nor `consecutive` it
/// never trips.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakerSettings {
    /// Trip when this share of the window has failed, 0 to 1; at 0 the first failure of a window
    /// that is full enough trips. Not a number never trips.
    pub failure_rate: Option<f64>,
    /// The number of last outcomes that `failure_rate` is taken over; at most [`WINDOW_MAX`].
    pub window: NonZeroU32,
    /// Trip after so many failures without a success between them.
    pub consecutive: Option<NonZeroU32>,
    /// How long the first trip lasts, in steps of a millisecond, rounded up. Each further trip
    /// without a recovery between doubles it, up to [`OPEN_MAX`].
    pub open: Duration,
    /// How many probes must succeed to recover, and how many may be out at once; at most
    /// [`PROBES_MAX`].
    pub probes: NonZeroU32,
}

/// What a breaker does with an attempt that asks now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// It lets every attempt through.
    Passing,
    /// It refuses every attempt.
    Tripped,
    /// It lets a few attempts through to see whether they succeed.
    Probing,
}

/// The refusal of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the breaker is tripped")]
pub struct Tripped {
    /// How long until it may let an attempt through.
    pub retry_after: Duration,
}

/// How often each state was entered since the breaker was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Transitions {
    /// Recoveries.
    pub passing: u64,
    /// Trips, from passing and from probing.
    pub tripped: u64,
    /// Ends of a trip.
    pub probing: u64,
}

/// One circuit breaker; shared by everything that reports to it.
///
/// Every state change starts a new generation. A permit belongs to the generation that gave it
/// and reports to no other, so an attempt that ends late cannot trip, close or starve a breaker
/// that has moved on. Generations are counted modulo 2^18 (262,144): a permit would have to be
/// held over exactly a multiple of as many state changes to be taken for a fresh one.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    phase: AtomicU64,
    window: Option<Window>,
    entered_passing: AtomicU64,
    entered_tripped: AtomicU64,
    entered_probing: AtomicU64,
}

impl BreakerState {
    /// The word for it in metrics and the admin API: `passing`, `tripped` or `probing`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Tripped => "tripped",
            Self::Probing => "probing",
        }
    }
}

impl Breaker {
    /// A passing breaker that has seen nothing.
    #[must_use]
    pub fn new(settings: BreakerSettings) -> Self {
        let window = settings.failure_rate.map(|_| Window::new(settings.window.get().min(WINDOW_MAX)));
        Self {
            settings,
            phase: AtomicU64::new(Phase::FIRST.pack()),
            window,
            entered_passing: AtomicU64::new(0),
            entered_tripped: AtomicU64::new(0),
            entered_probing: AtomicU64::new(0),
        }
    }

    /// The settings it was made with.
    #[must_use]
    pub fn settings(&self) -> &BreakerSettings {
        &self.settings
    }

    /// Asks to make one attempt. Report how it went to the permit.
    ///
    /// # Errors
    /// [`Tripped`] while the breaker is tripped, and while as many probes are out as it needs.
    pub fn try_acquire(self: &Arc<Self>, now: Moment) -> Result<Permit, Tripped> {
        let mut seen = self.phase.load(Ordering::Acquire);
        loop {
            let phase = Phase::unpack(seen);
            let next = match phase.stage {
                Stage::Passing { .. } => return Ok(Permit::new(Arc::clone(self), phase.generation)),
                Stage::Tripped { until } if now < until => {
                    return Err(Tripped { retry_after: until.saturating_since(now) });
                }
                Stage::Tripped { .. } => {
                    phase.enter(Stage::Probing { in_flight: 1, successes: 0 }, phase.streak)
                }
                Stage::Probing { in_flight, successes } if in_flight + successes >= self.probes() => {
                    return Err(Tripped { retry_after: PROBING_RETRY_AFTER });
                }
                Stage::Probing { in_flight, successes } => {
                    phase.stay(Stage::Probing { in_flight: in_flight + 1, successes })
                }
            };
            match self.swap(seen, next) {
                Ok(()) => {
                    self.entered(phase, next);
                    return Ok(Permit::new(Arc::clone(self), next.generation));
                }
                Err(newer) => seen = newer,
            }
        }
    }

    /// The state for an attempt that asks now; a trip whose time is over shows as probing.
    #[must_use]
    pub fn state(&self, now: Moment) -> BreakerState {
        match Phase::unpack(self.phase.load(Ordering::Acquire)).stage {
            Stage::Passing { .. } => BreakerState::Passing,
            Stage::Tripped { until } if now < until => BreakerState::Tripped,
            Stage::Tripped { .. } | Stage::Probing { .. } => BreakerState::Probing,
        }
    }

    /// How often each state was entered.
    #[must_use]
    pub fn transitions(&self) -> Transitions {
        Transitions {
            passing: self.entered_passing.load(Ordering::Relaxed),
            tripped: self.entered_tripped.load(Ordering::Relaxed),
            probing: self.entered_probing.load(Ordering::Relaxed),
        }
    }

    /// Lets every attempt through again, as if it had seen nothing; says whether it did not do so before.
    /// What was let through earlier reports to a generation that is over, and changes nothing.
    pub fn reset(&self) -> bool {
        let mut seen = self.phase.load(Ordering::Acquire);
        loop {
            let phase = Phase::unpack(seen);
            // Before the swap: whoever reports to the new generation must not find the old failures.
            if let Some(window) = &self.window {
                window.clear();
            }
            let next = phase.enter(Stage::Passing { failures: 0 }, 0);
            match self.swap(seen, next) {
                Ok(()) if matches!(phase.stage, Stage::Passing { .. }) => return false,
                Ok(()) => {
                    self.entered(phase, next);
                    return true;
                }
                Err(newer) => seen = newer,
            }
        }
    }

    /// Takes the report of a permit of `generation`; does nothing if that generation is over.
    fn settle(&self, generation: u32, report: Report) {
        let mut seen = self.phase.load(Ordering::Acquire);
        let mut recorded = None;
        loop {
            let phase = Phase::unpack(seen);
            if phase.generation != generation {
                return;
            }
            let next = match phase.stage {
                Stage::Passing { failures } => {
                    let rate_reached = *recorded.get_or_insert_with(|| self.record(report));
                    match self.after_pass(phase, failures, report, rate_reached) {
                        Some(next) => next,
                        None => return,
                    }
                }
                // Nobody holds a permit of a tripped generation.
                Stage::Tripped { .. } => return,
                Stage::Probing { in_flight, successes } => {
                    self.after_probe(phase, in_flight, successes, report)
                }
            };
            match self.swap(seen, next) {
                Ok(()) => return self.entered(phase, next),
                Err(newer) => seen = newer,
            }
        }
    }

    /// Puts the outcome into the window; says whether the failure rate is reached.
    fn record(&self, report: Report) -> bool {
        let (Some(window), Some(rate)) = (&self.window, self.settings.failure_rate) else { return false };
        let tally = match report {
            Report::Success { .. } => window.record(false),
            Report::Failure { .. } => window.record(true),
            Report::Cancelled => return false,
        };
        rate_is_reached(tally, window.len(), rate)
    }

    /// What follows a report while passing; `None` if nothing changes.
    fn after_pass(&self, phase: Phase, failures: u32, report: Report, rate_reached: bool) -> Option<Phase> {
        match report {
            Report::Cancelled => None,
            // The success that fills the window far enough may be the one that shows the rate.
            Report::Success { .. } | Report::Failure { .. } if rate_reached => {
                Some(self.trip(phase, 0, report.at()))
            }
            Report::Success { .. } => (failures > 0).then(|| phase.stay(Stage::Passing { failures: 0 })),
            Report::Failure { now } => {
                let limit = self.settings.consecutive?.get();
                let failures = failures.saturating_add(1);
                if failures >= limit {
                    return Some(self.trip(phase, 0, now));
                }
                Some(phase.stay(Stage::Passing { failures }))
            }
        }
    }

    /// What follows a report while probing.
    fn after_probe(&self, phase: Phase, in_flight: u32, successes: u32, report: Report) -> Phase {
        let in_flight = in_flight.saturating_sub(1);
        match report {
            Report::Cancelled => phase.stay(Stage::Probing { in_flight, successes }),
            Report::Failure { now } => self.trip(phase, phase.streak.saturating_add(1), now),
            Report::Success { .. } if successes + 1 >= self.probes() => {
                phase.enter(Stage::Passing { failures: 0 }, 0)
            }
            Report::Success { .. } => phase.stay(Stage::Probing { in_flight, successes: successes + 1 }),
        }
    }

    fn trip(&self, phase: Phase, streak: u32, now: Moment) -> Phase {
        let streak = streak.min(phase::STREAK_MAX);
        let longest = OPEN_MAX.max(self.settings.open);
        let open = self.settings.open.saturating_mul(1 << streak).min(longest);
        phase.enter(Stage::Tripped { until: phase::round_up(now + open) }, streak)
    }

    fn probes(&self) -> u32 {
        self.settings.probes.get().min(PROBES_MAX)
    }

    fn swap(&self, seen: u64, next: Phase) -> Result<(), u64> {
        self.phase.compare_exchange_weak(seen, next.pack(), Ordering::AcqRel, Ordering::Acquire).map(|_| ())
    }

    /// Counts a state change that this thread has just made.
    fn entered(&self, from: Phase, to: Phase) {
        if from.generation == to.generation {
            return;
        }
        match to.stage {
            Stage::Passing { .. } => self.entered_passing.fetch_add(1, Ordering::Relaxed),
            Stage::Tripped { .. } => self.entered_tripped.fetch_add(1, Ordering::Relaxed),
            Stage::Probing { .. } => {
                // Emptied here because nobody records while probing, and before the first probe's
                // permit is given, without which the breaker cannot pass again.
                if let Some(window) = &self.window {
                    window.clear();
                }
                self.entered_probing.fetch_add(1, Ordering::Relaxed)
            }
        };
    }
}

fn rate_is_reached(tally: Tally, window_len: u64, rate: f64) -> bool {
    let enough = (window_len * WINDOW_FILL_PERCENT).div_ceil(100);
    // Both counts are at most WINDOW_MAX, so the conversions are exact.
    let (failures, filled) = (tally.failures as f64, tally.filled as f64);
    tally.failures > 0 && tally.filled >= enough && failures >= rate * filled
}
