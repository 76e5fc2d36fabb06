//! `POST /config/validate`, `POST /reload`.

use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use portcullis_schema::MemorySource;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::blocking;
use super::changes::ask;
use super::problem::{Problem, refused};
use crate::operator::Operator;
use crate::reload::{Candidate, Disk, Refusal, Report};

/// The name a configuration that came in a request goes by in its findings.
pub(super) const REQUEST_BODY: &str = "request.yaml";

/// A configuration that could be put into use.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Valid {
    routes: usize,
    upstreams: usize,
    listeners: usize,
    /// What is probably not meant.
    warnings: Vec<Value>,
}

/// A configuration that was put into use.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Applied {
    generation: u64,
    /// What it changed, for people.
    changes: String,
    took_ms: f64,
    /// What is probably not meant, rendered.
    warnings: String,
}

/// Says whether the configuration in the body could be put into use; changes nothing
///
/// Role: viewer.
#[utoipa::path(
    post,
    path = "/api/v1/config/validate",
    request_body(content((serde_json::Value = "application/yaml"))),
    responses(
        (status = 200, body = Valid),
        (status = 409, body = Problem),
        (status = 413, body = Problem),
        (status = 422, body = Problem)
    )
)]
pub(super) async fn validate(
    State(operator): State<Arc<Operator>>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match ask::bytes(body, ask::DOCUMENT_BYTES_MAX) {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    let validated = blocking(move || {
        let files = MemorySource::new().with(REQUEST_BODY, body.to_vec());
        operator.reloader.validate(Path::new(REQUEST_BODY), &files)
    });
    match validated.await {
        Ok(Ok(candidate)) => Json(valid(&candidate)).into_response(),
        Ok(Err(refusal)) => refused(&refusal),
        Err(problem) => problem.into_response(),
    }
}

fn valid(candidate: &Candidate) -> Valid {
    Valid {
        routes: candidate.snapshot.router.iter().len(),
        upstreams: candidate.snapshot.upstreams.len(),
        listeners: candidate.snapshot.listeners.len(),
        warnings: candidate.warnings.iter().map(|warning| warning.to_json(&candidate.sources)).collect(),
    }
}

/// Reads the configuration's files again and puts them into use, all or nothing
///
/// Role: operator.
#[utoipa::path(
    post,
    path = "/api/v1/reload",
    responses(
        (status = 200, body = Applied),
        (status = 409, body = Problem),
        (status = 422, body = Problem)
    )
)]
pub(super) async fn reload(State(operator): State<Arc<Operator>>) -> Response {
    let reloaded: Result<Result<Report, Refusal>, Problem> =
        blocking(move || operator.reloader.reload(&Disk)).await;
    match reloaded {
        Ok(Ok(report)) => Json(Applied {
            generation: report.generation,
            changes: report.difference.to_string(),
            took_ms: report.took.as_secs_f64() * 1000.0,
            warnings: report.warnings,
        })
        .into_response(),
        Ok(Err(refusal)) => refused(&refusal),
        Err(problem) => problem.into_response(),
    }
}
