//! The metric families, registered once at start.
//!
//! Hot-path code never looks a label up: it holds the handles of `instruments`, which are made
//! here. What can be read at scrape time (breakers, endpoints, ages) is read then, not counted.

use portcullis_core::confirm::Window;
use prometheus::proto::MetricType;
use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::histogram::{DurationHistogramBuilder, DurationHistogramVec, Roster};
use super::instruments::Accepted;
use super::names::{self, Family};
use super::route_counts::AllRouteCounts;

/// Every family the gateway exposes, and the registry that serves them.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pub(super) request_duration: DurationHistogramVec,
    request_roster: Roster,
    pub(super) routes: AllRouteCounts,
    pub(super) attempt_duration: DurationHistogramVec,
    pub(super) retries: IntCounterVec,
    pub(super) auth: IntCounterVec,
    pub(super) accepted: Accepted,
    pub(super) fallbacks: IntCounterVec,
    pub(super) rate_limited: IntCounterVec,
    pub(super) plugin_errors: IntCounterVec,
    pub(super) budget_exhausted: IntCounterVec,
    /// Breakers, read at scrape time.
    pub circuit_state: IntGaugeVec,
    /// Transitions of breakers, read at scrape time.
    pub circuit_transitions: IntCounterVec,
    /// Endpoints by state, read at scrape time.
    pub endpoints: IntGaugeVec,
    /// Age of the registry's last answer, read at scrape time.
    pub discovery_age: GaugeVec,
    /// Answers of the registry, read at scrape time.
    pub discovery_updates: IntCounterVec,
    /// Failed queries, read at scrape time.
    pub discovery_errors: IntCounterVec,
    /// Reloads by result.
    pub reloads: IntCounterVec,
    /// Configurations on trial by what came of them.
    pub trials: IntCounterVec,
    /// Whether the last reload was applied.
    pub last_reload_ok: IntGauge,
    /// The generation in use, as a label.
    pub revision: IntGaugeVec,
    /// Requests refused by the guard on the connection.
    pub refused_early: IntCounterVec,
    /// Access-log lines dropped.
    pub log_lines_dropped: IntCounter,
    /// Open connections.
    pub connections: IntGauge,
}

impl Metrics {
    /// Registers every family.
    ///
    /// # Errors
    /// When two families share a name, which is a bug of this module.
    pub fn new() -> Result<Self, prometheus::Error> {
        let families = Families { registry: Registry::new() };
        families.process()?;
        let auth = families.counters(&names::AUTH)?;
        let request_roster = Roster::default();
        let metrics = Self {
            request_duration: families.summed_histogram(&names::REQUEST_DURATION, request_roster.clone())?,
            request_roster,
            routes: families.register(AllRouteCounts::new()?)?,
            attempt_duration: families.histogram(&names::ATTEMPT_DURATION)?,
            retries: families.counters(&names::RETRIES)?,
            accepted: Accepted::new(&auth),
            auth,
            fallbacks: families.counters(&names::FALLBACK)?,
            rate_limited: families.counters(&names::RATE_LIMITED)?,
            plugin_errors: families.counters(&names::PLUGIN_ERRORS)?,
            budget_exhausted: families.counters(&names::RETRY_BUDGET_EXHAUSTED)?,
            circuit_state: families.gauges(&names::CIRCUIT_STATE)?,
            circuit_transitions: families.counters(&names::CIRCUIT_TRANSITIONS)?,
            endpoints: families.gauges(&names::UPSTREAM_ENDPOINTS)?,
            discovery_age: families.float_gauges(&names::DISCOVERY_AGE)?,
            discovery_updates: families.counters(&names::DISCOVERY_UPDATES)?,
            discovery_errors: families.counters(&names::DISCOVERY_ERRORS)?,
            reloads: families.counters(&names::RELOADS)?,
            trials: families.counters(&names::TRIALS)?,
            last_reload_ok: families.one_gauge(&names::LAST_RELOAD_OK)?,
            revision: families.gauges(&names::REVISION)?,
            refused_early: families.counters(&names::REFUSED_EARLY)?,
            log_lines_dropped: families.one_counter(&names::LOG_LINES_DROPPED)?,
            connections: families.one_gauge(&names::CONNECTIONS)?,
            registry: families.registry.clone(),
        };
        families.gauges(&names::BUILD_INFO)?.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics.last_reload_ok.set(1);
        Ok(metrics)
    }

