//! The breaker case by case: when it trips, probes, recovers, and who may report.

use super::*;

fn settings() -> BreakerSettings {
    BreakerSettings {
        failure_rate: Some(0.5),
        window: NonZeroU32::new(10).unwrap(),
        consecutive: None,
        open: Duration::from_secs(10),
        probes: NonZeroU32::new(2).unwrap(),
    }
}

fn at(secs: u64) -> Moment {
    Moment::ORIGIN + Duration::from_secs(secs)
}

fn fail(breaker: &Arc<Breaker>, n: usize, now: Moment) {
    for _ in 0..n {
        breaker.try_acquire(now).unwrap().failure(now);
    }
}

#[test]
fn it_trips_once_the_window_is_full_enough_and_not_before() {
    let breaker = Arc::new(Breaker::new(settings()));
    fail(&breaker, 4, at(0));
    assert_eq!(breaker.state(at(0)), BreakerState::Passing);
    fail(&breaker, 1, at(0));
    assert_eq!(breaker.state(at(0)), BreakerState::Tripped);
    let refused = breaker.try_acquire(at(3)).unwrap_err();
    assert_eq!(refused.retry_after, Duration::from_secs(7));
}

#[test]
fn a_success_that_fills_the_window_far_enough_shows_the_rate() {
    let breaker = Arc::new(Breaker::new(settings()));
    fail(&breaker, 4, at(0));
    breaker.try_acquire(at(0)).unwrap().success(at(0));
    assert_eq!(breaker.state(at(0)), BreakerState::Tripped);
}

#[test]
fn consecutive_failures_are_forgotten_by_one_success() {
    let consecutive = NonZeroU32::new(3);
    let breaker = Arc::new(Breaker::new(BreakerSettings { failure_rate: None, consecutive, ..settings() }));
    fail(&breaker, 2, at(0));
    breaker.try_acquire(at(0)).unwrap().success(at(0));
    fail(&breaker, 2, at(0));
    assert_eq!(breaker.state(at(0)), BreakerState::Passing);
    fail(&breaker, 1, at(0));
    assert_eq!(breaker.state(at(0)), BreakerState::Tripped);
}

#[test]
fn probes_are_limited_and_enough_successes_let_traffic_pass() {
    let breaker = Arc::new(Breaker::new(settings()));
    fail(&breaker, 5, at(0));
    let first = breaker.try_acquire(at(10)).unwrap();
    let second = breaker.try_acquire(at(10)).unwrap();
    assert_eq!(breaker.try_acquire(at(10)).unwrap_err().retry_after, PROBING_RETRY_AFTER);
    first.success(at(11));
    assert!(breaker.try_acquire(at(11)).is_err(), "one out and one good is all it needs");
    second.success(at(11));
    assert_eq!(breaker.state(at(11)), BreakerState::Passing);
    fail(&breaker, 4, at(11));
    assert_eq!(breaker.state(at(11)), BreakerState::Passing, "the old window is forgotten");
    assert_eq!(breaker.transitions(), Transitions { passing: 1, tripped: 1, probing: 1 });
}

#[test]
fn a_cancelled_probe_gives_its_place_to_another() {
    let breaker = Arc::new(Breaker::new(settings()));
    fail(&breaker, 5, at(0));
    let first = breaker.try_acquire(at(10)).unwrap();
    let second = breaker.try_acquire(at(10)).unwrap();
    drop((first, second));
    breaker.try_acquire(at(10)).unwrap().success(at(10));
    breaker.try_acquire(at(10)).unwrap().success(at(10));
    assert_eq!(breaker.state(at(10)), BreakerState::Passing);
}

#[test]
fn each_failed_probe_doubles_the_trip_up_to_the_cap() {
    let breaker = Arc::new(Breaker::new(settings()));
    fail(&breaker, 5, at(0));
    let mut now = at(10);
    for expected in [20, 40, 80, 160, 300, 300] {
        breaker.try_acquire(now).unwrap().failure(now);
        let wait = breaker.try_acquire(now).unwrap_err().retry_after;
        assert_eq!(wait, Duration::from_secs(expected));
        now = now + wait;
    }
}

#[test]
fn a_permit_from_before_the_trip_reports_to_nobody() {
    let breaker = Arc::new(Breaker::new(settings()));
    let late_success = breaker.try_acquire(at(0)).unwrap();
    let late_failure = breaker.try_acquire(at(0)).unwrap();
    let late_cancel = breaker.try_acquire(at(0)).unwrap();
    fail(&breaker, 5, at(0));
    let _probe = breaker.try_acquire(at(10)).unwrap();
    late_success.success(at(10));
    late_failure.failure(at(10));
    drop(late_cancel);
    assert_eq!(breaker.state(at(10)), BreakerState::Probing);
    let second = breaker.try_acquire(at(10)).unwrap();
    assert!(breaker.try_acquire(at(10)).is_err(), "the cancelled permit freed no probe");
    drop(second);
}

#[test]
fn threads_never_hold_more_probes_than_allowed() {
    let breaker = Arc::new(Breaker::new(BreakerSettings { probes: NonZeroU32::MIN, ..settings() }));
    fail(&breaker, 5, at(0));
    let out = AtomicU64::new(0);
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for _ in 0..2_000 {
                    if let Ok(permit) = breaker.try_acquire(at(10)) {
                        assert_eq!(out.fetch_add(1, Ordering::SeqCst), 0);
                        out.fetch_sub(1, Ordering::SeqCst);
                        drop(permit);
                    }
                }
            });
        }
    });
    assert_eq!(breaker.state(at(10)), BreakerState::Probing);
    assert!(breaker.try_acquire(at(10)).is_ok(), "every probe was given back");
}

#[test]
fn a_reset_lets_everything_through_and_forgets_what_was_seen() {
    let breaker = Arc::new(Breaker::new(settings()));
    fail(&breaker, 5, at(0));
    assert_eq!(breaker.state(at(0)), BreakerState::Tripped);
    assert!(breaker.reset());
    assert_eq!((breaker.state(at(0)), breaker.transitions().passing), (BreakerState::Passing, 1));
    // Four more would trip it at once if the five were still remembered.
    fail(&breaker, 4, at(0));
    assert_eq!(breaker.state(at(0)), BreakerState::Passing);
    assert!(!breaker.reset(), "it was passing already");
    fail(&breaker, 4, at(0));
    assert_eq!((breaker.state(at(0)), breaker.transitions().passing), (BreakerState::Passing, 1));
}

#[test]
fn what_was_let_through_before_a_reset_says_nothing_after_it() {
    let breaker = Arc::new(Breaker::new(BreakerSettings {
        failure_rate: None,
        consecutive: NonZeroU32::new(1),
        ..settings()
    }));
    let early = breaker.try_acquire(at(0)).unwrap();
    breaker.reset();
    early.failure(at(0));
    assert_eq!(breaker.state(at(0)), BreakerState::Passing);
}
