//! `POST /config/diff` and `/config/test`: what a configuration would change, and whether its routes do what they should.

use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use portcullis_core::snapshot::RouteTestResult;
use portcullis_schema::MemorySource;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::super::config::REQUEST_BODY;
use super::super::problem::{Problem, findings, refused};
use super::answer::{self, Sent};
use super::ask::{self, DOCUMENT_BYTES_MAX};
use crate::operator::Operator;
use crate::revisions::{Change, Condition, Options, Place};

/// How a configuration differs from the one in use.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Differs {
    /// For people.
    changes: String,
    /// The JSON merge patch from what is in use to the body, secrets masked.
    #[schema(value_type = Object)]
    patch: Value,
    /// What is probably not meant, rendered.
    warnings: String,
}

/// How the route tests of a configuration went.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tested {
    passed: usize,
    failed: usize,
    /// One element for each expectation that does not hold.
    #[schema(value_type = Vec<Object>)]
    errors: Vec<Value>,
}

/// Says how the configuration in the body differs from the one in use; changes nothing
///
/// The body is the whole of it, as `GET /config` gives it. Role: viewer.
#[utoipa::path(
    post,
    path = "/api/v1/config/diff",
    request_body(content((Value = "application/json"), (Value = "application/yaml"))),
    responses(
        (status = 200, body = Differs), (status = 400, body = Problem), (status = 401, body = Problem), (status = 503, body = Problem),
        (status = 409, body = Problem), (status = 413, body = Problem), (status = 422, body = Problem)
    )
)]
pub(super) async fn diff(
    State(operator): State<Arc<Operator>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let read =
        ask::bytes(body, DOCUMENT_BYTES_MAX).and_then(|body| Ok((ask::open_value(&headers, &body)?, body)));
    let (value, body) = match read {
        Ok(read) => read,
        Err(problem) => return problem.into_response(),
    };
    let sent = Sent { body, prefix: String::new() };
    let look = move |operator: &Operator| {
        let options = Options { dry_run: true, ..Options::default() };
        operator.revisions.change(Place::Document, Change::Put(value), &Condition::None, &options)
    };
    match ask::in_turn(operator, look).await {
        Ok(Ok(written)) => {
            let (changes, patch, warnings) = (written.changes, written.patch, written.warnings);
            Json(Differs { changes, patch, warnings }).into_response()
        }
        Ok(Err(error)) => answer::not_changed(error, &sent),
        Err(problem) => problem.into_response(),
    }
}

/// Runs the route tests of the configuration in the body; changes nothing
///
/// Role: viewer.
#[utoipa::path(
    post,
    path = "/api/v1/config/test",
    request_body(content((Value = "application/yaml"))),
    responses(
        (status = 200, body = Tested), (status = 401, body = Problem), (status = 503, body = Problem), (status = 413, body = Problem),
        (status = 422, body = Problem)
    )
)]
pub(super) async fn test(
    State(operator): State<Arc<Operator>>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match ask::bytes(body, DOCUMENT_BYTES_MAX) {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    let look = move |operator: &Operator| {
        let files = MemorySource::new().with(REQUEST_BODY, body.to_vec());
        operator.reloader.test(Path::new(REQUEST_BODY), &files)
    };
    match ask::in_turn(operator, look).await {
        Ok(Ok((results, sources))) => {
            let failed = results.iter().filter(|result| !result.passed()).count();
            let found: Vec<_> = results.iter().flat_map(RouteTestResult::diagnostics).collect();
            let errors = findings(&found, &sources);
            Json(Tested { passed: results.len() - failed, failed, errors }).into_response()
        }
        Ok(Err(refusal)) => refused(&refusal),
        Err(problem) => problem.into_response(),
    }
}
