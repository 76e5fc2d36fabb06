//! `GET`, `PUT` and `PATCH /config`: the whole configuration. `GET /config/effective` and `/config/schema`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::Value;

use super::super::problem::Problem;
use super::answer::{self, Changed};
use super::ask::{self, Asked, Author, DOCUMENT_BYTES_MAX, DocumentParams, Operation};
use crate::operator::Operator;
use crate::revisions::{Options, Place};

/// The configuration in use: files and overlay together
///
/// As written: variables not expanded, secrets masked, included files in their places. YAML by `Accept`. The `ETag` is
/// `"rev-N-HASH"`, with `N` the overlay's revision. Role: viewer.
#[utoipa::path(
    get,
    path = "/api/v1/config",
    operation_id = "get_config",
    responses(
        (status = 200, body = Value, headers(("ETag" = String))), (status = 304), (status = 401, body = Problem), (status = 503, body = Problem)
    )
)]
pub(super) async fn read(State(operator): State<Arc<Operator>>, headers: HeaderMap) -> Response {
    match ask::in_turn(operator, move |operator| operator.revisions.in_use()).await {
        Ok(in_use) => answer::value(&in_use.value, Some(&in_use.etag), &headers),
        Err(problem) => problem.into_response(),
    }
}

/// Replaces the configuration
///
/// The body is the whole of it, as `GET` gives it; what differs from the files is kept in the overlay. Only keys that
/// are live may differ: 409 names another. `If-Match` is required. Role: admin.
#[utoipa::path(
    put,
    path = "/api/v1/config",
    operation_id = "put_config",
    params(("If-Match" = Option<String>, Header, description = "the `ETag` that was read; 428 without"), DocumentParams),
    request_body(content((Value = "application/json"), (Value = "application/yaml"))),
    responses(
        (status = 200, body = Changed), (status = 400, body = Problem), (status = 401, body = Problem), (status = 503, body = Problem),
        (status = 409, body = Problem), (status = 412, body = Problem), (status = 413, body = Problem),
        (status = 415, body = Problem), (status = 422, body = Problem), (status = 428, body = Problem),
        (status = 500, body = Problem)
    )
)]
pub(super) async fn put(
    State(operator): State<Arc<Operator>>,
    query: Result<Query<DocumentParams>, QueryRejection>,
    author: Option<Extension<Author>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let asked = options(query, author)
        .and_then(|options| Asked::read(&headers, body, DOCUMENT_BYTES_MAX, options, ask::whole));
    change(operator, asked.map(|asked| (String::new(), asked))).await
}

/// Changes a part of the configuration
///
/// By a JSON merge patch (RFC 7396) or a JSON patch (RFC 6902). `If-Match` is required. Role: admin.
#[utoipa::path(
    patch,
    path = "/api/v1/config",
    operation_id = "patch_config",
    params(("If-Match" = Option<String>, Header, description = "the `ETag` that was read; 428 without"), DocumentParams),
    request_body(content((Value = "application/merge-patch+json"), (Vec<Operation> = "application/json-patch+json"))),
    responses(
        (status = 200, body = Changed), (status = 400, body = Problem), (status = 401, body = Problem), (status = 503, body = Problem),
        (status = 409, body = Problem), (status = 412, body = Problem), (status = 413, body = Problem),
        (status = 415, body = Problem), (status = 422, body = Problem), (status = 428, body = Problem),
        (status = 500, body = Problem)
    )
)]
pub(super) async fn patch(
    State(operator): State<Arc<Operator>>,
    query: Result<Query<DocumentParams>, QueryRejection>,
    author: Option<Extension<Author>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let asked = options(query, author)
        .and_then(|options| Asked::read(&headers, body, DOCUMENT_BYTES_MAX, options, ask::patch));
    change(operator, asked.map(|asked| (String::new(), asked))).await
}

/// What holds for each route once everything is laid over it, with who says so
///
/// Secrets masked. Role: viewer.
#[utoipa::path(
    get,
    path = "/api/v1/config/effective",
    responses((status = 200, body = Value), (status = 401, body = Problem), (status = 503, body = Problem), (status = 500, body = Problem))
)]
pub(super) async fn effective(State(operator): State<Arc<Operator>>, headers: HeaderMap) -> Response {
    match ask::in_turn(operator, move |operator| operator.reloader.effective()).await {
        Ok(value) => answer::value(&value, None, &headers),
        Err(problem) => problem.into_response(),
    }
}

/// The JSON Schema of the configuration
///
/// Role: viewer.
#[utoipa::path(
    get,
    path = "/api/v1/config/schema",
    responses((status = 200, body = Value), (status = 401, body = Problem), (status = 503, body = Problem))
)]
pub(super) async fn schema() -> Json<Value> {
    Json(portcullis_schema::json_schema())
}

pub(super) fn options(
    query: Result<Query<DocumentParams>, QueryRejection>,
    author: Option<Extension<Author>>,
) -> Result<Options, Problem> {
    let author = author.map(|Extension(author)| author).unwrap_or_default();
    ask::query(query)?.options(author)
}

/// Changes the whole, or the part that a pointer leads to.
pub(super) async fn change(operator: Arc<Operator>, asked: Result<(String, Asked), Problem>) -> Response {
    let (pointer, asked) = match asked {
        Ok(asked) => asked,
        Err(problem) => return problem.into_response(),
    };
    let sent = asked.sent(pointer.clone());
    let Asked { change, condition, options, .. } = asked;
    let dry_run = options.dry_run;
    let made = ask::in_turn(operator, move |operator| {
        let place = if pointer.is_empty() { Place::Document } else { Place::Part(&pointer) };
        operator.revisions.change(place, change, &condition, &options)
    });
    answer::tried(made.await, dry_run, &sent)
}
