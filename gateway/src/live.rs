//! The snapshot in use, with the instruments that belong to it.
//!
//! One pointer is swapped on a reload; a request loads it once and keeps it to its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_core::snapshot::{Route, Snapshot, Upstream};

use crate::telemetry::instruments::{RouteHandles, RouteInstruments, UpstreamInstruments};
use crate::telemetry::metrics::Metrics;

/// A snapshot and the handles of its metrics.
#[derive(Debug)]
pub struct Live {
    /// What the configuration means.
    pub snapshot: Snapshot,
    metrics: Arc<Metrics>,
    /// By `Route::idx`.
    routes: Box<[RouteHandles]>,
    /// By name.
    upstreams: BTreeMap<Arc<str>, UpstreamInstruments>,
}

impl Live {
    /// Wraps a snapshot.
    #[must_use]
    pub fn new(snapshot: Snapshot, metrics: Arc<Metrics>) -> Self {
        let routes = snapshot.router.iter().map(|_| RouteHandles::default()).collect();
        let upstreams = snapshot
            .upstreams
            .keys()
            .map(|name| (name.clone(), UpstreamInstruments::new(&metrics, name)))
            .collect();
        Self { snapshot, metrics, routes, upstreams }
    }

    /// The handles of a route of this snapshot.
    #[must_use]
    pub fn route<'a>(&'a self, route: &'a Route) -> Option<RouteInstruments<'a>> {
        let handles = self.routes.get(route.idx as usize)?;
        Some(RouteInstruments::new(handles, &self.metrics, &route.name))
    }

    /// Has brought what a request of the route at this place of the router is going to be counted in.
    pub fn expect_route(&self, place: usize) {
        if let Some(handles) = self.routes.get(place) {
            handles.expect_soon();
        }
    }

    /// Counts a request in at a route of this snapshot, until the guard is dropped.
    #[must_use]
    pub fn enter(self: &Arc<Self>, route: &Route) -> ActiveRequest {
        if let Some(instruments) = self.route(route) {
            instruments.enter();
        }
        ActiveRequest { live: self.clone(), route: route.idx }
    }

    /// The handles of an upstream of this snapshot.
    #[must_use]
    pub fn upstream(&self, upstream: &Upstream) -> Option<&UpstreamInstruments> {
        self.upstreams.get(&upstream.name)
    }
}

/// One request in progress.
#[derive(Debug)]
pub struct ActiveRequest {
    live: Arc<Live>,
    route: u32,
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        if let Some(handles) = self.live.routes.get(self.route as usize) {
            handles.leave();
        }
    }
}
