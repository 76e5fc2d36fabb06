//! `GET /upstreams/{name}/endpoints`, `PATCH /upstreams/{name}/endpoints/{id}`, `POST /circuits/{upstream}/reset`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use portcullis_core::snapshot::Upstream;
use portcullis_core::upstream::EndpointState;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::extract::{Body, Path, Query};
use super::page::{Page, Paging};
use super::problem::Problem;
use super::tokens::Caller;
use super::upstreams::{EndpointStatus, endpoint, find};
use crate::clock;
use crate::events::Kind;
use crate::operator::Operator;

/// What an endpoint is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EndpointPatch {
    state: WantedState,
}

/// Whether an endpoint gets new requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum WantedState {
    /// No new ones; those in flight finish.
    Drain,
    /// As its health allows.
    Ready,
}

/// What a reset did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Reset {
    upstream: String,
    /// Breakers that did not let everything through and do now.
    reset: usize,
}

/// The endpoints of an upstream
#[utoipa::path(
    get,
    path = "/api/v1/upstreams/{name}/endpoints",
    params(("name" = String, Path, description = "the upstream's name in the configuration"), Paging),
    responses(
        (status = 200, body = Page<EndpointStatus>),
        (status = 400, body = Problem),
        (status = 404, body = Problem)
    )
)]
pub(super) async fn list(
    State(operator): State<Arc<Operator>>,
    Path(name): Path<String>,
    Query(paging): Query<Paging>,
    uri: Uri,
) -> Result<Response, Problem> {
    let live = operator.live.load_full();
    let view = find(&live, &name)?.cell.view(clock::now());
    let keyed = view.endpoints.iter().map(|view| {
        let found = &view.endpoint;
        (format!("{} {}", found.address, found.id), view)
    });
    let wanted = keyed.filter(|(key, _)| paging.wants([key.as_str()]));
    paging.page(&uri, wanted.collect(), endpoint)
}

/// Keeps new requests away from an endpoint, or lets them come again
///
/// Requests in flight finish. A drain is kept over changes of the set and reloads of the configuration; it is
/// forgotten when the endpoint leaves the registry, and when the gateway restarts.
#[utoipa::path(
    patch,
    path = "/api/v1/upstreams/{name}/endpoints/{id}",
    params(
        ("name" = String, Path, description = "the upstream's name in the configuration"),
        ("id" = String, Path, description = "the endpoint's address, or its id with or without its node")
    ),
    request_body = EndpointPatch,
    responses(
        (status = 200, body = EndpointStatus),
        (status = 400, body = Problem),
        (status = 404, body = Problem),
        (status = 409, body = Problem),
        (status = 415, body = Problem),
        (status = 422, body = Problem)
    )
)]
pub(super) async fn patch(
    State(operator): State<Arc<Operator>>,
    Path((name, id)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
    Body(wanted): Body<EndpointPatch>,
) -> Result<Json<EndpointStatus>, Problem> {
    let live = operator.live.load_full();
    let upstream = find(&live, &name)?;
    let state = one(upstream, &id)?;
    state.set_draining(wanted.state == WantedState::Drain);
    let (address, found) = (state.endpoint().address, &state.endpoint().id);
    let detail = json!({
        "upstream": &*upstream.name, "endpoint": address.to_string(), "id": found.as_str(),
        "draining": state.is_draining(), "by": &*caller.name,
    });
    operator.events.tell(Kind::Drain, detail);
    let view = upstream.cell.view(clock::now());
    let shown =
        view.endpoints.iter().find(|view| view.endpoint.address == address && view.endpoint.id == *found);
    shown.map(|view| Json(endpoint(view))).ok_or_else(|| unknown(upstream, &id))
}

/// Lets requests through every breaker of an upstream and its endpoints again
#[utoipa::path(
    post,
    path = "/api/v1/circuits/{upstream}/reset",
    params(("upstream" = String, Path, description = "the upstream's name in the configuration")),
    responses((status = 200, body = Reset), (status = 404, body = Problem))
)]
pub(super) async fn reset(
    State(operator): State<Arc<Operator>>,
    Path(name): Path<String>,
) -> Result<Json<Reset>, Problem> {
    let live = operator.live.load_full();
    let upstream = find(&live, &name)?;
    Ok(Json(Reset { upstream: upstream.name.to_string(), reset: upstream.cell.reset_breakers() }))
}

/// The endpoint of this address, or of this id with or without its node in front.
fn one(upstream: &Upstream, id: &str) -> Result<Arc<EndpointState>, Problem> {
    let all = upstream.cell.endpoints();
    let is_meant = |state: &&Arc<EndpointState>| {
        let endpoint = state.endpoint();
        let own = endpoint.id.as_str().split_once('/').map(|(_, own)| own);
        endpoint.id.as_str() == id || own == Some(id) || endpoint.address.to_string() == id
    };
    let mut meant = all.iter().filter(is_meant);
    match (meant.next(), meant.next()) {
        (None, _) => Err(unknown(upstream, id)),
        (Some(only), None) => Ok(Arc::clone(only)),
        (Some(_), Some(_)) => {
            let detail = format!(
                "several endpoints of `{}` have the id `{id}`; name one by its address",
                upstream.name
            );
            Err(Problem::new(StatusCode::CONFLICT, "ambiguous_endpoint", detail))
        }
    }
}

fn unknown(upstream: &Upstream, id: &str) -> Problem {
    let all = upstream.cell.endpoints();
    let ids = all.iter().map(|state| state.endpoint().id.as_str());
    let hint = portcullis_schema::nearest(id, ids).map(|near| format!("; did you mean `{near}`?"));
    let detail = format!("`{}` has no endpoint `{id}`{}", upstream.name, hint.unwrap_or_default());
    Problem::new(StatusCode::NOT_FOUND, "unknown_endpoint", detail)
}
