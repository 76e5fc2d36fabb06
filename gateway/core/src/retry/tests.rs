//! The policy as a whole: licences, bounds, budgets.

use std::num::NonZeroU8;

use proptest::prelude::*;

use super::*;
use crate::outcome::ConnectFailure;

const RESET: Failure = Failure::Reset;

fn settings(budget: BudgetSettings) -> RetrySettings {
    RetrySettings {
        attempts: 3,
        per_try: None,
        statuses: vec![502, 503],
        errors: ErrorKinds { connect: true, reset: true, timeout: true },
        backoff_base: Duration::from_millis(25),
        backoff_max: Duration::from_millis(250),
        budget,
    }
}

const AMPLE: BudgetSettings = BudgetSettings { share: 0.0, floor_per_second: 1_000_000 };

fn at(secs: u64) -> Moment {
    Moment::ORIGIN + Duration::from_secs(secs)
}

/// A GET without a body that failed once, with all the time there is.
fn get(failure: &Failure) -> RetryAsk<'_> {
    RetryAsk {
        now: at(0),
        attempts_made: 1,
        failure,
        no_byte_sent: false,
        idempotent_method: true,
        idempotency_key: false,
        body_replayable: true,
        remaining: None,
    }
}

fn post(failure: &Failure) -> RetryAsk<'_> {
    RetryAsk { idempotent_method: false, ..get(failure) }
}

fn check(ask: &RetryAsk<'_>) -> Result<Licence, GiveUp> {
    check_with(&RetryPolicy::new(settings(AMPLE)), ask)
}

fn check_with(policy: &RetryPolicy, ask: &RetryAsk<'_>) -> Result<Licence, GiveUp> {
    match policy.next(ask, &mut || 1 << 63) {
        RetryVerdict::Retry { licence, .. } => Ok(licence),
        RetryVerdict::GiveUp(reason) => Err(reason),
    }
}

#[test]
fn a_post_whose_bytes_were_sent_is_never_repeated() {
    for failure in [RESET, Failure::ReadTimeout, Failure::Status(503), Failure::BadResponse] {
        assert_eq!(check(&post(&failure)), Err(GiveUp::NoLicence), "{failure:?}");
        let believed_unsent = RetryAsk { no_byte_sent: true, ..post(&failure) };
        let expected = if failure == RESET { Ok(Licence::NoByteSent) } else { Err(GiveUp::NoLicence) };
        assert_eq!(check(&believed_unsent), expected, "{failure:?}");
    }
}

#[test]
fn every_retry_names_its_licence() {
    let refused = Failure::Connect(ConnectFailure::Refused);
    assert_eq!(check(&RetryAsk { no_byte_sent: true, ..post(&refused) }), Ok(Licence::NoByteSent));
    assert_eq!(check(&get(&RESET)), Ok(Licence::IdempotentMethod));
    assert_eq!(check(&RetryAsk { idempotency_key: true, ..post(&RESET) }), Ok(Licence::IdempotencyKey));
}

#[test]
fn only_what_the_policy_names_is_retried() {
    let ms = Duration::from_millis(1);
    for failure in [
        Failure::Status(500),
        Failure::NoEndpoint,
        Failure::Tripped { retry_after: ms },
        Failure::Overloaded { retry_after: ms },
        Failure::Deadline,
    ] {
        assert_eq!(check(&get(&failure)), Err(GiveUp::NotRetryable), "{failure:?}");
    }
    let none = RetrySettings { errors: ErrorKinds::default(), statuses: vec![], ..settings(AMPLE) };
    for failure in [RESET, Failure::ReadTimeout, Failure::Connect(ConnectFailure::Tls), Failure::Status(502)]
    {
        let policy = RetryPolicy::new(none.clone());
        assert_eq!(check_with(&policy, &get(&failure)), Err(GiveUp::NotRetryable), "{failure:?}");
    }
}

#[test]
fn a_body_that_is_gone_cannot_be_sent_again() {
    assert_eq!(check(&RetryAsk { body_replayable: false, ..get(&RESET) }), Err(GiveUp::BodyGone));
}

