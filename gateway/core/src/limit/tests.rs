//! Limits as a whole: exact figures, bounds, attackers, threads.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

fn settings(permits: u32, per: Duration, burst: u32) -> LimitSettings {
    LimitSettings {
        name: "test".into(),
        permits: NonZeroU32::new(permits).unwrap(),
        per,
        burst: NonZeroU32::new(burst).unwrap(),
        by: LimitBy::Ip,
        dry_run: false,
        keys_max: 1_000,
    }
}

fn limit(permits: u32, per: Duration, burst: u32) -> Limit {
    Limit::new(settings(permits, per, burst), LimitSeed([7, 9]))
}

fn at_ms(ms: u64) -> Moment {
    Moment::ORIGIN + Duration::from_millis(ms)
}

fn v4(n: u32) -> LimitKey<'static> {
    LimitKey::Ip(IpAddr::V4(Ipv4Addr::from_bits(n)))
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_figures_of_a_decision_are_exact() {
    let limit = limit(10, SECOND, 3);
    let figures = |ms| {
        let d = limit.check(&v4(1), at_ms(ms));
        (d.allowed, d.remaining, d.reset.as_millis(), d.retry_after.as_millis())
    };
    assert_eq!(figures(1_000), (true, 2, 100, 0));
    assert_eq!(figures(1_000), (true, 1, 200, 0));
    assert_eq!(figures(1_030), (true, 0, 270, 70));
    assert_eq!(figures(1_060), (false, 0, 240, 40));
    assert_eq!(figures(1_099), (false, 0, 201, 1));
    assert_eq!(figures(1_100), (true, 0, 300, 100));
    assert_eq!(figures(9_000), (true, 2, 100, 0));
    let decision = limit.check(&v4(1), at_ms(9_000));
    assert_eq!((decision.limit, decision.window), (10, SECOND));
}

#[test]
fn waiting_as_told_is_enough_and_a_nanosecond_less_is_not() {
    let limit = limit(3, SECOND, 2);
    let now = at_ms(5);
    let refused = (0..).map(|_| limit.check(&v4(1), now)).find(|d| !d.allowed).unwrap();
    let almost = Moment::from_nanos((now + refused.retry_after).as_nanos() - 1);
    assert!(!limit.check(&v4(1), almost).allowed);
    assert!(limit.check(&v4(1), now + refused.retry_after).allowed);
}

#[test]
fn a_full_bucket_is_full_when_it_was_said_to_be() {
    let limit = limit(10, SECOND, 5);
    let spent = (0..5).map(|_| limit.check(&v4(1), at_ms(0))).last().unwrap();
    assert_eq!(spent.reset, Duration::from_millis(500));
    assert_eq!(limit.check(&v4(1), at_ms(0) + spent.reset).remaining, 4);
}

#[test]
fn one_client_cannot_make_itself_many() {
    let limit = limit(5, Duration::from_secs(60), 5);
    let subscriber = (0..100_u16).map(|n| Ipv6Addr::new(0x2001, 0xdb8, 1, 2, n, n, n, n));
    let allowed = subscriber.filter(|ip| limit.check(&LimitKey::Ip((*ip).into()), at_ms(0)).allowed).count();
    assert_eq!(allowed, 5, "a whole /64 is one client");
    let mapped = |n: u32| if n.is_multiple_of(2) { "192.0.2.1" } else { "::ffff:192.0.2.1" }.parse().unwrap();
    let allowed = (0..100).filter(|n| limit.check(&LimitKey::Ip(mapped(*n)), at_ms(0)).allowed).count();
    assert_eq!(allowed, 5, "both spellings are one client");
}

#[test]
fn a_hundred_requests_at_one_instant_get_the_burst_and_no_more() {
    let limit = limit(10, SECOND, 10);
    let allowed = std::thread::scope(|threads| {
        let hands: Vec<_> = (0..4)
            .map(|_| threads.spawn(|| (0..25).filter(|_| limit.check(&v4(1), at_ms(3)).allowed).count()))
            .collect();
        hands.into_iter().map(|hand| hand.join().unwrap()).sum::<usize>()
    });
    assert_eq!(allowed, 10);
}

#[test]
fn a_dry_run_counts_and_refuses_nobody() {
    let limit = Limit::new(LimitSettings { dry_run: true, ..settings(1, SECOND, 1) }, LimitSeed([0, 0]));
    assert!(limit.check(&LimitKey::Whole, at_ms(0)).allowed);
    let second = limit.check(&LimitKey::Whole, at_ms(0));
    assert_eq!((second.allowed, second.refuses()), (false, false));
}

