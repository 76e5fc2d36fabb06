//! Counting while a load runs. One small lock, held for a few additions.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::expect::{Kind, Wrong};
use crate::report::{Failures, Latency};

/// Examples kept of each kind of failure: the first ones, for they are nearest to the cause.
const EXAMPLES_MAX: usize = 3;
/// Instances counted apart; the rest share one name, so that an answer cannot make the map grow without end.
const SPREAD_MAX: usize = 1_000;
/// Longest latency told apart, in microseconds: ten minutes.
const LATENCY_MAX_US: u64 = 600_000_000;

/// What has been seen so far.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    pub(crate) statuses: BTreeMap<u16, u64>,
    pub(crate) spread: BTreeMap<String, u64>,
    failures: BTreeMap<Kind, Failures>,
    latency: Option<Histogram<u64>>,
    lag: Option<Histogram<u64>>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        // Three significant digits. The bounds are constants that the library accepts, so `None` never happens.
        let histogram = || Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).ok();
        Self {
            sent: 0,
            ok: 0,
            failed: 0,
            statuses: BTreeMap::new(),
            spread: BTreeMap::new(),
            failures: BTreeMap::new(),
            latency: histogram(),
            lag: histogram(),
        }
    }

    /// A request was handed on, so many microseconds after it was due.
    pub(crate) fn handed_on(&mut self, lag_us: u64) {
        self.sent += 1;
        if let Some(lag) = &mut self.lag {
            lag.saturating_record(lag_us.max(1));
        }
    }

    /// A right answer, so many microseconds after its request was due.
    pub(crate) fn succeeded(&mut self, latency_us: u64) {
        self.ok += 1;
        if let Some(latency) = &mut self.latency {
            latency.saturating_record(latency_us.max(1));
        }
    }

    /// A wrong answer, or none.
    pub(crate) fn failed(&mut self, index: u64, wrong: Wrong) {
        self.failed += 1;
        let failures = self.failures.entry(wrong.kind).or_default();
        failures.count += 1;
        if failures.examples.len() < EXAMPLES_MAX {
            failures.examples.push(format!("request {index}: {}", wrong.detail));
        }
    }

    /// Who answered.
    pub(crate) fn answered_by(&mut self, name: &str) {
        let name =
            if self.spread.len() < SPREAD_MAX || self.spread.contains_key(name) { name } else { "others" };
        match self.spread.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                self.spread.insert(name.to_owned(), 1);
            }
        }
    }

    pub(crate) fn failed_by_kind(&self) -> BTreeMap<String, Failures> {
        self.failures.iter().map(|(kind, failures)| (kind.name(), failures.clone())).collect()
    }

    pub(crate) fn latency(&self) -> Latency {
        self.latency.as_ref().map(Latency::of).unwrap_or_default()
    }

    pub(crate) fn lag(&self) -> Latency {
        self.lag.as_ref().map(Latency::of).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_examples_of_each_kind_are_kept() {
        let mut tally = Tally::new();
        for index in 0..10 {
            tally.failed(index, Wrong::new(Kind::Status(503), "busy"));
        }
        tally.failed(10, Wrong::new(Kind::Timeout, "10s"));
        let kinds = tally.failed_by_kind();
        assert_eq!(kinds["status_503"].count, 10);
        assert_eq!(kinds["status_503"].examples, ["request 0: busy", "request 1: busy", "request 2: busy"]);
        assert_eq!(kinds["timeout"].count, 1);
        assert_eq!(tally.failed, 11);
    }

    #[test]
    fn names_of_instances_are_bounded() {
        let mut tally = Tally::new();
        for number in 0..SPREAD_MAX + 5 {
            tally.answered_by(&format!("i{number}"));
        }
        tally.answered_by("i0");
        assert_eq!(tally.spread["i0"], 2);
        assert_eq!(tally.spread["others"], 5);
    }
}
