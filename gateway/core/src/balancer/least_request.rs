//! Least-request by the power of two choices.
//!
//! Decides for the less busy of two endpoints drawn at random: O(1), and close to the best of all
//! (M. Mitzenmacher, *The Power of Two Choices in Randomized Load Balancing*, 1996), without
//! the stampede on the one emptiest endpoint that comparing all would cause. Never keeps state.
//!
//! Both endpoints are drawn by weight and compared by requests in flight per weight. On a tie the
//! first drawn wins, so that with little traffic, when all are idle, shares follow the weights.
//! Comparing (in flight + 1) / weight instead ("shortest expected delay") was refused: among idle
//! endpoints it always takes the heaviest, and one of weight 1 beside one of weight 2 gets nothing.

use super::{Load, Schedule, scan};

/// How many pairs are drawn before every endpoint is asked in turn.
const PAIRS_MAX: u32 = 4;
/// How often the second of a pair is drawn again because it is the first.
const REDRAWS_MAX: u32 = 4;

pub(super) fn pick<T>(
    schedule: &Schedule,
    rng: &mut dyn FnMut() -> u64,
    load: impl Fn(usize) -> Load,
    mut admit: impl FnMut(usize) -> Option<T>,
) -> Option<T> {
    for _ in 0..PAIRS_MAX {
        let first = schedule.draw(rng())?;
        let second = another(schedule, first, rng)?;
        let (lighter, heavier) =
            if load(second).is_lighter_than(load(first)) { (second, first) } else { (first, second) };
        if let Some(admitted) = admit(lighter) {
            return Some(admitted);
        }
        if heavier == lighter {
            continue;
        }
        if let Some(admitted) = admit(heavier) {
            return Some(admitted);
        }
    }
    scan(schedule.n_endpoints(), schedule.draw(rng())?, &mut admit)
}

/// An endpoint other than `first`, by weight; any other if the draws keep hitting a dominant one.
fn another(schedule: &Schedule, first: usize, rng: &mut dyn FnMut() -> u64) -> Option<usize> {
    for _ in 0..REDRAWS_MAX {
        let second = schedule.draw(rng())?;
        if second != first {
            return Some(second);
        }
    }
    let n_endpoints = schedule.n_endpoints();
    Some(if first + 1 < n_endpoints { first + 1 } else { 0 })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use proptest::prelude::*;

    use super::*;

    fn schedule(weights: &[u16]) -> Schedule {
        Schedule::new(&weights.iter().map(|w| NonZeroU16::new(*w).unwrap()).collect::<Vec<_>>())
    }

    /// splitmix64 (Steele, Lea and Flood, 2014): well spread and the same in every run.
    fn chance(mut state: u64) -> impl FnMut() -> u64 {
        move || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        }
    }

    #[test]
    fn of_two_endpoints_the_less_busy_is_always_taken() {
        let load = |idx| Load { in_flight: [3, 2][idx], weight: 1 };
        let mut rng = chance(1);
        for _ in 0..100 {
            assert_eq!(pick(&schedule(&[1, 1]), &mut rng, load, Some), Some(1));
        }
    }

    #[test]
    fn busy_is_measured_by_weight() {
        let load = |idx| Load { in_flight: [3, 4][idx], weight: [1, 2][idx] };
        assert_eq!(pick(&schedule(&[1, 2]), &mut chance(1), load, Some), Some(1));
    }

    #[test]
    fn idle_endpoints_share_by_weight() {
        let (schedule, mut rng) = (schedule(&[1, 3]), chance(7));
        let idle = |idx| Load { in_flight: 0, weight: [1, 3][idx] };
        let light = (0..40_000).filter(|_| pick(&schedule, &mut rng, idle, Some) == Some(0)).count();
        assert!((9_000..11_000).contains(&light), "{light} of 40000");
    }

    #[test]
    fn held_requests_even_out() {
        let (schedule, mut rng) = (schedule(&[1; 10]), chance(3));
        let mut in_flight = [0_u32; 10];
        for _ in 0..1_000 {
            let picked = pick(&schedule, &mut rng, |idx| Load { in_flight: in_flight[idx], weight: 1 }, Some);
            in_flight[picked.unwrap()] += 1;
        }
        assert!(in_flight.iter().all(|n| (95..=105).contains(n)), "{in_flight:?}");
    }

    proptest! {
        #[test]
        fn whoever_is_admitted_is_found(
            weights in proptest::collection::vec(1_u16.., 1..40),
            admitted in any::<proptest::sample::Index>(),
            seed in any::<u64>(),
        ) {
            let only = admitted.index(weights.len());
            let idle = |idx: usize| Load { in_flight: 0, weight: weights[idx] };
            let picked = pick(&schedule(&weights), &mut chance(seed), idle, |idx| (idx == only).then_some(idx));
            prop_assert_eq!(picked, Some(only));
        }
    }
}
