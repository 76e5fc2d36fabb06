//! How much load retries may add to an upstream that is failing already.
//!
//! Decides whether one more retry fits: over the last ten seconds retries stay within a share of
//! the requests, and where requests are few, within a floor per second. The idea and the window
//! are those of Finagle's `RetryBudget` (ttl 10 s, percentCanRetry, minRetriesPerSec), which
//! linkerd took over. Never counts attempts: with every client retrying three times, an outage
//! is met with four times the load; with a share of 20 %, with 1.2 times.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::units::Moment;

/// Seconds over which requests earn retries.
pub const BUDGET_WINDOW_SECS: u64 = 10;
/// One more than the window, so that a slot is free while the next second begins.
const N_SLOTS: u64 = BUDGET_WINDOW_SECS + 1;
const PARTS: f64 = 1_000_000.0;
const COUNT_BITS: u32 = 24;
/// The most requests, or retries, that one second can count; more are counted as so many.
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
const SECOND_MAX: u64 = (1 << 16) - 1;

/// The terms of a budget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BudgetSettings {
    /// Retries per request over the last ten seconds; 0.2 means one for every five. Taken in
    /// millionths; what is not a positive number counts as zero.
    pub share: f64,
    /// Retries that each second allows whatever the requests.
    pub floor_per_second: u32,
}

/// Requests and retries of the last seconds.
///
/// Each second has one word: the second modulo 2^16, its requests, its retries. A word of another
/// second is empty. Retries are counted before they are judged and taken back if they do not fit,
/// so threads that ask together may refuse each other but never exceed the budget.
#[derive(Debug)]
pub struct RetryBudget {
    share_millionths: u64,
    floor_per_second: u64,
    slots: [AtomicU64; N_SLOTS as usize],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    second: u64,
    requests: u64,
    retries: u64,
}

impl RetryBudget {
    /// A budget on these terms that has seen nothing.
    #[must_use]
    pub fn new(settings: BudgetSettings) -> Self {
        Self {
            // A float to integer cast saturates, and makes nothing of what is not a number.
            share_millionths: (settings.share * PARTS).round() as u64,
            floor_per_second: settings.floor_per_second.into(),
            slots: Default::default(),
        }
    }

    /// Counts one request.
    pub fn deposit(&self, now: Moment) {
        let second = second_of(now);
        self.change(second, |slot| Slot { requests: slot.requests + 1, ..slot });
    }

    /// Takes one retry out, if it fits.
    #[must_use]
    pub fn withdraw(&self, now: Moment) -> bool {
        let second = second_of(now);
        let taken = self.change(second, |slot| Slot { retries: slot.retries + 1, ..slot });
        // A second that cannot count further cannot be judged either.
        let fits = taken.retries < COUNT_MAX
            && (taken.retries <= self.floor_per_second || self.share_covers(second));
        if !fits {
            self.give_back(second);
        }
        fits
    }

    fn share_covers(&self, second: u64) -> bool {
        let (requests, retries) = self.slots.iter().fold((0, 0), |(requests, retries), word| {
            let slot = Slot::unpack(word.load(Ordering::Acquire));
            if age(second, slot.second) >= BUDGET_WINDOW_SECS {
                return (requests, retries);
            }
            (requests + slot.requests, retries + slot.retries)
        });
        u128::from(retries) * 1_000_000 <= u128::from(requests) * u128::from(self.share_millionths)
    }

    /// Takes back what `withdraw` counted, unless its second is gone and its slot another's.
    fn give_back(&self, second: u64) {
        let Some(word) = self.word(second) else { return };
        let same_second = |packed: u64| {
            let slot = Slot::unpack(packed);
            (slot.second == second).then(|| Slot { retries: slot.retries.saturating_sub(1), ..slot }.pack())
        };
        // Refused only if the slot has moved on, and then there is nothing to take back.
        let _moved_on = word.fetch_update(Ordering::AcqRel, Ordering::Acquire, same_second);
    }

    /// Changes the counts of `second`, from nothing if its slot holds an older one. Returns them.
    fn change(&self, second: u64, change: impl Fn(Slot) -> Slot) -> Slot {
        let changed = |packed: u64| {
            let slot = Slot::unpack(packed);
            if slot.second == second {
                return change(slot);
            }
            change(Slot { second, requests: 0, retries: 0 })
        };
        let Some(word) = self.word(second) else { return changed(0) };
        match word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |packed| Some(changed(packed).pack())) {
            Ok(before) | Err(before) => changed(before),
        }
    }

    fn word(&self, second: u64) -> Option<&AtomicU64> {
        usize::try_from(second % N_SLOTS).ok().and_then(|at| self.slots.get(at))
    }
}

impl Slot {
    fn pack(self) -> u64 {
        (self.second & SECOND_MAX) << (2 * COUNT_BITS)
            | self.requests.min(COUNT_MAX) << COUNT_BITS
            | self.retries.min(COUNT_MAX)
    }

    fn unpack(word: u64) -> Self {
        Self {
            second: word >> (2 * COUNT_BITS),
            requests: (word >> COUNT_BITS) & COUNT_MAX,
            retries: word & COUNT_MAX,
        }
    }
}

/// The second of `now`, modulo 2^16.
fn second_of(now: Moment) -> u64 {
    now.saturating_since(Moment::ORIGIN).as_secs() & SECOND_MAX
}

/// How many seconds ago `then` was, modulo 2^16.
fn age(now: u64, then: u64) -> u64 {
    now.wrapping_sub(then) & SECOND_MAX
}
