//! What operators and scrapers may see: the parts of a running gateway, and what they say.
//!
//! Reads; the only thing it can change is the configuration, through the reloader. Takes no lock
//! that the data path takes.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use portcullis_core::breaker::BreakerState;
use portcullis_core::units::Moment;
use portcullis_core::upstream::{BreakerView, UpstreamView};
use portcullis_discovery::ServiceStatus;
use portcullis_discovery_model::Health;
use tokio::sync::Semaphore;

use crate::admin::Tokens;
use crate::catalogue::Catalogue;
use crate::clock;
use crate::events::Events;
use crate::follow::Follow;
use crate::listener::ListenerSet;
use crate::live::Live;
use crate::readiness::Readiness;
use crate::reload::Reloader;
use crate::revisions::Revisions;
use crate::stopping::Stopping;
use crate::telemetry::log_level::LogLevel;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::recent::Recent;

/// The parts of a running gateway.
#[derive(Debug)]
pub struct Operator {
    /// The snapshot in use.
    pub live: Arc<ArcSwap<Live>>,
    /// Puts configurations into use.
    pub reloader: Arc<Reloader>,
    /// Keeps endpoints up to date.
    pub follow: Arc<Follow>,
    /// Where clients connect.
    pub listeners: ListenerSet,
    /// Every metric.
    pub metrics: Arc<Metrics>,
    /// Whether traffic is taken.
    pub readiness: Arc<Readiness>,
    /// The last look at what the registry offers.
    pub catalogue: Catalogue,
    /// Explaining reads and compiles everything: one at a time.
    pub explaining: Semaphore,
    /// What happens, for people who watch.
    pub events: Arc<Events>,
    /// Recent requests, for people who look.
    pub recent: Arc<Recent>,
    /// Seats for streams of either.
    pub streams: Arc<Semaphore>,
    /// The level of the log.
    pub log_level: Arc<LogLevel>,
    /// Ends the gateway.
    pub stopping: Arc<Stopping>,
    /// Who may use the admin API.
    pub tokens: Arc<Tokens>,
    /// When the process began to serve.
    pub started: Moment,
    /// Changes the configuration.
    pub revisions: Arc<Revisions>,
}

/// One line of `/readyz?verbose`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub found: String,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.ok { "[+]" } else { "[-]" };
        write!(f, "{mark} {}: {}", self.name, self.found)
    }
}

impl Operator {
    /// What an operator would look at first.
    #[must_use]
    pub fn checks(&self) -> Vec<Check> {
        let phase = self.readiness.phase();
        let mut checks = vec![Check {
            name: "phase".to_owned(),
            ok: phase == crate::readiness::Phase::Ready,
            found: phase.as_str().to_owned(),
        }];
        checks.push(self.check_configuration());
        checks.extend(self.follow.source().status().iter().map(check_service));
        checks
    }

    fn check_configuration(&self) -> Check {
        let generation = self.live.load().snapshot.generation;
        let refused = self.reloader.last().and_then(|last| last.result.err());
        let found = match &refused {
            None => format!("generation {generation} in use"),
            Some(refusal) => {
                format!("generation {generation} in use, the last reload was refused: {refusal}")
            }
        };
        Check { name: "configuration".to_owned(), ok: refused.is_none(), found }
    }

    /// Brings the metrics up to date that are read and not counted.
    pub fn refresh_gauges(&self) {
        let live = self.live.load_full();
        let now = clock::now();
        let metrics = &self.metrics;
        metrics.forget_read_values();
        for (name, upstream) in &live.snapshot.upstreams {
            self.show_upstream(name, &upstream.cell.view(now));
        }
        for status in self.follow.source().status() {
            self.show_service(&status);
        }
        metrics.connections.set(i64::try_from(self.listeners.in_flight().count()).unwrap_or(i64::MAX));
    }

    /// Counters were dropped before: adding the count shows it.
    fn show_upstream(&self, name: &str, view: &UpstreamView) {
        let metrics = &self.metrics;
        for (state, count) in endpoint_counts(view) {
            metrics.endpoints.with_label_values(&[name, state]).set(count);
        }
        let breakers =
            || view.breakers.iter().chain(view.endpoints.iter().flat_map(|endpoint| &endpoint.breakers));
        if let Some(worst) = breakers().map(|breaker| gauge_of(breaker.state)).max() {
            metrics.circuit_state.with_label_values(&[name]).set(worst);
        }
        for (to, count) in transitions(breakers()) {
            metrics.circuit_transitions.with_label_values(&[name, to]).inc_by(count);
        }
    }

    fn show_service(&self, status: &ServiceStatus) {
        let (metrics, service) = (&self.metrics, status.query.name.as_str());
        if let Some(age) = status.age {
            metrics.discovery_age.with_label_values(&[service]).set(age.as_secs_f64());
        }
        let updates = &status.updates;
        for (result, count) in
            [("changed", updates.applied), ("unchanged", updates.unchanged), ("held", updates.held)]
        {
            metrics.discovery_updates.with_label_values(&[service, result]).inc_by(count);
        }
        let errors = status.errors.iter().map(|(_, count)| count).sum();
        metrics.discovery_errors.with_label_values(&[service]).inc_by(errors);
    }
}

fn check_service(status: &ServiceStatus) -> Check {
    let endpoints = match status.endpoints {
        None => "no answer yet".to_owned(),
        Some(1) => "1 endpoint".to_owned(),
        Some(count) => format!("{count} endpoints"),
    };
    let since = status.stale_since.and_then(|at| at.elapsed().ok());
    let found = match since {
        None => endpoints,
        Some(since) => format!("{endpoints}, stale for {} s", since.as_secs()),
    };
    Check {
        name: format!("service {}", status.query.name),
        ok: status.stale_since.is_none() && status.endpoints.is_some_and(|count| count > 0),
        found,
    }
}

fn endpoint_counts(view: &UpstreamView) -> [(&'static str, i64); 4] {
    let count = |wanted: fn(&portcullis_core::upstream::EndpointView) -> bool| {
        saturating(view.endpoints.iter().filter(|endpoint| wanted(endpoint)).count() as u64)
    };
    [
        ("passing", count(|endpoint| endpoint.endpoint.health == Health::Passing && !endpoint.draining)),
        ("warning", count(|endpoint| endpoint.endpoint.health == Health::Warning && !endpoint.draining)),
        ("critical", count(|endpoint| endpoint.endpoint.health == Health::Critical && !endpoint.draining)),
        ("draining", count(|endpoint| endpoint.draining)),
    ]
}

const fn gauge_of(state: BreakerState) -> i64 {
    match state {
        BreakerState::Passing => 0,
        BreakerState::Probing => 1,
        BreakerState::Tripped => 2,
    }
}

fn transitions<'v>(breakers: impl Iterator<Item = &'v BreakerView> + Clone) -> [(&'static str, u64); 3] {
    let sum = |of: fn(&BreakerView) -> u64| breakers.clone().map(of).sum();
    [
        ("passing", sum(|breaker| breaker.transitions.passing)),
        ("tripped", sum(|breaker| breaker.transitions.tripped)),
        ("probing", sum(|breaker| breaker.transitions.probing)),
    ]
}

fn saturating(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
