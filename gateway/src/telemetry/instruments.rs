//! Handles a request holds instead of looking labels up.
//!
//! One [`RouteInstruments`] a route and one [`UpstreamInstruments`] an upstream, made when the
//! snapshot is built; the children of a histogram are made at their first use and found again
//! by a scan over a handful of integers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Method, Version};
use portcullis_core::auth::Credential;
use portcullis_core::retry::Licence;
use prometheus::{IntCounter, IntCounterVec, IntGauge};
use smallvec::SmallVec;

use super::histogram::DurationHistogram;
use super::metrics::Metrics;

/// Children a route or an upstream keeps handles of. Beyond it a child is looked up by its labels.
const HANDLES_MAX: usize = 64;

/// Histograms by a small integer key. Reading is lock-free; a new key copies the list once.
#[derive(Debug, Default)]
struct Handles(ArcSwap<SmallVec<[(u32, DurationHistogram); 4]>>, Mutex<()>);

impl Handles {
    fn observe(&self, key: u32, value: Duration, make: impl FnOnce() -> DurationHistogram) {
        if let Some((_, histogram)) = self.0.load().iter().find(|(known, _)| *known == key) {
            histogram.observe(value);
            return;
        }
        let histogram = make();
        histogram.observe(value);
        let _one_writer = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.0.load();
        if known.len() < HANDLES_MAX && known.iter().all(|(other, _)| *other != key) {
            let mut more = SmallVec::clone(&known);
            more.push((key, histogram));
            self.0.store(Arc::new(more));
        }
    }
}

/// The handles of one route.
#[derive(Debug)]
pub struct RouteInstruments {
    metrics: Arc<Metrics>,
    route: Arc<str>,
    durations: Handles,
    overhead: DurationHistogram,
    active: IntGauge,
    retries: [IntCounter; 3],
}

impl RouteInstruments {
    /// The handles of the route of this name.
    #[must_use]
    pub fn new(metrics: &Arc<Metrics>, route: &Arc<str>) -> Self {
        let retry = |reason| metrics.retries.with_label_values(&[&**route, reason]);
        Self {
            metrics: metrics.clone(),
            route: route.clone(),
            durations: Handles::default(),
            overhead: metrics.overhead.with_label_values(&[&**route]),
            active: metrics.active.with_label_values(&[&**route]),
            retries: [retry("no_byte_sent"), retry("idempotent_method"), retry("idempotency_key")],
        }
    }

    /// Counts a request in until the guard is dropped.
    #[must_use]
    pub fn enter(&self) -> ActiveRequest {
        self.active.inc();
        ActiveRequest(self.active.clone())
    }

    /// Records a finished request.
    pub fn observe(
        &self,
        method: &Method,
        status: u16,
        version: Version,
        total: Duration,
        upstream: Duration,
    ) {
        let method = method_label(method);
        let version = version_label(version);
        let key = u32::from(status) << 16 | u32::from(method.0) << 8 | u32::from(version.0);
        self.durations.observe(key, total, || {
            self.metrics.request_duration.with_label_values(&[
                &*self.route,
                method.1,
                &status.to_string(),
                version.1,
            ])
        });
        self.overhead.observe(total.saturating_sub(upstream));
    }

    /// Counts a retry by the licence that allowed it.
    pub fn retried(&self, licence: Licence) {
        let [no_byte_sent, idempotent_method, idempotency_key] = &self.retries;
        match licence {
            Licence::NoByteSent => no_byte_sent.inc(),
            Licence::IdempotentMethod => idempotent_method.inc(),
            Licence::IdempotencyKey => idempotency_key.inc(),
        }
    }

    /// Counts an answer by fallback; `kind` is `reply` or `upstream`.
    pub fn fell_back(&self, kind: &'static str) {
        self.metrics.fallbacks.with_label_values(&[&*self.route, kind]).inc();
    }
}

/// One request in progress.
#[derive(Debug)]
pub struct ActiveRequest(IntGauge);

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The handles of one upstream.
#[derive(Debug)]
pub struct UpstreamInstruments {
    metrics: Arc<Metrics>,
    upstream: Arc<str>,
    attempts: Handles,
    budget_exhausted: IntCounter,
}

impl UpstreamInstruments {
    /// The handles of the upstream of this name.
    #[must_use]
    pub fn new(metrics: &Arc<Metrics>, upstream: &Arc<str>) -> Self {
        Self {
            metrics: metrics.clone(),
            upstream: upstream.clone(),
            attempts: Handles::default(),
            budget_exhausted: metrics.budget_exhausted.with_label_values(&[&**upstream]),
        }
    }