    /// Drops what was read for the last scrape: an upstream or a service may be gone since.
    pub fn forget_read_values(&self) {
        self.circuit_state.reset();
        self.circuit_transitions.reset();
        self.endpoints.reset();
        self.discovery_age.reset();
        self.discovery_updates.reset();
        self.discovery_errors.reset();
    }

    /// Shows `generation` as the one in use, and no other.
    pub fn show_generation(&self, generation: u64) {
        self.revision.reset();
        self.revision.with_label_values(&[&generation.to_string()]).set(1);
    }

    /// Every finished request so far, by duration, and how many were answered with a 5xx. Reads what requests count
    /// anyway.
    #[must_use]
    pub fn requests(&self) -> Window {
        self.request_roster.total()
    }

    /// The current values in the Prometheus text format.
    ///
    /// # Errors
    /// When a family cannot be encoded, which is a bug of the library.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        prometheus::TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// Makes and registers families.
struct Families {
    registry: Registry,
}

impl Families {
    fn register<C: prometheus::core::Collector + Clone + 'static>(
        &self,
        family: C,
    ) -> Result<C, prometheus::Error> {
        self.registry.register(Box::new(family.clone()))?;
        Ok(family)
    }

    fn histogram(&self, family: &Family) -> Result<DurationHistogramVec, prometheus::Error> {
        self.histogram_by(family, DurationHistogramBuilder::default())
    }

    /// A family whose children can be added up.
    fn summed_histogram(
        &self,
        family: &Family,
        roster: Roster,
    ) -> Result<DurationHistogramVec, prometheus::Error> {
        self.histogram_by(family, DurationHistogramBuilder { roster: Some(roster) })
    }

    fn histogram_by(
        &self,
        family: &Family,
        builder: DurationHistogramBuilder,
    ) -> Result<DurationHistogramVec, prometheus::Error> {
        let labels = family.labels.iter().map(|label| (*label).to_owned()).collect();
        let options = Opts::new(family.name, family.help).variable_labels(labels);
        self.register(DurationHistogramVec::create(MetricType::HISTOGRAM, builder, options)?)
    }

    fn counters(&self, family: &Family) -> Result<IntCounterVec, prometheus::Error> {
        self.register(IntCounterVec::new(Opts::new(family.name, family.help), family.labels)?)
    }

    fn gauges(&self, family: &Family) -> Result<IntGaugeVec, prometheus::Error> {
        self.register(IntGaugeVec::new(Opts::new(family.name, family.help), family.labels)?)
    }

    fn float_gauges(&self, family: &Family) -> Result<GaugeVec, prometheus::Error> {
        self.register(GaugeVec::new(Opts::new(family.name, family.help), family.labels)?)
    }

    fn one_gauge(&self, family: &Family) -> Result<IntGauge, prometheus::Error> {
        self.register(IntGauge::new(family.name, family.help)?)
    }

    fn one_counter(&self, family: &Family) -> Result<IntCounter, prometheus::Error> {
        self.register(IntCounter::new(family.name, family.help)?)
    }

    fn process(&self) -> Result<(), prometheus::Error> {
        self.registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{Method, Version};

    use super::super::instruments::{RouteHandles, RouteInstruments};
    use super::*;

    #[test]
    fn finished_requests_are_added_up_over_all_their_labels() {
        let (metrics, handles) =
            (Metrics::new().unwrap(), [RouteHandles::default(), RouteHandles::default()]);
        let [one, other] = &handles;
        let routes = [("a", one), ("b", other)];
        let routes = routes.map(|(name, handles)| RouteInstruments::new(handles, &metrics, name));
        let observe = |status: u16, milliseconds: u64| {
            for route in &routes {
                let took = Duration::from_millis(milliseconds);
                route.observe(&Method::GET, status, Version::HTTP_11, took, Duration::ZERO);
            }
        };
        observe(200, 1);
        observe(200, 1);
        observe(503, 20_000);
        observe(404, 3);
        let total = metrics.requests();
        assert_eq!((total.requests(), total.failed), (8, 2));
        assert_eq!((total.counts[0], total.counts[2], total.counts[16]), (4, 2, 2));
    }

    #[test]
    fn every_family_registers_and_renders() {
        let metrics = Metrics::new().unwrap();
        metrics.reloads.with_label_values(&["applied"]).inc();
        let text = metrics.render().unwrap();
        assert!(text.contains("gateway_config_reloads_total{result=\"applied\"} 1"), "{text}");
        assert!(text.contains("gateway_build_info"), "{text}");
    }
}
