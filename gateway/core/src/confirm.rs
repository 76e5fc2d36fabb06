//! Whether a configuration that was put into use on trial does worse than the one before it.
//!
//! Decides from two windows of requests, counted by the metrics' own histograms. Says nothing about when to look, and
//! an operator who confirms is not asked.

use std::fmt;
use std::time::Duration;

/// Fewest requests in a window that say something.
const REQUESTS_MIN: u64 = 50;
/// Longer than this is the p99 of the trial, beyond the ratio, before it counts: short times vary by themselves.
const P99_FLOOR: Duration = Duration::from_millis(10);

/// Requests of some time, by how long they took.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Window {
    /// Requests in each bucket alone, the one without a bound last.
    pub counts: Vec<u64>,
    /// How many of them were answered with a 5xx.
    pub failed: u64,
}

/// How much worse is still no reason to go back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Margin {
    /// Percentage points by which the share of 5xx may rise.
    pub error_points: f64,
    /// Times by which the p99 may grow.
    pub p99_ratio: f64,
}

impl Default for Margin {
    fn default() -> Self {
        Self { error_points: 5.0, p99_ratio: 2.0 }
    }
}

/// What two windows say.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Enough was seen, and it is no worse.
    Keep,
    /// It is worse.
    Revert(Worse),
    /// Too little was seen.
    Undecided,
}

/// In which way a trial is worse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Worse {
    /// More requests fail: percent before and after.
    Errors {
        /// Percent of 5xx before.
        before: f64,
        /// Percent of 5xx on trial.
        after: f64,
    },
    /// The slowest take longer: p99 before and after.
    Slower {
        /// p99 before.
        before: Duration,
        /// p99 on trial.
        after: Duration,
    },
}

impl fmt::Display for Worse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errors { before, after } => {
                write!(f, "{after:.1} % of requests fail, {before:.1} % did before")
            }
            Self::Slower { before, after } => {
                write!(f, "p99 is {} ms, it was {} ms before", after.as_millis(), before.as_millis())
            }
        }
    }
}

impl Window {
    /// All requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What came between an earlier reading of the same counters and this one.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.counts.iter().copied().chain(std::iter::repeat(0));
        Self {
            counts: self.counts.iter().zip(before).map(|(now, then)| now.saturating_sub(then)).collect(),
            failed: self.failed.saturating_sub(earlier.failed),
        }
    }

    /// Percent of requests that failed; 0 if there were none.
    fn failed_percent(&self) -> f64 {
        match self.requests() {
            0 => 0.0,
            requests => self.failed as f64 / requests as f64 * 100.0,
        }
    }

    /// The time that 99 of 100 requests stay within, estimated inside its bucket as Prometheus does.
    fn p99(&self, bounds: &[f64]) -> Duration {
        let rank = self.requests() as f64 * 0.99;
        let (mut below, mut lower) = (0.0, 0.0);
        for (count, upper) in self.counts.iter().zip(bounds) {
            let count = *count as f64;
            if below + count >= rank && count > 0.0 {
                return Duration::from_secs_f64(lower + (upper - lower) * (rank - below) / count);
            }
            (below, lower) = (below + count, *upper);
        }
        Duration::from_secs_f64(bounds.last().copied().unwrap_or_default())
    }
}

/// Compares a trial with what was before it. `bounds` are the upper bounds of the buckets, in seconds, ascending.
#[must_use]
pub fn verdict(before: &Window, after: &Window, bounds: &[f64], margin: Margin) -> Verdict {
    if after.requests() < REQUESTS_MIN {
        return Verdict::Undecided;
    }
    let (failed_before, failed_after) = (before.failed_percent(), after.failed_percent());
    if failed_after > failed_before + margin.error_points {
        return Verdict::Revert(Worse::Errors { before: failed_before, after: failed_after });
    }
    if before.requests() >= REQUESTS_MIN {
        let (p99_before, p99_after) = (before.p99(bounds), after.p99(bounds));
        let allowed = p99_before.as_secs_f64() * margin.p99_ratio + P99_FLOOR.as_secs_f64();
        if p99_after.as_secs_f64() > allowed {
            return Verdict::Revert(Worse::Slower { before: p99_before, after: p99_after });
        }
    }
    Verdict::Keep
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: [f64; 4] = [0.001, 0.01, 0.1, 1.0];

    fn window(counts: [u64; 5], failed: u64) -> Window {
        Window { counts: counts.to_vec(), failed }
    }

    fn check(before: Window, after: Window, wanted: &str) {
        let said = match verdict(&before, &after, &BOUNDS, Margin::default()) {
            Verdict::Keep => "keep".to_owned(),
            Verdict::Undecided => "undecided".to_owned(),
            Verdict::Revert(worse) => worse.to_string(),
        };
        assert_eq!(said, wanted);
    }

    #[test]
    fn a_few_requests_decide_nothing() {
        check(window([1_000, 0, 0, 0, 0], 0), window([49, 0, 0, 0, 0], 49), "undecided");
        check(window([0; 5], 0), window([0; 5], 0), "undecided");
    }

    #[test]
    fn more_errors_than_the_margin_go_back() {
        let good = || window([100, 0, 0, 0, 0], 1);
        check(good(), window([100, 0, 0, 0, 0], 6), "keep");
        check(good(), window([100, 0, 0, 0, 0], 7), "7.0 % of requests fail, 1.0 % did before");
        check(window([0; 5], 0), window([50, 0, 0, 0, 0], 50), "100.0 % of requests fail, 0.0 % did before");
        check(window([100, 0, 0, 0, 0], 90), window([100, 0, 0, 0, 0], 92), "keep");
    }

    #[test]
    fn a_slower_tail_goes_back_and_a_short_one_may_vary() {
        check(
            window([0, 0, 100, 0, 0], 0),
            window([0, 0, 0, 100, 0], 0),
            "p99 is 991 ms, it was 99 ms before",
        );
        check(window([100, 0, 0, 0, 0], 0), window([0, 100, 0, 0, 0], 0), "keep");
        // Without enough of a past there is nothing to be slower than.
        check(window([10, 0, 0, 0, 0], 0), window([0, 0, 0, 0, 100], 0), "keep");
    }

    #[test]
    fn a_window_is_what_came_between_two_readings() {
        let between = window([5, 4, 3, 2, 1], 9).since(&window([1, 1, 1, 1, 1], 4));
        assert_eq!((between.counts, between.failed), (vec![4, 3, 2, 1, 0], 5));
        assert_eq!(window([1, 0, 0, 0, 0], 0).since(&Window::default()).requests(), 1);
    }

    proptest! {
        #[test]
        fn a_window_is_never_worse_than_itself(counts in prop::array::uniform5(0u64..10_000), part in 0u64..100) {
            let failed = counts.iter().sum::<u64>() * part / 100;
            let window = window(counts, failed);
            let said = verdict(&window, &window, &BOUNDS, Margin::default());
            prop_assert!(!matches!(said, Verdict::Revert(_)), "{said:?}");
        }

        #[test]
        fn a_failure_more_never_speaks_for_keeping(counts in prop::array::uniform5(10u64..1_000), failed in 0u64..50) {
            let (before, after) = (window(counts, 0), window(counts, failed));
            let worse = window(counts, failed + 1);
            let is_back = |after: &Window| {
                matches!(verdict(&before, after, &BOUNDS, Margin::default()), Verdict::Revert(_))
            };
            prop_assert!(!is_back(&after) || is_back(&worse));
        }
    }
}