    /// Records an attempt that was answered with a status.
    pub fn answered(&self, status: u16, took: Duration) {
        self.attempts.observe(u32::from(status) << 8, took, || {
            self.metrics.attempt_duration.with_label_values(&[&*self.upstream, &status.to_string(), ""])
        });
    }

    /// Records an attempt that broke; `kind` comes from a closed set.
    pub fn broke(&self, kind: &'static str, took: Duration) {
        let child = self.metrics.attempt_duration.with_label_values(&[&*self.upstream, "", kind]);
        child.observe(took);
    }

    /// Counts a retry that the budget refused.
    pub fn budget_spent(&self) {
        self.budget_exhausted.inc();
    }
}

/// Credentials that were accepted: the everyday outcome of a gate, so it has handles.
#[derive(Debug)]
pub(super) struct Accepted {
    jwt: IntCounter,
    api_key: IntCounter,
}

impl Accepted {
    pub(super) fn new(auth: &IntCounterVec) -> Self {
        let of = |credential| auth.with_label_values(&[credential_label(credential), "allowed", ""]);
        Self { jwt: of(Credential::Jwt), api_key: of(Credential::ApiKey) }
    }
}

const fn credential_label(credential: Credential) -> &'static str {
    match credential {
        Credential::Jwt => "jwt",
        Credential::ApiKey => "api_key",
    }
}

/// Decisions of the gates. What is refused is rare enough to look labels up.
impl Metrics {
    /// Counts an authentication decision; the reason of a refusal comes from a closed set.
    pub fn authenticated(&self, credential: Credential, refused: Option<&'static str>) {
        match (refused, credential) {
            (None, Credential::Jwt) => self.accepted.jwt.inc(),
            (None, Credential::ApiKey) => self.accepted.api_key.inc(),
            (Some(reason), _) => {
                self.auth.with_label_values(&[credential_label(credential), "refused", reason]).inc();
            }
        }
    }

    /// Counts a request over a limit.
    pub fn limited(&self, policy: &str, dry_run: bool) {
        let scope = if dry_run { "dry_run" } else { "enforced" };
        self.rate_limited.with_label_values(&[policy, scope]).inc();
    }

    /// Counts a plugin fault; `kind` is `error` or `panic`.
    pub fn plugin_fault(&self, plugin: &str, kind: &'static str) {
        self.plugin_errors.with_label_values(&[plugin, kind]).inc();
    }
}

/// A closed set of methods, as the OpenTelemetry conventions ask: anything else is `_OTHER`.
fn method_label(method: &Method) -> (u8, &'static str) {
    match method.as_str() {
        "GET" => (0, "GET"),
        "HEAD" => (1, "HEAD"),
        "POST" => (2, "POST"),
        "PUT" => (3, "PUT"),
        "DELETE" => (4, "DELETE"),
        "PATCH" => (5, "PATCH"),
        "OPTIONS" => (6, "OPTIONS"),
        _ => (7, "_OTHER"),
    }
}

/// The protocol version as the OpenTelemetry conventions write it.
fn version_label(version: Version) -> (u8, &'static str) {
    match version {
        Version::HTTP_10 => (0, "1.0"),
        Version::HTTP_2 => (2, "2"),
        _ => (1, "1.1"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_under_its_labels() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let route = RouteInstruments::new(&metrics, &Arc::from("orders"));
        for _ in 0..3 {
            route.observe(
                &Method::GET,
                200,
                Version::HTTP_11,
                Duration::from_millis(3),
                Duration::from_millis(2),
            );
        }
        let text = metrics.render().unwrap();
        let line = "http_server_request_duration_seconds_count{http_request_method=\"GET\",http_response_status_code=\"200\",network_protocol_version=\"1.1\",route=\"orders\"} 3";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn unknown_methods_share_one_label() {
        assert_eq!(method_label(&Method::from_bytes(b"BREW").unwrap()).1, "_OTHER");
    }

    #[test]
    fn more_children_than_handles_are_still_counted() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let route = RouteInstruments::new(&metrics, &Arc::from("r"));
        for status in 200..300 {
            route.observe(&Method::GET, status, Version::HTTP_11, Duration::ZERO, Duration::ZERO);
        }
        assert!(metrics.render().unwrap().contains("http_response_status_code=\"299\""));
    }
}