#[test]
fn beyond_the_bound_newcomers_share_one_bucket_and_the_old_keep_theirs() {
    let limit = Limit::new(LimitSettings { keys_max: 10, ..settings(2, SECOND, 2) }, LimitSeed([1, 1]));
    for key in 0..10 {
        assert!(limit.check(&v4(key), at_ms(0)).allowed);
    }
    let newcomers: Vec<_> = (100..200).map(|key| limit.check(&v4(key), at_ms(0))).collect();
    assert!(newcomers.iter().all(|d| d.shared));
    assert_eq!(newcomers.iter().filter(|d| d.allowed).count(), 2);
    assert_eq!((limit.n_keys(), limit.n_shared()), (10, 100));
    assert!(limit.check(&v4(3), at_ms(0)).allowed, "the second of two");
    assert!(!limit.check(&v4(3), at_ms(0)).allowed);
}

#[test]
fn room_comes_back_on_the_way_of_requests_once_buckets_are_full_again() {
    let limit = Limit::new(LimitSettings { keys_max: 100, ..settings(2, SECOND, 2) }, LimitSeed([1, 1]));
    for key in 0..100 {
        assert!(!limit.check(&v4(key), at_ms(0)).shared);
    }
    assert!(limit.check(&v4(500), at_ms(1)).shared);
    let first_own = (0..100).find(|n| !limit.check(&v4(1_000), at_ms(2_000 + n * 60)).shared);
    assert!(first_own.is_some_and(|n| n < 16), "one shard at a time: {first_own:?}");
}

#[test]
fn a_sweep_forgets_full_buckets_only() {
    let limit = limit(1, SECOND, 1);
    for key in 0..50 {
        _ = limit.check(&v4(key), at_ms(0));
    }
    for key in 0..20 {
        _ = limit.check(&v4(key), at_ms(1_000));
    }
    assert_eq!(limit.sweep(at_ms(1_500)), 30);
    assert_eq!(limit.n_keys(), 20);
    assert!(!limit.check(&v4(3), at_ms(1_500)).allowed);
    assert_eq!(limit.sweep(at_ms(9_000)), 20);
}

#[test]
fn extreme_quotas_neither_overflow_nor_stop() {
    for (permits, per, burst) in [
        (1, Duration::MAX, u32::MAX),
        (u32::MAX, Duration::ZERO, u32::MAX),
        (1, Duration::from_nanos(1), 1),
        (u32::MAX, Duration::from_secs(1), 1),
        (1, Duration::from_secs(86_400 * 366), u32::MAX),
    ] {
        let limit = limit(permits, per, burst);
        let century = at_ms(100 * 366 * 86_400_000);
        assert!(limit.check(&v4(1), Moment::ORIGIN).allowed);
        assert!(limit.check(&v4(1), century).allowed || burst == u32::MAX || per == Duration::MAX);
    }
}

#[test]
fn keys_come_and_go_from_many_threads_without_breaking_the_bound() {
    let limit = Limit::new(LimitSettings { keys_max: 64, ..settings(1_000, SECOND, 1) }, LimitSeed([1, 1]));
    std::thread::scope(|threads| {
        for thread in 0..4_u32 {
            let limit = &limit;
            threads.spawn(move || {
                for n in 0..5_000_u32 {
                    _ = limit.check(&v4(n * 4 + thread), at_ms(u64::from(n)));
                    assert!(limit.n_keys() <= 64);
                    if n % 500 == 0 {
                        limit.sweep(at_ms(u64::from(n)));
                    }
                }
            });
        }
    });
    let in_shards = limit.sweep(at_ms(100_000));
    assert_eq!(limit.n_keys(), 0, "the count is what the shards held: {in_shards}");
}

proptest! {
    #[test]
    fn no_window_holds_more_than_its_quota_and_one_burst(
        permits in 1_u32..20,
        burst in 1_u32..10,
        gaps in proptest::collection::vec(0_u64..200, 1..200),
    ) {
        let limit = limit(permits, SECOND, burst);
        let mut now = 0;
        let mut accepted = Vec::new();
        for gap in gaps {
            now += gap;
            if limit.check(&v4(1), at_ms(now)).allowed {
                accepted.push(now);
            }
        }
        for (idx, first) in accepted.iter().enumerate() {
            let in_window = accepted[idx..].iter().take_while(|ms| **ms < first + 1_000).count();
            prop_assert!(in_window <= (permits + burst) as usize, "{in_window} from {first}");
        }
    }

    #[test]
    fn what_is_said_to_remain_is_what_is_then_allowed(burst in 1_u32..12, gaps in proptest::collection::vec(0_u64..300, 1..60)) {
        let limit = limit(5, SECOND, burst);
        let mut now = 0;
        let mut remaining = None;
        for gap in gaps {
            now += gap;
            let decision = limit.check(&v4(1), at_ms(now));
            if gap == 0 && let Some(remaining) = remaining {
                prop_assert_eq!(decision.allowed, remaining > 0);
            }
            prop_assert_eq!(decision.retry_after.is_zero(), decision.remaining > 0);
            remaining = Some(decision.remaining);
        }
    }
}
