//! What every request of a route is counted in: how many are under way, and what the gateway itself took for each.
//!
//! Two families of the registry, and one block of memory for a route: a gateway with ten thousand routes finds it cold at
//! nearly every request, and this way it is one line of the cache to wait for.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis_prefetch::prefetch;
use prometheus::core::{Collector, Desc};
use prometheus::proto;

use super::histogram::Cells;
use super::names::{self, Family};

/// The counts of one route; a clone counts into the same block.
#[derive(Debug, Clone)]
pub(super) struct RouteCounts(Arc<Block>);

#[derive(Debug)]
#[repr(C, align(64))]
struct Block {
    /// Requests under way.
    active: AtomicI64,
    overhead: Cells,
    route: Box<str>,
}

impl RouteCounts {
    pub(super) fn enter(&self) {
        self.0.active.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave(&self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts in what a request took that was not spent waiting for an upstream.
    pub(super) fn took(&self, overhead: Duration) {
        self.0.overhead.observe(overhead);
    }

    /// Has the line brought that the usual request touches.
    pub(super) fn expect_soon(&self) {
        prefetch(&self.0.active);
    }
}

/// The counts of every route there was since the start, by name: as bounded as the names in the configurations applied.
#[derive(Debug, Clone)]
pub(super) struct AllRouteCounts {
    active: Desc,
    overhead: Desc,
    by_route: Arc<Mutex<BTreeMap<Box<str>, RouteCounts>>>,
}

impl AllRouteCounts {
    /// # Errors
    /// When a family's name is none, which is a bug of `names`.
    pub(super) fn new() -> prometheus::Result<Self> {
        Ok(Self {
            active: described(&names::ACTIVE_REQUESTS)?,
            overhead: described(&names::OVERHEAD)?,
            by_route: Arc::default(),
        })
    }

    /// The counts of the route of this name, made at its first request.
    pub(super) fn of(&self, route: &str) -> RouteCounts {
        let mut by_route = self.by_route.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = by_route.get(route) {
            return known.clone();
        }
        let block = Block { active: AtomicI64::new(0), overhead: Cells::default(), route: route.into() };
        let counts = RouteCounts(Arc::new(block));
        by_route.insert(route.into(), counts.clone());
        counts
    }
}

fn described(family: &Family) -> prometheus::Result<Desc> {
    let labels = family.labels.iter().map(|label| (*label).to_owned()).collect();
    Desc::new(family.name.to_owned(), family.help.to_owned(), labels, HashMap::new())
}

impl Collector for AllRouteCounts {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.active, &self.overhead]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let by_route = self.by_route.lock().unwrap_or_else(PoisonError::into_inner);
        let family = |family: &Desc, kind, metric: &dyn Fn(&Block) -> proto::Metric| {
            let mut out = proto::MetricFamily::default();
            out.set_name(family.fq_name.clone());
            out.set_help(family.help.clone());
            out.set_field_type(kind);
            out.set_metric(by_route.values().map(|RouteCounts(block)| metric(block)).collect());
            out
        };
        vec![
            family(&self.active, proto::MetricType::GAUGE, &Block::active),
            family(&self.overhead, proto::MetricType::HISTOGRAM, &Block::overhead),
        ]
    }
}

impl Block {
    fn labelled(&self, family: &Family) -> proto::Metric {
        let label = |name: &&str| {
            let mut label = proto::LabelPair::default();
            label.set_name((*name).to_owned());
            label.set_value(self.route.to_string());
            label
        };
        proto::Metric::from_label(family.labels.iter().map(label).collect())
    }

    #[expect(clippy::cast_precision_loss, reason = "never so many requests at once")]
    fn active(&self) -> proto::Metric {
        let mut gauge = proto::Gauge::default();
        gauge.set_value(self.active.load(Ordering::Relaxed) as f64);
        let mut metric = self.labelled(&names::ACTIVE_REQUESTS);
        metric.set_gauge(gauge);
        metric
    }

    fn overhead(&self) -> proto::Metric {
        let mut metric = self.labelled(&names::OVERHEAD);
        metric.set_histogram(self.overhead.histogram());
        metric
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_counted_in_one_block_whoever_asks_for_it() {
        let all = AllRouteCounts::new().unwrap();
        let (counts, again) = (all.of("shop"), all.of("shop"));
        counts.enter();
        again.enter();
        again.leave();
        counts.took(Duration::from_micros(300));
        all.of("other").enter();
        let families = all.collect();
        let [active, overhead] = families.as_slice() else { panic!("{families:?}") };
        let values: Vec<_> = active
            .get_metric()
            .iter()
            .map(|metric| (metric.get_label()[0].value().to_owned(), metric.get_gauge().get_value()))
            .collect();
        assert_eq!(values, [("other".to_owned(), 1.0), ("shop".to_owned(), 1.0)]);
        let counted: Vec<_> =
            overhead.get_metric().iter().map(|metric| metric.get_histogram().get_sample_count()).collect();
        assert_eq!(counted, [0, 1]);
    }

    #[test]
    fn what_the_usual_request_touches_is_one_cache_line() {
        assert_eq!((align_of::<Block>(), std::mem::offset_of!(Block, active)), (64, 0));
        assert_eq!(std::mem::offset_of!(Block, overhead), 8);
    }
}
