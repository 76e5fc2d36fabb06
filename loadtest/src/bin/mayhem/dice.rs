//! Dice whose throws follow from a seed, the same on every machine and in every version.

/// `SplitMix64`: six lines that are fixed for ever, where a library may change its mind.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Dice of its own for the `n`th of several who throw.
    pub(crate) fn nth(seed: u64, n: u64) -> Self {
        let mut dice = Self(seed ^ n.wrapping_mul(0x2545_f491_4f6c_dd1d));
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high.saturating_sub(low) + 1)
    }

    /// One in so many.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.between(1, n.max(1)) == 1
    }

    /// Puts things into an order that follows from the seed.
    pub(crate) fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            let other = self.between(0, last as u64);
            things.swap(last, usize::try_from(other).unwrap_or(last));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut dice = Dice::new(1);
        assert_eq!([dice.next(), dice.next()], [0x910a_2dec_8902_5cc1, 0xbeeb_8da1_658e_ec67]);
    }

    #[test]
    fn throws_are_within_their_bounds_and_cover_them() {
        let mut dice = Dice::new(7);
        let mut seen = [false; 4];
        for _ in 0..200 {
            seen[usize::try_from(dice.between(1, 3)).unwrap()] = true;
        }
        assert_eq!(seen, [false, true, true, true]);
    }

    #[test]
    fn shuffling_loses_nothing_and_throwers_differ() {
        let mut things: Vec<u32> = (0..50).collect();
        Dice::nth(3, 1).shuffle(&mut things);
        assert_ne!(things, (0..50).collect::<Vec<_>>());
        things.sort_unstable();
        assert_eq!(things, (0..50).collect::<Vec<_>>());
        assert_ne!(Dice::nth(3, 1).next(), Dice::nth(3, 2).next());
    }
}
