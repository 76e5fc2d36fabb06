//! Handles a request holds instead of looking labels up.
//!
//! [`RouteHandles`] for each route and [`UpstreamInstruments`] for each upstream, made when the
//! snapshot is built; the children of a family are made at their first use and found again
//! by a scan over a handful of integers. What happens seldom is looked up when it happens.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::{Method, Version};
use portcullis_core::auth::Credential;
use portcullis_core::retry::Licence;
use prometheus::{IntCounter, IntCounterVec};
use smallvec::SmallVec;

use super::histogram::DurationHistogram;
use super::metrics::Metrics;
use super::route_counts::RouteCounts;

/// Children a route or an upstream keeps handles of. Beyond it a child is looked up by its labels.
const HANDLES_MAX: usize = 64;

/// Histograms by a small integer key. Reading is lock-free; a new key copies the list once.
///
/// The first key is kept in place: most routes answer with one status to one method, and ten thousand of them
/// find little of this in the cache.
#[derive(Debug, Default)]
struct Handles {
    first: OnceLock<(u32, DurationHistogram)>,
    more: ArcSwapOption<SmallVec<[(u32, DurationHistogram); 4]>>,
    writing: Mutex<()>,
}

impl Handles {
    fn observe(&self, key: u32, value: Duration, make: impl FnOnce() -> DurationHistogram) {
        if let Some((known, histogram)) = self.first.get()
            && *known == key
        {
            return histogram.observe(value);
        }
        let more = self.more.load();
        if let Some((_, histogram)) =
            more.iter().flat_map(|list| list.iter()).find(|(known, _)| *known == key)
        {
            return histogram.observe(value);
        }
        drop(more);
        let histogram = make();
        histogram.observe(value);
        self.keep(key, histogram);
    }

    fn keep(&self, key: u32, histogram: DurationHistogram) {
        let _one_writer = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, _) = self.first.get_or_init(|| (key, histogram.clone()));
        let mut list = self.more.load().as_deref().cloned().unwrap_or_default();
        let is_known = *first == key || list.iter().any(|(known, _)| *known == key);
        if !is_known && list.len() < HANDLES_MAX {
            list.push((key, histogram));
            self.more.store(Some(Arc::new(list)));
        }
    }
}

/// What is kept of one route between requests: the line of cache that ten thousand routes find cold, and no more.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct RouteHandles {
    durations: Handles,
    counts: OnceLock<RouteCounts>,
}

impl RouteHandles {
    /// Has brought what a request is going to be counted in.
    pub fn expect_soon(&self) {
        if let Some(counts) = self.counts.get() {
            counts.expect_soon();
        }
        if let Some((_, durations)) = self.durations.first.get() {
            durations.expect_soon();
        }
    }

    /// Counts a request out that [`RouteInstruments::enter`] counted in.
    pub fn leave(&self) {
        if let Some(counts) = self.counts.get() {
            counts.leave();
        }
    }
}

/// The handles of one route, and what the first use of each needs.
#[derive(Debug, Clone, Copy)]
pub struct RouteInstruments<'a> {
    handles: &'a RouteHandles,
    metrics: &'a Metrics,
    route: &'a str,
}

impl<'a> RouteInstruments<'a> {
    /// The handles of the route of this name.
    #[must_use]
    pub const fn new(handles: &'a RouteHandles, metrics: &'a Metrics, route: &'a str) -> Self {
        Self { handles, metrics, route }
    }

    fn counts(&self) -> &'a RouteCounts {
        self.handles.counts.get_or_init(|| self.metrics.routes.of(self.route))
    }

    /// Counts a request in.
    pub fn enter(&self) {
        self.counts().enter();
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
        self.handles.durations.observe(key, total, || {
            self.metrics.request_duration.with_label_values(&[
                self.route,
                method.1,
                &status.to_string(),
                version.1,
            ])
        });
        self.counts().took(total.saturating_sub(upstream));
    }

    /// Counts a retry by the licence that allowed it.
    pub fn retried(&self, licence: Licence) {
        self.metrics.retries.with_label_values(&[self.route, licence.as_str()]).inc();
    }

    /// Counts an answer by fallback; `kind` is `reply` or `upstream`.
    pub fn fell_back(&self, kind: &'static str) {
        self.metrics.fallbacks.with_label_values(&[self.route, kind]).inc();
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
        let (metrics, handles) = (Metrics::new().unwrap(), RouteHandles::default());
        let route = RouteInstruments::new(&handles, &metrics, "orders");
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
    fn what_is_kept_of_a_route_fits_one_cache_line() {
        assert_eq!((size_of::<RouteHandles>(), align_of::<RouteHandles>()), (64, 64));
    }

    #[test]
    fn unknown_methods_share_one_label() {
        assert_eq!(method_label(&Method::from_bytes(b"BREW").unwrap()).1, "_OTHER");
    }

    #[test]
    fn more_children_than_handles_are_still_counted() {
        let (metrics, handles) = (Metrics::new().unwrap(), RouteHandles::default());
        let route = RouteInstruments::new(&handles, &metrics, "r");
        for status in 200..300 {
            route.observe(&Method::GET, status, Version::HTTP_11, Duration::ZERO, Duration::ZERO);
        }
        assert!(metrics.render().unwrap().contains("http_response_status_code=\"299\""));
    }
}
