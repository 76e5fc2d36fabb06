//! Misbehaving on request: latency, errors and hangs, for the gateway to answer.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// Longest added latency: a switch left on must not hold requests for ever.
const LATENCY_MS_MAX: u64 = 60_000;
/// How long a hang lasts, for the same reason.
const HANG: Duration = Duration::from_secs(60);

/// How the service misbehaves; all off at start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Mischief {
    /// Added to every answer, in milliseconds.
    latency_ms: u64,
    /// Answer 503 to every request.
    fail: bool,
    /// Take the request and say nothing.
    hang: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Switches(Arc<RwLock<Mischief>>);

impl Switches {
    fn get(&self) -> Mischief {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(super) async fn show(State(switches): State<Switches>) -> Json<Mischief> {
    Json(switches.get())
}

pub(super) async fn set(
    State(switches): State<Switches>,
    body: Result<Json<Mischief>, JsonRejection>,
) -> Result<Json<Mischief>, Problem> {
    let Json(mischief) = body?;
    if mischief.latency_ms > LATENCY_MS_MAX {
        return Err(Problem::invalid(format!("`latency_ms` is at most {LATENCY_MS_MAX}")));
    }
    *switches.0.write().unwrap_or_else(PoisonError::into_inner) = mischief.clone();
    Ok(Json(mischief))
}

/// Misbehaves as switched, before the request reaches the service proper.
pub(super) async fn act(State(switches): State<Switches>, request: Request, next: Next) -> Response {
    let Mischief { latency_ms, fail, hang } = switches.get();
    if hang {
        tokio::time::sleep(HANG).await;
    }
    if latency_ms > 0 {
        tokio::time::sleep(Duration::from_millis(latency_ms)).await;
    }
    if fail || hang {
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "mischief", "payment was told to fail")
            .into_response();
    }
    next.run(request).await
}
