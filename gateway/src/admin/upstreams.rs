//! `GET /upstreams`, `GET /upstreams/{name}`: endpoints with their health, load and breakers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use portcullis_core::breaker::BreakerState;
use portcullis_core::snapshot::{Upstream, UpstreamSource};
use portcullis_core::upstream::{BreakerView, EndpointView};
use portcullis_discovery_model::{Freshness, Health};
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::{Path, Query};
use super::page::{Page, Paging};
use super::problem::Problem;
use crate::clock;
use crate::live::Live;
use crate::operator::Operator;

/// One upstream.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UpstreamStatus {
    name: String,
    /// `consul` or `hosts`.
    source: &'static str,
    /// Requests in flight.
    in_flight: u32,
    /// The bound on them.
    max_requests: Option<u32>,
    /// Since when the registry does not stand by the endpoints; RFC 3339, UTC. Absent if it does.
    stale_since: Option<String>,
    /// The worst of the upstream's own breakers: `passing`, `probing` or `tripped`. Absent if it has none.
    breaker: Option<&'static str>,
    endpoints: Vec<EndpointStatus>,
}

/// One endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EndpointStatus {
    id: String,
    address: String,
    /// `passing`, `warning` or `critical`.
    health: &'static str,
    weight: u16,
    draining: bool,
    in_flight: u32,
    /// Attempts sent here since the endpoint is known.
    picks: u64,
    /// The worst of its breakers. Absent if it has none.
    breaker: Option<&'static str>,
    tags: Vec<String>,
}

/// Every upstream that a route uses
#[utoipa::path(
    get,
    path = "/api/v1/upstreams",
    params(Paging),
    responses((status = 200, body = Page<UpstreamStatus>), (status = 400, body = Problem))
)]
pub(super) async fn list(
    State(operator): State<Arc<Operator>>,
    Query(paging): Query<Paging>,
    uri: Uri,
) -> Result<Response, Problem> {
    let live = operator.live.load_full();
    let wanted = live.snapshot.upstreams.values().filter(|upstream| paging.wants([&*upstream.name]));
    paging.page(&uri, wanted.map(|upstream| (upstream.name.to_string(), upstream)).collect(), |upstream| {
        show(upstream)
    })
}

/// One upstream with its endpoints
#[utoipa::path(
    get,
    path = "/api/v1/upstreams/{name}",
    params(("name" = String, Path, description = "the upstream's name in the configuration")),
    responses((status = 200, body = UpstreamStatus), (status = 404, body = Problem))
)]
pub(super) async fn one(
    State(operator): State<Arc<Operator>>,
    Path(name): Path<String>,
) -> Result<Json<UpstreamStatus>, Problem> {
    let live = operator.live.load_full();
    find(&live, &name).map(|upstream| Json(show(upstream)))
}

/// The upstream of this name.
pub(super) fn find<'l>(live: &'l Live, name: &str) -> Result<&'l Arc<Upstream>, Problem> {
    live.snapshot.upstreams.get(name).ok_or_else(|| {
        let near = portcullis_schema::nearest(name, live.snapshot.upstreams.keys().map(|known| &**known));
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        let detail = format!("no route uses an upstream `{name}`{hint}");
        Problem::new(StatusCode::NOT_FOUND, "unknown_upstream", detail)
    })
}

fn show(upstream: &Upstream) -> UpstreamStatus {
    let view = upstream.cell.view(clock::now());
    let stale_since = match view.freshness {
        Some(Freshness::Stale { since }) => {
            Some(clock::rfc3339(since.duration_since(std::time::UNIX_EPOCH).unwrap_or_default()))
        }
        Some(Freshness::Live) | None => None,
    };
    UpstreamStatus {
        name: upstream.name.to_string(),
        source: match upstream.source {
            UpstreamSource::Service { .. } => "consul",
            UpstreamSource::Hosts(_) => "hosts",
        },
        in_flight: view.in_flight,
        max_requests: view.max_requests.map(std::num::NonZero::get),
        stale_since,
        breaker: worst(&view.breakers),
        endpoints: view.endpoints.iter().map(endpoint).collect(),
    }
}

pub(super) fn endpoint(view: &EndpointView) -> EndpointStatus {
    let endpoint = &view.endpoint;
    EndpointStatus {
        id: endpoint.id.to_string(),
        address: endpoint.address.to_string(),
        health: match endpoint.health {
            Health::Passing => "passing",
            Health::Warning => "warning",
            Health::Critical => "critical",
        },
        weight: endpoint.weight.get(),
        draining: view.draining,
        in_flight: view.in_flight,
        picks: view.picks,
        breaker: worst(&view.breakers),
        tags: endpoint.tags.iter().map(ToString::to_string).collect(),
    }
}

fn worst(breakers: &[BreakerView]) -> Option<&'static str> {
    let rank = |state: BreakerState| match state {
        BreakerState::Passing => (0, "passing"),
        BreakerState::Probing => (1, "probing"),
        BreakerState::Tripped => (2, "tripped"),
    };
    breakers.iter().map(|breaker| rank(breaker.state)).max().map(|(_, word)| word)
}
