//! The breaker against a model that is slow, sequential and obviously right.
//!
//! Decides whether the packed word and the ring of bits behave like plain fields and a queue.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{Breaker, BreakerSettings, BreakerState, OPEN_MAX, PROBING_RETRY_AFTER, Permit, Transitions};
use crate::units::Moment;

#[derive(Debug, Clone)]
enum Step {
    Acquire,
    Succeed(usize),
    Fail(usize),
    Cancel(usize),
    Wait(Duration),
}

#[derive(Debug, PartialEq)]
enum State {
    Passing,
    Tripped(Moment),
    Probing { out: u32, good: u32 },
}

struct Model {
    settings: BreakerSettings,
    state: State,
    epoch: u64,
    trips: u32,
    outcomes: VecDeque<bool>,
    in_a_row: u32,
    transitions: Transitions,
}

impl Model {
    fn acquire(&mut self, now: Moment) -> Result<u64, Duration> {
        match self.state {
            State::Passing => {}
            State::Tripped(until) if now < until => return Err(until.saturating_since(now)),
            State::Tripped(_) => {
                self.state = State::Probing { out: 1, good: 0 };
                self.epoch += 1;
                self.transitions.probing += 1;
            }
            State::Probing { out, good } if out + good >= self.settings.probes.get() => {
                return Err(PROBING_RETRY_AFTER);
            }
            State::Probing { ref mut out, .. } => *out += 1,
        }
        Ok(self.epoch)
    }

    fn report(&mut self, epoch: u64, failed: Option<bool>, now: Moment) {
        if epoch != self.epoch {
            return;
        }
        match (&mut self.state, failed) {
            (State::Passing, Some(failed)) => self.passed(failed, now),
            (State::Passing, None) | (State::Tripped(_), _) => {}
            (State::Probing { out, .. }, None) => *out -= 1,
            (State::Probing { .. }, Some(true)) => self.trip(now),
            (State::Probing { out, good }, Some(false)) => {
                *out -= 1;
                *good += 1;
                if *good >= self.settings.probes.get() {
                    self.state = State::Passing;
                    self.epoch += 1;
                    self.trips = 0;
                    self.in_a_row = 0;
                    self.outcomes.clear();
                    self.transitions.passing += 1;
                }
            }
        }
    }

    fn passed(&mut self, failed: bool, now: Moment) {
        let window = self.settings.window.get() as usize;
        self.in_a_row = if failed { self.in_a_row + 1 } else { 0 };
        self.outcomes.push_back(failed);
        if self.outcomes.len() > window {
            self.outcomes.pop_front();
        }
        let failures = self.outcomes.iter().filter(|failed| **failed).count();
        let by_rate = self.settings.failure_rate.is_some_and(|rate| {
            failures > 0
                && self.outcomes.len() * 2 >= window
                && failures as f64 >= rate * self.outcomes.len() as f64
        });
        let by_row = self.settings.consecutive.is_some_and(|limit| failed && self.in_a_row >= limit.get());
        if by_rate || by_row {
            self.trip(now);
        }
    }

    fn trip(&mut self, now: Moment) {
        let open = self.settings.open.saturating_mul(1 << self.trips.min(15)).min(OPEN_MAX);
        self.state = State::Tripped(now + open);
        self.trips += 1;
        self.epoch += 1;
        self.transitions.tripped += 1;
    }

    fn state(&self, now: Moment) -> BreakerState {
        match self.state {
            State::Passing => BreakerState::Passing,
            State::Tripped(until) if now < until => BreakerState::Tripped,
            State::Tripped(_) | State::Probing { .. } => BreakerState::Probing,
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Acquire),
        3 => any::<usize>().prop_map(Step::Succeed),
        4 => any::<usize>().prop_map(Step::Fail),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => (0_u64..3_000).prop_map(|ms| Step::Wait(Duration::from_millis(ms))),
    ];
    proptest::collection::vec(step, 0..300)
}

fn settings() -> impl Strategy<Value = BreakerSettings> {
    let rate = proptest::option::of(0.0..=1.0_f64);
    let consecutive = proptest::option::of(1_u32..6);
    (rate, 1_u32..12, consecutive, 1_u64..2_000, 1_u32..4).prop_map(
        |(rate, window, consecutive, open_ms, probes)| BreakerSettings {
            failure_rate: rate,
            window: NonZeroU32::new(window).unwrap(),
            consecutive: consecutive.and_then(NonZeroU32::new),
            open: Duration::from_millis(open_ms),
            probes: NonZeroU32::new(probes).unwrap(),
        },
    )
}

fn take<T>(held: &mut Vec<T>, at: usize) -> Option<T> {
    (!held.is_empty()).then(|| held.remove(at % held.len()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_breaker_behaves_as_its_model(settings in settings(), steps in steps()) {
        let breaker = Arc::new(Breaker::new(settings.clone()));
        let mut model = Model {
            settings,
            state: State::Passing,
            epoch: 0,
            trips: 0,
            outcomes: VecDeque::new(),
            in_a_row: 0,
            transitions: Transitions::default(),
        };
        let mut held: Vec<(Permit, u64)> = Vec::new();
        let mut now = Moment::ORIGIN;
        for step in steps {
            match step {
                Step::Acquire => {
                    let real = breaker.try_acquire(now).map_err(|refused| refused.retry_after);
                    match (real, model.acquire(now)) {
                        (Ok(permit), Ok(epoch)) => held.push((permit, epoch)),
                        (Err(real), Err(modelled)) => prop_assert_eq!(real, modelled),
                        (real, modelled) => prop_assert!(false, "{real:?} but the model says {modelled:?}"),
                    }
                }
                Step::Succeed(at) => if let Some((permit, epoch)) = take(&mut held, at) {
                    permit.success(now);
                    model.report(epoch, Some(false), now);
                },
                Step::Fail(at) => if let Some((permit, epoch)) = take(&mut held, at) {
                    permit.failure(now);
                    model.report(epoch, Some(true), now);
                },
                Step::Cancel(at) => if let Some((permit, epoch)) = take(&mut held, at) {
                    drop(permit);
                    model.report(epoch, None, now);
                },
                Step::Wait(span) => now = now + span,
            }
            prop_assert_eq!(breaker.state(now), model.state(now));
            prop_assert_eq!(breaker.transitions(), model.transitions);
        }
    }
}
