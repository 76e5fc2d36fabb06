//! `GET /routes/{name}/explain`, `POST /match`: what goes where, and why.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use portcullis_core::router::ListedRoute;
use portcullis_core::snapshot::Route;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::blocking;
use super::extract::{Body, Path};
use super::problem::{Problem, refused};
use crate::asked::{Asked, losers};
use crate::live::Live;
use crate::operator::Operator;

/// Most routes that lost and are named.
const LOSERS_MAX: usize = 1_000;

/// What a route in use answers for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RouteShown {
    /// Hosts it answers for; empty means any.
    hosts: Vec<String>,
    /// The pattern of its paths.
    path: String,
    /// Methods it takes; empty means any.
    methods: Vec<String>,
    /// Listeners it is served on; empty means all.
    listeners: Vec<String>,
    /// Conditions on headers and on the query.
    conditions: usize,
    priority: i32,
    /// Where its requests go.
    upstreams: Vec<String>,
    plugins: Vec<String>,
}

/// A request that is to be matched.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MatchAsked {
    /// `METHOD HOST/PATH[?QUERY]`.
    #[schema(example = "GET shop.example.com/api/orders/42")]
    request: String,
    /// Lines such as `X-Beta: yes`.
    #[serde(default)]
    #[schema(max_items = 100)]
    headers: Vec<String>,
    /// The listener it comes in on; any if absent.
    listener: Option<String>,
}

/// Which route answers, and why each other one does not.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Matched {
    /// The winner; absent if there is none.
    route: Option<String>,
    /// Where it sends the request.
    upstreams: Vec<String>,
    /// The path in its normal form.
    path: String,
    lost: Vec<Loser>,
    /// Routes that lost and are not named here.
    more: usize,
}

/// A route that does not answer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Loser {
    route: String,
    reason: String,
}

/// What the routes in use answer for, by name.
pub(super) fn shown(live: &Live) -> BTreeMap<String, RouteShown> {
    live.snapshot.router.listed().map(|route| (route.name.to_string(), show(&route))).collect()
}

impl RouteShown {
    /// The texts that a filter looks at.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().chain(&self.upstreams).chain([&self.path]).map(String::as_str)
    }
}

fn show(route: &ListedRoute<'_, Arc<Route>>) -> RouteShown {
    let conditions = route.conditions;
    let methods = conditions.methods.iter().flat_map(|methods| methods.allowed());
    let listeners = conditions.listeners.iter().flat_map(|listeners| listeners.iter());
    RouteShown {
        hosts: route.hosts.iter().map(ToString::to_string).collect(),
        path: route.path.to_string(),
        methods: methods.map(ToString::to_string).collect(),
        listeners: listeners.map(ToString::to_string).collect(),
        conditions: conditions.headers.len() + conditions.query.len(),
        priority: route.priority,
        upstreams: upstreams(route.value),
        plugins: route.value.settings.chain.names().map(ToString::to_string).collect(),
    }
}

fn upstreams(route: &Route) -> Vec<String> {
    route.settings.target.all().map(|to| to.upstream.name.to_string()).collect()
}

/// How a route comes by its settings: each with who set it and where, and its gates in their order
///
/// Files and overlay as they are in use.
#[utoipa::path(
    get,
    path = "/api/v1/routes/{name}/explain",
    params(("name" = String, Path, description = "the route's name")),
    responses(
        (status = 200, description = "settings and gates", content_type = "application/json", body = serde_json::Value),
        (status = 404, body = Problem),
        (status = 422, body = Problem)
    )
)]
pub(super) async fn explain(
    State(operator): State<Arc<Operator>>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let live = operator.live.load_full();
    // Reading and compiling everything is dear: one at a time.
    let _permit = operator.explaining.acquire().await;
    let (reloader, route) = (operator.reloader.clone(), name.clone());
    let carried = live.snapshot.carried().clone();
    match blocking(move || reloader.explain(&route, &carried)).await? {
        Ok(Some(explanation)) => Ok(Json(explanation).into_response()),
        Ok(None) => {
            let names = live.snapshot.router.iter().map(|(known, _)| &**known);
            let hint =
                portcullis_schema::nearest(&name, names).map(|near| format!("; did you mean `{near}`?"));
            let detail = format!("no route is called `{name}`{}", hint.unwrap_or_default());
            Err(Problem::new(StatusCode::NOT_FOUND, "unknown_route", detail))
        }
        Err(refusal) => Ok(refused(&refusal)),
    }
}

/// Which route answers a request, and why each other one does not
#[utoipa::path(
    post,
    path = "/api/v1/match",
    request_body = MatchAsked,
    responses(
        (status = 200, body = Matched),
        (status = 400, body = Problem),
        (status = 415, body = Problem),
        (status = 422, body = Problem)
    )
)]
pub(super) async fn matches(
    State(operator): State<Arc<Operator>>,
    Body(asked): Body<MatchAsked>,
) -> Result<Json<Matched>, Problem> {
    let live = operator.live.load_full();
    let bad = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_body", detail);
    let request = Asked::read(&asked.request, asked.headers.iter().map(String::as_str)).map_err(bad)?;
    if let Some(listener) =
        asked.listener.as_deref().filter(|name| !live.snapshot.listeners.contains_key(*name))
    {
        return Err(bad(format!("there is no listener `{listener}`")));
    }
    let verdicts = live.snapshot.router.explain(&request.of(asked.listener.as_deref()));
    let winner = verdicts.iter().find(|verdict| verdict.lost.is_none());
    let route = winner.and_then(|won| live.snapshot.route(&won.route));
    let lost: Vec<Loser> = losers(&verdicts)
        .take(LOSERS_MAX)
        .map(|(route, reason)| Loser { route: route.to_owned(), reason })
        .collect();
    Ok(Json(Matched {
        route: winner.map(|won| won.route.to_string()),
        upstreams: route.map(|route| upstreams(route)).unwrap_or_default(),
        path: request.path().to_owned(),
        more: verdicts.len() - lost.len() - usize::from(winner.is_some()),
        lost,
    }))
}
