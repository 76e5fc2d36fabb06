//! The metrics door: `/metrics`, `/livez`, `/readyz` and its alias `/healthz`. No rights come with it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;

use crate::operator::Operator;
use crate::readiness::Phase;

/// The door's routes.
pub fn routes(operator: Arc<Operator>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/healthz", get(readyz))
        .with_state(operator)
}

async fn metrics(State(operator): State<Arc<Operator>>) -> Response {
    operator.refresh_gauges();
    match operator.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

#[derive(Deserialize)]
struct Verbosity {
    verbose: Option<String>,
}

/// 200 if the node should be given traffic. A refused reload or a stale registry is said, not
/// failed: the node serves on, and taking it out would make things worse.
async fn readyz(State(operator): State<Arc<Operator>>, Query(verbosity): Query<Verbosity>) -> Response {
    let phase = operator.readiness.phase();
    let status = if phase == Phase::Ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if verbosity.verbose.is_none() {
        return (status, format!("{}\n", phase.as_str())).into_response();
    }
    let checks: String = operator.checks().into_iter().map(|check| format!("{check}\n")).collect();
    (status, checks).into_response()
}
