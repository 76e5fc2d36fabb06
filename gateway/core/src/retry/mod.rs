//! Whether a failed attempt is tried again, when, and by what right.
//!
//! Decides on failures only: a rejection never gets here. Never retries without a licence, beyond
//! its attempts, beyond its budget or past the time that is left. Never waits itself.

mod backoff;
mod budget;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::outcome::Failure;
use crate::units::Moment;

pub use budget::{BUDGET_WINDOW_SECS, BudgetSettings, RetryBudget};

/// When and how often a route's attempts are repeated.
#[derive(Debug, Clone, PartialEq)]
pub struct RetrySettings {
    /// Attempts in all, the first included; 2 to 10. Less than 2 never retries.
    pub attempts: u8,
    /// The time of one attempt; for the caller to apply.
    pub per_try: Option<Duration>,
    /// Statuses of a reply that count as failures.
    pub statuses: Vec<u16>,
    /// Errors that are retried.
    pub errors: ErrorKinds,
    /// The longest wait before the first retry; each further one may wait twice as long.
    pub backoff_base: Duration,
    /// The longest wait before any retry.
    pub backoff_max: Duration,
    /// How much load retries may add.
    pub budget: BudgetSettings,
}

/// Kinds of error that a policy retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ErrorKinds {
    /// No connection could be made, whatever the reason.
    pub connect: bool,
    /// The connection broke, or brought what is not a reply.
    pub reset: bool,
    /// The endpoint was silent for longer than allowed.
    pub timeout: bool,
}

/// A route's retry settings and the budget they draw on.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    settings: RetrySettings,
    budget: Arc<RetryBudget>,
}

/// What is known after a failed attempt.
#[derive(Debug, Clone, Copy)]
pub struct RetryAsk<'a> {
    /// The present.
    pub now: Moment,
    /// Attempts made, the failed one included.
    pub attempts_made: u8,
    /// How the last attempt failed.
    pub failure: &'a Failure,
    /// Whether it is certain that no byte of the request was sent.
    pub no_byte_sent: bool,
    /// Whether the method is idempotent (RFC 9110 §9.2.2).
    pub idempotent_method: bool,
    /// Whether the request carries an idempotency key that the upstream is known to honour.
    pub idempotency_key: bool,
    /// Whether the whole body can be sent again: there is none, or it is still held.
    pub body_replayable: bool,
    /// Time left for the exchange, if it has a deadline.
    pub remaining: Option<Duration>,
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryVerdict {
    /// Try again.
    Retry {
        /// The wait before.
        after: Duration,
        /// By what right.
        licence: Licence,
    },
    /// Answer with the failure, or its fallback.
    GiveUp(GiveUp),
}

/// The right to send a request again. There is no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Licence {
    /// Nothing of it was sent.
    NoByteSent,
    /// Its method may be repeated by definition.
    IdempotentMethod,
    /// It carries a key by which the upstream recognises a repetition.
    IdempotencyKey,
}

/// Why there is no retry, the first reason that applies in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GiveUp {
    /// The policy does not retry this failure.
    NotRetryable,
    /// All attempts are made.
    AttemptsSpent,
    /// Sending it again could do its work twice.
    NoLicence,
    /// The body is not held any more.
    BodyGone,
    /// The wait would outlast the deadline.
    NoTime,
    /// Retries have added as much load as they may.
    BudgetSpent,
}

impl Licence {
    /// The word for it in logs, metrics and the debug header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoByteSent => "no_byte_sent",
            Self::IdempotentMethod => "idempotent_method",
            Self::IdempotencyKey => "idempotency_key",
        }
    }
}

impl GiveUp {
    /// The word for it in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotRetryable => "not_retryable",
            Self::AttemptsSpent => "attempts_spent",
            Self::NoLicence => "no_licence",
            Self::BodyGone => "body_gone",
            Self::NoTime => "no_time",
            Self::BudgetSpent => "budget_spent",
        }
    }
}

