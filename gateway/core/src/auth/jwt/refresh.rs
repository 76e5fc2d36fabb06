//! When an issuer's keys are to be fetched.
//!
//! Decides; fetches nothing. Tokens with unknown key ids cannot make the gateway fetch more often than
//! [`UNKNOWN_KID_INTERVAL`], and a failing issuer is asked more and more slowly.

use std::time::Duration;

use crate::units::Moment;

/// How old keys grow before they are fetched again.
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(300);

/// The least time between two fetches that unknown key ids cause.
pub const UNKNOWN_KID_INTERVAL: Duration = Duration::from_secs(10);

/// The wait after the first failure; it doubles with each further one.
pub const BACKOFF_MIN: Duration = Duration::from_secs(1);

/// The longest wait after a failure.
pub const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// After this long a fetch that never reported back counts as failed. The shell's own deadline must be shorter.
pub const FETCH_TIME_MAX: Duration = Duration::from_secs(30);

/// What to do about an issuer's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshPlan {
    /// Fetch now.
    Fetch(RefreshReason),
    /// Look again after this long, or as soon as an unknown key id was seen.
    Wait(Duration),
}

/// Why keys are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshReason {
    /// There are none yet.
    First,
    /// They are older than [`REFRESH_INTERVAL`].
    Periodic,
    /// A token named a key that is not among them.
    UnknownKid,
    /// The last fetch failed.
    Retry,
}

/// What is known about the fetches of one key set.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Refresh {
    started: Option<Moment>,
    in_flight: bool,
    n_failures: u32,
    is_wanted: bool,
}

impl Refresh {
    /// What to do at `now`.
    pub(super) fn plan(&self, now: Moment) -> RefreshPlan {
        let Some(started) = self.started else { return RefreshPlan::Fetch(RefreshReason::First) };
        let (wait, reason) = if self.in_flight {
            (FETCH_TIME_MAX, RefreshReason::Retry)
        } else if self.n_failures > 0 {
            (self.backoff(), RefreshReason::Retry)
        } else if self.is_wanted {
            (UNKNOWN_KID_INTERVAL, RefreshReason::UnknownKid)
        } else {
            (REFRESH_INTERVAL, RefreshReason::Periodic)
        };
        match wait.checked_sub(now.saturating_since(started)) {
            None | Some(Duration::ZERO) => RefreshPlan::Fetch(reason),
            Some(left) => RefreshPlan::Wait(left),
        }
    }

    /// A fetch begins.
    pub(super) fn begin(&mut self, now: Moment) {
        self.started = Some(now);
        self.in_flight = true;
        self.is_wanted = false;
    }

    /// The fetch brought keys.
    pub(super) fn succeed(&mut self) {
        self.in_flight = false;
        self.n_failures = 0;
    }

    /// The fetch brought none.
    pub(super) fn fail(&mut self) {
        self.in_flight = false;
        self.n_failures = self.n_failures.saturating_add(1);
    }

    /// A token named an unknown key.
    pub(super) fn want(&mut self) {
        self.is_wanted = true;
    }

    fn backoff(&self) -> Duration {
        let doublings = self.n_failures.saturating_sub(1).min(16);
        BACKOFF_MIN.saturating_mul(1 << doublings).min(BACKOFF_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::ORIGIN + Duration::from_secs(seconds)
    }

    fn wait(seconds: u64) -> RefreshPlan {
        RefreshPlan::Wait(Duration::from_secs(seconds))
    }

    #[test]
    fn keys_are_fetched_at_once_and_then_now_and_then() {
        let mut refresh = Refresh::default();
        assert_eq!(refresh.plan(at(0)), RefreshPlan::Fetch(RefreshReason::First));
        refresh.begin(at(0));
        refresh.succeed();
        assert_eq!(refresh.plan(at(100)), wait(200));
        assert_eq!(refresh.plan(at(300)), RefreshPlan::Fetch(RefreshReason::Periodic));
    }

    #[test]
    fn one_fetch_is_in_flight_at_a_time_and_a_lost_one_is_given_up() {
        let mut refresh = Refresh::default();
        refresh.begin(at(0));
        refresh.want();
        assert_eq!(refresh.plan(at(29)), wait(1));
        assert_eq!(refresh.plan(at(30)), RefreshPlan::Fetch(RefreshReason::Retry));
    }

    #[test]
    fn unknown_key_ids_cause_one_fetch_in_ten_seconds_at_most() {
        let mut refresh = Refresh::default();
        let mut n_fetches = 0;
        for tenth in 0..6_000 {
            let now = Moment::ORIGIN + Duration::from_millis(tenth * 100);
            refresh.want();
            if matches!(refresh.plan(now), RefreshPlan::Fetch(_)) {
                refresh.begin(now);
                refresh.succeed();
                n_fetches += 1;
            }
        }
        assert_eq!(n_fetches, 60);
    }

    #[test]
    fn a_wish_within_the_interval_is_kept_for_its_end() {
        let mut refresh = Refresh::default();
        refresh.begin(at(0));
        refresh.succeed();
        refresh.want();
        assert_eq!(refresh.plan(at(4)), wait(6));
        assert_eq!(refresh.plan(at(10)), RefreshPlan::Fetch(RefreshReason::UnknownKid));
    }

    #[test]
    fn a_failing_issuer_is_asked_more_and_more_slowly() {
        let mut refresh = Refresh::default();
        let mut now = at(0);
        let mut waits = Vec::new();
        for _ in 0..9 {
            refresh.begin(now);
            refresh.fail();
            refresh.want();
            match refresh.plan(now) {
                RefreshPlan::Wait(span) => {
                    waits.push(span.as_secs());
                    now = now + span;
                }
                RefreshPlan::Fetch(reason) => panic!("fetches at once: {reason:?}"),
            }
            assert_eq!(refresh.plan(now), RefreshPlan::Fetch(RefreshReason::Retry));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }
}
