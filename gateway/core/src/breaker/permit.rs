//! The right to make one attempt, and the only way to report how it went.
//!
//! Decides nothing. Exactly one report is made of each permit: success, failure, or cancelled
//! when it is dropped without either.

use std::sync::Arc;

use super::Breaker;
use crate::units::Moment;

/// Leave to make one attempt. Dropped, it counts as cancelled: neither for nor against.
#[derive(Debug)]
#[must_use = "a permit dropped at once is a cancelled attempt"]
pub struct Permit {
    breaker: Arc<Breaker>,
    generation: u32,
    reported: bool,
}

/// How an attempt ended, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    Success { now: Moment },
    Failure { now: Moment },
    Cancelled,
}

impl Report {
    pub(super) fn at(self) -> Moment {
        match self {
            Self::Success { now } | Self::Failure { now } => now,
            Self::Cancelled => Moment::ORIGIN,
        }
    }
}

impl Permit {
    pub(super) fn new(breaker: Arc<Breaker>, generation: u32) -> Self {
        Self { breaker, generation, reported: false }
    }

    /// The attempt succeeded.
    pub fn success(self, now: Moment) {
        self.report(Report::Success { now });
    }

    /// The attempt failed.
    pub fn failure(self, now: Moment) {
        self.report(Report::Failure { now });
    }

    fn report(mut self, report: Report) {
        self.reported = true;
        self.breaker.settle(self.generation, report);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.reported {
            self.breaker.settle(self.generation, Report::Cancelled);
        }
    }
}
