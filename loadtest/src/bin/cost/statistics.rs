//! Medians of ratios, and how far to trust them.

/// How often the blocks are drawn anew for the interval.
const RESAMPLES: usize = 10_000;
/// Seed of the draws: the same windows give the same interval.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// A median with its 90 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The median of `values` with a 90 % percentile bootstrap interval (Efron and Tibshirani, 1993, ch. 13).
/// `None` without values.
pub(crate) fn estimate(values: &[f64]) -> Option<Estimate> {
    let middle = median(values)?;
    let mut chance = Chance(SEED);
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let drawn: Vec<f64> =
                values.iter().filter_map(|_| values.get(chance.below(values.len())).copied()).collect();
            median(&drawn)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let at = |share: usize| medians.get(medians.len() * share / 100).copied();
    Some(Estimate { median: middle, low: at(5)?, high: at(95)? })
}

/// The middle value, or the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    sorted.get(sorted.len() / 2 - 1).map(|lower| f64::midpoint(*lower, upper))
}

/// Slope of the straight line of least squares through `points` of (x, y). `None` if they have one x only.
pub(crate) fn slope(points: &[(f64, f64)]) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a handful of points")]
    let count = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let joint: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    (spread > 0.0).then(|| joint / spread)
}

/// Chance by a seed: splitmix64 (Steele, Lea and Flood, 2014).
#[derive(Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 for a bound of 0.
    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below a usize")]
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { (self.next() % bound as u64) as usize }
    }

    /// Puts `items` into a random order (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_encloses_the_median_and_is_the_same_each_time() {
        let values = [1.10, 1.12, 1.09, 1.30, 1.11, 1.08, 1.13];
        let found = estimate(&values).unwrap();
        assert!((found.median - 1.11).abs() < 1e-9);
        assert!(found.low <= found.median && found.median <= found.high && found.high < 1.30, "{found:?}");
        assert_eq!(estimate(&values), Some(found));
        assert_eq!(estimate(&[]), None);
    }

    #[test]
    fn a_line_has_its_slope() {
        assert_eq!(slope(&[(1.0, 10.0), (2.0, 12.0), (3.0, 14.0)]), Some(2.0));
        assert_eq!(slope(&[(1.0, 10.0)]), None);
    }

    #[test]
    fn shuffling_loses_nothing() {
        let mut items: Vec<usize> = (0..100).collect();
        Chance(7).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