#[test]
fn retry_is_refused_once_the_attempts_are_spent() {
    assert_eq!(check(&RetryAsk { attempts_made: 2, ..get(&RESET) }), Ok(Licence::IdempotentMethod));
    assert_eq!(check(&RetryAsk { attempts_made: 3, ..get(&RESET) }), Err(GiveUp::AttemptsSpent));
}

#[test]
fn a_wait_that_outlasts_the_deadline_is_not_begun_and_costs_nothing() {
    let policy = RetryPolicy::new(settings(BudgetSettings { share: 0.0, floor_per_second: 1 }));
    let ask = |micros| RetryAsk { remaining: Some(Duration::from_micros(micros)), ..get(&RESET) };
    assert_eq!(check_with(&policy, &ask(12_500)), Err(GiveUp::NoTime));
    assert_eq!(check_with(&policy, &ask(12_501)), Ok(Licence::IdempotentMethod));
}

#[test]
fn retry_is_refused_once_the_budget_is_spent() {
    let policy = RetryPolicy::new(settings(BudgetSettings { share: 0.2, floor_per_second: 0 }));
    assert_eq!(check_with(&policy, &get(&RESET)), Err(GiveUp::BudgetSpent));
    (0..10).for_each(|_| policy.on_request(at(0)));
    assert!(check_with(&policy, &get(&RESET)).is_ok());
    assert!(check_with(&policy, &get(&RESET)).is_ok());
    assert_eq!(check_with(&policy, &get(&RESET)), Err(GiveUp::BudgetSpent));
    let last_second = RetryAsk { now: at(BUDGET_WINDOW_SECS - 1), ..get(&RESET) };
    (0..5).for_each(|_| policy.on_request(last_second.now));
    assert!(check_with(&policy, &last_second).is_ok(), "15 requests and two retries within the window");
    let later = RetryAsk { now: at(BUDGET_WINDOW_SECS), ..get(&RESET) };
    assert_eq!(check_with(&policy, &later), Err(GiveUp::BudgetSpent), "five requests and one retry are left");
}

#[test]
fn the_floor_allows_some_retries_in_each_second_without_traffic() {
    let policy = RetryPolicy::new(settings(BudgetSettings { share: 0.0, floor_per_second: 3 }));
    for second in 0..30 {
        let ask = RetryAsk { now: at(second), ..get(&RESET) };
        let allowed = (0..10).filter(|_| check_with(&policy, &ask).is_ok()).count();
        assert_eq!(allowed, 3);
    }
}

#[test]
fn policies_that_share_a_budget_spend_it_together() {
    let budget = Arc::new(RetryBudget::new(BudgetSettings { share: 0.0, floor_per_second: 1 }));
    let [one, other] = [(); 2].map(|()| RetryPolicy::with_budget(settings(AMPLE), Arc::clone(&budget)));
    assert!(check_with(&one, &get(&RESET)).is_ok());
    assert_eq!(check_with(&other, &get(&RESET)), Err(GiveUp::BudgetSpent));
}

#[test]
fn a_share_that_is_no_share_allows_nothing() {
    for share in [f64::NAN, -1.0, f64::NEG_INFINITY] {
        let policy = RetryPolicy::new(settings(BudgetSettings { share, floor_per_second: 0 }));
        policy.on_request(at(0));
        assert_eq!(check_with(&policy, &get(&RESET)), Err(GiveUp::BudgetSpent));
    }
}

#[test]
fn threads_together_never_exceed_the_budget() {
    let budget = RetryBudget::new(BudgetSettings { share: 0.1, floor_per_second: 7 });
    (0..1_000).for_each(|_| budget.deposit(at(4)));
    let allowed = std::thread::scope(|threads| {
        let hands: Vec<_> =
            (0..4).map(|_| threads.spawn(|| (0..200).filter(|_| budget.withdraw(at(4))).count())).collect();
        hands.into_iter().map(|hand| hand.join().unwrap()).sum::<usize>()
    });
    assert!((90..=100).contains(&allowed), "{allowed}");
}

