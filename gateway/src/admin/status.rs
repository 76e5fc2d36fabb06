//! `GET /info`, `GET /status`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::changes::answer::Configuration;
use crate::clock;
use crate::operator::Operator;

/// What is running.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Info {
    name: &'static str,
    version: &'static str,
}

/// How it is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Status {
    /// `starting`, `ready` or `draining`.
    phase: &'static str,
    uptime_seconds: f64,
    /// Counts the configurations put into use since start.
    generation: u64,
    /// The overlay's revision in use, and whether it is on trial.
    configuration: Configuration,
    routes: usize,
    upstreams: usize,
    /// Open client connections.
    connections: usize,
    listeners: Vec<ListenerStatus>,
    last_reload: Option<LastReload>,
    /// What an operator would look at first.
    checks: Vec<CheckStatus>,
}

/// Where clients connect.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ListenerStatus {
    name: String,
    address: String,
    tls: bool,
    connections: usize,
}

/// How the last reload went.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LastReload {
    /// RFC 3339, UTC.
    at: String,
    applied: bool,
    /// What it changed, or why it was refused.
    detail: String,
}

/// One thing that was looked at.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CheckStatus {
    name: String,
    ok: bool,
    found: String,
}

/// What is running
#[utoipa::path(get, path = "/api/v1/info", responses((status = 200, body = Info)))]
pub(super) async fn info() -> Json<Info> {
    Json(Info { name: "portcullis", version: env!("CARGO_PKG_VERSION") })
}

/// How it is
#[utoipa::path(get, path = "/api/v1/status", responses((status = 200, body = Status)))]
pub(super) async fn status(State(operator): State<Arc<Operator>>) -> Json<Status> {
    let live = operator.live.load_full();
    let listeners = operator.listeners.listening().into_iter().map(|listening| ListenerStatus {
        name: listening.name.to_string(),
        address: listening.address.to_string(),
        tls: listening.tls,
        connections: listening.connections,
    });
    let last_reload = operator.reloader.last().map(|last| LastReload {
        at: clock::rfc3339(last.at),
        applied: last.result.is_ok(),
        detail: match &last.result {
            Ok(report) => report.difference.to_string(),
            Err(refusal) => refusal.to_string(),
        },
    });
    let checks = operator.checks().into_iter().map(|check| CheckStatus {
        name: check.name,
        ok: check.ok,
        found: check.found,
    });
    Json(Status {
        phase: operator.readiness.phase().as_str(),
        uptime_seconds: clock::now().saturating_since(operator.started).as_secs_f64(),
        generation: live.snapshot.generation,
        configuration: operator.reloader.standing().into(),
        routes: live.snapshot.router.iter().len(),
        upstreams: live.snapshot.upstreams.len(),
        connections: operator.listeners.in_flight().count(),
        listeners: listeners.collect(),
        last_reload,
        checks: checks.collect(),
    })
}
