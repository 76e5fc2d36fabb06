//! How long to wait before the next try: longer each time, and never the same for two who failed together.

/// Exponential backoff with full jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The most that is waited after the first failure, in milliseconds.
    pub first_ms: i64,
    /// The most that is ever waited, in milliseconds.
    pub max_ms: i64,
}

impl Backoff {
    /// What is waited after `n_failed` failures; `roll` is 0 to 1.
    #[must_use]
    pub fn wait_ms(self, n_failed: u32, roll: f64) -> i64 {
        let doublings = n_failed.saturating_sub(1).min(62);
        let most = self.first_ms.saturating_mul(1 << doublings).clamp(1, self.max_ms.max(1));
        // Never nothing: who fails at once is not asked again at once.
        1 + ((most - 1) as f64 * roll.clamp(0.0, 1.0)) as i64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BACKOFF: Backoff = Backoff { first_ms: 100, max_ms: 30_000 };

    #[test]
    fn the_most_that_is_waited_doubles_up_to_a_bound() {
        let most: Vec<i64> = (1..=10).map(|n| BACKOFF.wait_ms(n, 1.0)).collect();
        assert_eq!(most, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000]);
        assert_eq!(BACKOFF.wait_ms(u32::MAX, 1.0), 30_000);
    }

    proptest! {
        #[test]
        fn every_wait_is_above_nothing_and_within_the_bound(n in any::<u32>(), roll in 0.0..1.0_f64) {
            prop_assert!((1..=BACKOFF.max_ms).contains(&BACKOFF.wait_ms(n, roll)));
        }
    }
}