fn failures() -> impl Strategy<Value = Failure> {
    let wait = Duration::from_secs(1);
    prop_oneof![
        Just(Failure::NoEndpoint),
        Just(Failure::Tripped { retry_after: wait }),
        Just(Failure::Overloaded { retry_after: wait }),
        Just(Failure::Connect(ConnectFailure::Refused)),
        Just(Failure::Connect(ConnectFailure::Timeout)),
        Just(Failure::Reset),
        Just(Failure::ReadTimeout),
        Just(Failure::Deadline),
        (500_u16..505).prop_map(Failure::Status),
        Just(Failure::BadResponse),
    ]
}

proptest! {
    #[test]
    fn there_is_no_retry_without_licence_attempt_body_and_time(
        failure in failures(),
        (attempts, attempts_made) in (2_u8..=10, any::<NonZeroU8>()),
        (no_byte_sent, idempotent_method, idempotency_key, body_replayable) in any::<(bool, bool, bool, bool)>(),
        remaining_us in proptest::option::of(0_u64..300_000),
        chance in any::<u64>(),
    ) {
        let policy = RetryPolicy::new(RetrySettings { attempts, ..settings(AMPLE) });
        let attempts_made = attempts_made.get();
        let remaining = remaining_us.map(Duration::from_micros);
        let ask = RetryAsk {
            now: at(1), attempts_made, failure: &failure, no_byte_sent, idempotent_method, idempotency_key,
            body_replayable, remaining,
        };
        if let RetryVerdict::Retry { after, licence } = policy.next(&ask, &mut || chance) {
            prop_assert!(attempts_made < attempts);
            prop_assert!(body_replayable);
            prop_assert!(remaining.is_none_or(|remaining| after < remaining));
            prop_assert!(after <= policy.settings().backoff_max);
            let holds = match licence {
                Licence::NoByteSent => no_byte_sent,
                Licence::IdempotentMethod => idempotent_method,
                Licence::IdempotencyKey => idempotency_key,
            };
            prop_assert!(holds, "{licence:?}");
        }
    }

    #[test]
    fn retries_stay_within_the_budget_in_every_window(
        share in 0.0..0.6_f64,
        floor_per_second in 0_u32..4,
        steps in proptest::collection::vec((0_u64..2_000, 0_u32..20, 0_u32..10), 1..80),
    ) {
        let budget = RetryBudget::new(BudgetSettings { share, floor_per_second });
        let floor = f64::from(floor_per_second) * BUDGET_WINDOW_SECS as f64;
        let mut log: Vec<(u64, f64, f64)> = Vec::new();
        let mut ms = 0;
        for (pause_ms, requests, wishes) in steps {
            ms += pause_ms;
            let now = Moment::ORIGIN + Duration::from_millis(ms);
            (0..requests).for_each(|_| budget.deposit(now));
            let retries = (0..wishes).filter(|_| budget.withdraw(now)).count();
            log.push((ms / 1_000, f64::from(requests), retries as f64));

            let last = |secs| log.iter().filter(move |(second, ..)| second + secs > ms / 1_000);
            let retried: f64 = last(BUDGET_WINDOW_SECS).map(|(.., retries)| retries).sum();
            // A retry of this window may have been earned by a request of the window before it.
            let asked: f64 = last(2 * BUDGET_WINDOW_SECS).map(|(_, requests, _)| requests).sum();
            // The share is taken in millionths, of at most a few thousand requests here.
            prop_assert!(retried <= share * asked + floor + 0.01, "{retried} retries for {asked} requests");

            let asked: f64 = last(BUDGET_WINDOW_SECS).map(|(_, requests, _)| requests).sum();
            let by_share_alone = retries > 0 && floor_per_second == 0;
            prop_assert!(!by_share_alone || retried <= share * asked + 0.01, "{retried} retries for {asked} requests");
        }
    }
}