impl RetryPolicy {
    /// A policy with a budget of its own.
    #[must_use]
    pub fn new(settings: RetrySettings) -> Self {
        let budget = Arc::new(RetryBudget::new(settings.budget));
        Self { settings, budget }
    }

    /// A policy that draws on `budget`, together with whatever else does: one upstream can bear so
    /// many retries, whichever routes they come from. [`RetrySettings::budget`] is not looked at.
    #[must_use]
    pub fn with_budget(settings: RetrySettings, budget: Arc<RetryBudget>) -> Self {
        Self { settings, budget }
    }

    /// The settings it was made with.
    #[must_use]
    pub fn settings(&self) -> &RetrySettings {
        &self.settings
    }

    /// Whether a reply of this status counts as a failure of the attempt.
    #[must_use]
    pub fn fails_on(&self, status: u16) -> bool {
        self.settings.statuses.contains(&status)
    }

    /// Counts an exchange towards the budget. To be called once per exchange, not per attempt.
    pub fn on_request(&self, now: Moment) {
        self.budget.deposit(now);
    }

    /// Decides about another attempt, and takes it from the budget if there is to be one. `rng`
    /// gives uniform numbers.
    #[must_use]
    pub fn next(&self, ask: &RetryAsk<'_>, rng: &mut dyn FnMut() -> u64) -> RetryVerdict {
        match self.decide(ask, rng) {
            Ok((after, licence)) => RetryVerdict::Retry { after, licence },
            Err(reason) => RetryVerdict::GiveUp(reason),
        }
    }

    fn decide(
        &self,
        ask: &RetryAsk<'_>,
        rng: &mut dyn FnMut() -> u64,
    ) -> Result<(Duration, Licence), GiveUp> {
        if !self.is_retryable(ask.failure) {
            return Err(GiveUp::NotRetryable);
        }
        if ask.attempts_made >= self.settings.attempts {
            return Err(GiveUp::AttemptsSpent);
        }
        let licence = licence(ask).ok_or(GiveUp::NoLicence)?;
        if !ask.body_replayable {
            return Err(GiveUp::BodyGone);
        }
        let after = backoff::full_jitter(
            self.settings.backoff_base,
            self.settings.backoff_max,
            ask.attempts_made,
            rng(),
        );
        if ask.remaining.is_some_and(|remaining| after >= remaining) {
            return Err(GiveUp::NoTime);
        }
        // Last, because it spends.
        if !self.budget.withdraw(ask.now) {
            return Err(GiveUp::BudgetSpent);
        }
        Ok((after, licence))
    }

    fn is_retryable(&self, failure: &Failure) -> bool {
        let ErrorKinds { connect, reset, timeout } = self.settings.errors;
        match failure {
            Failure::Connect(_) => connect,
            Failure::Reset | Failure::BadResponse => reset,
            Failure::ReadTimeout => timeout,
            Failure::Status(status) => self.fails_on(*status),
            // Nothing was tried, or there is no time to: another attempt would find the same.
            Failure::NoEndpoint
            | Failure::Tripped { .. }
            | Failure::Overloaded { .. }
            | Failure::Deadline => false,
        }
    }
}

fn licence(ask: &RetryAsk<'_>) -> Option<Licence> {
    if ask.no_byte_sent && may_precede_sending(ask.failure) {
        return Some(Licence::NoByteSent);
    }
    if ask.idempotent_method {
        return Some(Licence::IdempotentMethod);
    }
    ask.idempotency_key.then_some(Licence::IdempotencyKey)
}

/// Whether a failure can happen before anything is sent. An endpoint that answered, or was waited
/// for, has been sent the request, whatever the caller believes.
fn may_precede_sending(failure: &Failure) -> bool {
    match failure {
        Failure::Connect(_) | Failure::Reset => true,
        Failure::NoEndpoint
        | Failure::Tripped { .. }
        | Failure::Overloaded { .. }
        | Failure::ReadTimeout
        | Failure::Deadline
        | Failure::Status(_)
        | Failure::BadResponse => false,
    }
}
