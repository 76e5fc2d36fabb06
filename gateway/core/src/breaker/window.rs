//! The last outcomes of a breaker as a ring of bits, with their failures counted.
//!
//! Decides nothing: it counts. Never locks and never allocates after it is made.
//!
//! Threads claim a slot with one `fetch_add` and adjust the count by what their own atomic
//! bit-set replaced, so the count equals the bits set whenever nobody is in between. A reader in
//! between may be off by the outcomes being written at that instant. A thread that is paused
//! between the check of its generation and the write of its bit for a whole trip and recovery
//! leaves its one outcome in the new window: it happened, if a little earlier.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

#[derive(Debug)]
pub(super) struct Window {
    /// 64 outcomes a word; a set bit is a failure.
    words: Box<[AtomicU64]>,
    n_slots: u64,
    /// Outcomes recorded since the last clear; the next slot is its remainder.
    recorded: AtomicU64,
    /// Bits set. Signed because a clear may subtract a bit before its writer has added it.
    failures: AtomicI64,
}

/// What is in the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) failures: u64,
    pub(super) filled: u64,
}

impl Window {
    /// An empty window of `n_slots` outcomes; none is taken for one.
    pub(super) fn new(n_slots: u32) -> Self {
        let n_slots = u64::from(n_slots.max(1));
        Self {
            words: (0..n_slots.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            n_slots,
            recorded: AtomicU64::new(0),
            failures: AtomicI64::new(0),
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.n_slots
    }

    /// Puts one outcome in place of the oldest; returns what the window holds with it.
    pub(super) fn record(&self, failed: bool) -> Tally {
        let earlier = self.recorded.fetch_add(1, Ordering::AcqRel);
        let slot = earlier % self.n_slots;
        let bit = 1_u64 << (slot % 64);
        let Some(word) = usize::try_from(slot / 64).ok().and_then(|at| self.words.get(at)) else {
            return Tally { failures: 0, filled: 0 };
        };
        let replaced = if failed {
            word.fetch_or(bit, Ordering::AcqRel)
        } else {
            word.fetch_and(!bit, Ordering::AcqRel)
        };
        let change = i64::from(failed) - i64::from(replaced & bit != 0);
        let before = if change == 0 {
            self.failures.load(Ordering::Acquire)
        } else {
            self.failures.fetch_add(change, Ordering::AcqRel)
        };
        let filled = earlier.saturating_add(1).min(self.n_slots);
        let failures = u64::try_from(before + change).unwrap_or(0).min(filled);
        Tally { failures, filled }
    }

    /// Forgets every outcome.
    pub(super) fn clear(&self) {
        for word in &self.words {
            let forgotten = word.swap(0, Ordering::AcqRel).count_ones();
            self.failures.fetch_sub(i64::from(forgotten), Ordering::AcqRel);
        }
        self.recorded.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_counts_the_failures_among_the_last_outcomes(
            n_slots in 1_u32..200,
            outcomes in proptest::collection::vec(any::<bool>(), 0..600),
        ) {
            let window = Window::new(n_slots);
            let mut last = VecDeque::new();
            for failed in outcomes {
                last.push_back(failed);
                if last.len() > n_slots as usize {
                    last.pop_front();
                }
                let failures = last.iter().filter(|failed| **failed).count() as u64;
                prop_assert_eq!(window.record(failed), Tally { failures, filled: last.len() as u64 });
            }
        }
    }

    #[test]
    fn the_count_is_the_bits_set_after_threads_have_written() {
        let window = Window::new(100);
        std::thread::scope(|threads| {
            for thread in 0..4_u32 {
                let window = &window;
                threads
                    .spawn(move || (0..5_000_u32).for_each(|n| _ = window.record((n * 7 + thread) % 3 == 0)));
            }
        });
        let bits: u32 = window.words.iter().map(|word| word.load(Ordering::SeqCst).count_ones()).sum();
        assert_eq!(window.failures.load(Ordering::SeqCst), i64::from(bits));
        window.clear();
        assert_eq!(window.record(true), Tally { failures: 1, filled: 1 });
    }
}
