//! How long to wait before a retry.
//!
//! Decides by exponential backoff with full jitter (M. Brooker, *Exponential Backoff And Jitter*,
//! AWS Architecture Blog, 2015): uniform between nothing and the doubled base, so that requests
//! that failed together do not come back together.

use std::time::Duration;

/// Doublings beyond this change nothing.
const DOUBLINGS_MAX: u32 = 31;

/// The wait before the next attempt when `attempts_made` have failed. `chance` is uniform.
pub(super) fn full_jitter(base: Duration, max: Duration, attempts_made: u8, chance: u64) -> Duration {
    let doublings = u32::from(attempts_made.saturating_sub(1)).min(DOUBLINGS_MAX);
    let longest = base.saturating_mul(1 << doublings).min(max);
    let nanos = (longest.as_nanos().min(u128::from(u64::MAX)) * u128::from(chance)) >> 64;
    Duration::from_nanos(nanos as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_longest_wait_doubles_up_to_its_cap() {
        let longest = |made| {
            let wait = full_jitter(Duration::from_millis(25), Duration::from_millis(250), made, u64::MAX);
            // The draw is below its bound by less than a nanosecond.
            (wait + Duration::from_nanos(1)).as_millis()
        };
        assert_eq!([1, 2, 3, 4, 5, 255].map(longest), [25, 50, 100, 200, 250, 250]);
    }

    #[test]
    fn the_draw_is_spread_over_the_whole_wait() {
        let wait = |chance| full_jitter(Duration::from_secs(1), Duration::MAX, 1, chance);
        assert_eq!(wait(0), Duration::ZERO);
        assert_eq!(wait(1 << 63), Duration::from_millis(500));
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_the_cap(base in 0_u64.., max in 0_u64.., made in any::<u8>(), chance in any::<u64>()) {
            let (base, max) = (Duration::from_nanos(base), Duration::from_millis(max));
            prop_assert!(full_jitter(base, max, made, chance) <= max);
        }
    }
}
