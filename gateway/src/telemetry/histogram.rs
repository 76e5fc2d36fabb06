//! Durations in buckets, kept so that an observation touches one cache line, or two.
//!
//! Families, labels, registry and text format are the library's. Its own histogram spreads one observation over seven
//! lines (bounds, shards, lists), and a gateway with ten thousand routes finds each of them cold at every request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::core::{Metric, MetricVec, MetricVecBuilder};
use prometheus::{Opts, proto};

use super::names::{DURATION_BUCKETS, STATUS_LABEL};
use portcullis_core::confirm::Window;
use portcullis_prefetch::prefetch;

/// A family of histograms of durations, in seconds.
pub(super) type DurationHistogramVec = MetricVec<DurationHistogramBuilder>;

/// Buckets, the one without a bound included.
const BUCKETS: usize = DURATION_BUCKETS.len() + 1;

/// One histogram; a clone counts into the same cells.
#[derive(Debug, Clone)]
pub struct DurationHistogram(Arc<Child>);

#[derive(Debug)]
#[repr(C, align(64))]
struct Child {
    cells: Cells,
    labels: Box<[proto::LabelPair]>,
}

/// The sum comes first and lies beside the buckets of short durations, which are the busy ones.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Cells {
    /// Seconds, as the bits of an `f64`.
    sum: AtomicU64,
    /// Observations of each bucket alone, not cumulated.
    counts: [AtomicU64; BUCKETS],
}

impl Cells {
    /// Counts `duration` in. A scrape that reads meanwhile may see it in the count and not yet in the sum.
    pub(super) fn observe(&self, duration: Duration) {
        let Self { sum, counts } = self;
        let seconds = duration.as_secs_f64();
        let bucket = DURATION_BUCKETS.iter().position(|bound| seconds <= *bound);
        if let Some(count) = counts.get(bucket.unwrap_or(DURATION_BUCKETS.len())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let add = |bits| Some((f64::from_bits(bits) + seconds).to_bits());
        // Never refused: `add` always has an answer.
        let _ = sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

impl DurationHistogram {
    /// Counts `duration` in.
    pub fn observe(&self, duration: Duration) {
        self.0.cells.observe(duration);
    }

    /// Has the line brought that the usual observation touches.
    pub(super) fn expect_soon(&self) {
        prefetch(&self.0.cells.sum);
    }
}

impl Cells {
    /// What was counted so far.
    pub(super) fn histogram(&self) -> proto::Histogram {
        let Self { sum, counts } = self;
        let mut total = 0;
        let mut cumulated = counts.iter().map(|count| {
            total += count.load(Ordering::Relaxed);
            total
        });
        let bounded = DURATION_BUCKETS.iter().zip(&mut cumulated).map(|(bound, count)| {
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(count);
            bucket
        });
        let buckets = bounded.collect();
        let count = cumulated.last().unwrap_or_default();
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(count);
        histogram.set_sample_sum(f64::from_bits(sum.load(Ordering::Relaxed)));
        histogram
    }
}

impl Metric for DurationHistogram {
    fn metric(&self) -> proto::Metric {
        let mut metric = proto::Metric::from_label(self.0.labels.to_vec());
        metric.set_histogram(self.0.cells.histogram());
        metric
    }
}

/// The children of a family as they were made, so that they can be added up without asking the library, which copies
/// every label of every child. Grows with the family's label sets, which are bounded.
#[derive(Debug, Clone, Default)]
pub struct Roster(Arc<Mutex<Vec<(Side, DurationHistogram)>>>);

/// Whether what a child counts went wrong on our side of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Fine,
    Failed,
}

impl Roster {
    /// Everything counted so far, the requests answered with a 5xx also by themselves.
    pub(super) fn total(&self) -> Window {
        let mut total = Window { counts: vec![0; BUCKETS], failed: 0 };
        for (side, child) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            for (sum, count) in total.counts.iter_mut().zip(&child.0.cells.counts) {
                let count = count.load(Ordering::Relaxed);
                *sum += count;
                if *side == Side::Failed {
                    total.failed += count;
                }
            }
        }
        total
    }

    fn add(&self, child: DurationHistogram) {
        let is_failed =
            |label: &proto::LabelPair| label.name() == STATUS_LABEL && label.value().starts_with('5');
        let side = if child.0.labels.iter().any(is_failed) { Side::Failed } else { Side::Fine };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((side, child));
    }
}

/// Makes the children of a family.
#[derive(Debug, Clone, Default)]
pub struct DurationHistogramBuilder {
    /// Where they are written down; most families are never added up.
    pub(super) roster: Option<Roster>,
}

impl MetricVecBuilder for DurationHistogramBuilder {
    type M = DurationHistogram;
    type P = Opts;

    fn build<V: AsRef<str>>(&self, family: &Opts, values: &[V]) -> prometheus::Result<DurationHistogram> {
        let (expect, got) = (family.variable_labels.len(), values.len());
        if expect != got {
            return Err(prometheus::Error::InconsistentCardinality { expect, got });
        }
        let pair = |(name, value): (&String, &V)| {
            let mut pair = proto::LabelPair::default();
            pair.set_name(name.clone());
            pair.set_value(value.as_ref().to_owned());
            pair
        };
        let mut labels: Box<[_]> = family.variable_labels.iter().zip(values).map(pair).collect();
        labels.sort();
        let child = DurationHistogram(Arc::new(Child { cells: Cells::default(), labels }));
        if let Some(roster) = &self.roster {
            roster.add(child.clone());
        }
        Ok(child)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(milliseconds: &[u64]) -> proto::Metric {
        let family = Opts::new("took_seconds", "how long it took").variable_label("route");
        let histogram = DurationHistogramBuilder::default().build(&family, &["shop"]).unwrap();
        milliseconds.iter().for_each(|span| histogram.observe(Duration::from_millis(*span)));
        histogram.metric()
    }

    #[test]
    fn a_duration_on_a_bound_is_within_it() {
        let metric = observed(&[1, 2, 10_000, 10_001]);
        let buckets = metric.get_histogram().get_bucket();
        let seen: Vec<_> = buckets.iter().map(|bucket| bucket.cumulative_count()).collect();
        assert_eq!((seen[0], seen[1], seen[14], seen[15]), (1, 2, 2, 3));
        assert_eq!(metric.get_histogram().get_sample_count(), 4);
        assert!((metric.get_histogram().get_sample_sum() - 20.004).abs() < 1e-9);
    }

    #[test]
    fn a_histogram_nobody_used_is_all_zero() {
        let metric = observed(&[]);
        assert_eq!(metric.get_histogram().get_bucket().len(), DURATION_BUCKETS.len());
        assert_eq!(metric.get_histogram().get_sample_count(), 0);
    }

    #[test]
    fn the_usual_observation_touches_one_cache_line() {
        assert_eq!((align_of::<Child>(), std::mem::offset_of!(Child, cells)), (64, 0));
        assert_eq!(std::mem::offset_of!(Cells, sum), 0);
        assert_eq!(std::mem::offset_of!(Cells, counts), 8);
    }

    #[test]
    fn labels_are_counted() {
        let family = Opts::new("took_seconds", "how long it took").variable_label("route");
        assert!(DurationHistogramBuilder::default().build(&family, &["shop", "GET"]).is_err());
    }
}
