//! `GET`, `PUT` and `PATCH /config/{pointer}`: a part of the configuration, with a tag of its own.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::super::problem::Problem;
use super::answer::{self, Changed};
use super::ask::{self, Asked, Author, DOCUMENT_BYTES_MAX, DocumentParams, Operation};
use super::document::{change, options};
use crate::operator::Operator;
use crate::revisions::Place;

/// A part of the configuration in use
///
/// As written: variables not expanded, secrets masked. YAML by `Accept`. The `ETag` is that of the part. Role: viewer.
#[utoipa::path(
    get,
    path = "/api/v1/config/{*pointer}",
    operation_id = "get_config_part",
    params(("pointer" = String, Path, description = "a JSON pointer (RFC 6901) without its first `/`", example = "routes/orders/timeout")),
    responses(
        (status = 200, body = Value, headers(("ETag" = String))), (status = 304), (status = 400, body = Problem),
        (status = 401, body = Problem), (status = 503, body = Problem), (status = 404, body = Problem)
    )
)]
pub(super) async fn read(
    State(operator): State<Arc<Operator>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let pointer = match pointer(path) {
        Ok(pointer) => pointer,
        Err(problem) => return problem.into_response(),
    };
    let read = ask::in_turn(operator, move |operator| answer::found(operator, Place::Part(&pointer))).await;
    match read.flatten() {
        Ok((value, etag)) => answer::value(&value, Some(&etag), &headers),
        Err(problem) => problem.into_response(),
    }
}

/// Puts a part of the configuration in its place
///
/// What is around it must be there: a new key below a map that is there, or another value for an item of a list. With
/// `If-None-Match: *` the part must not be there, with `If-Match` it must be as it was read; the `ETag` is that of the
/// part. Role: admin.
#[utoipa::path(
    put,
    path = "/api/v1/config/{*pointer}",
    operation_id = "put_config_part",
    params(
        ("pointer" = String, Path, description = "a JSON pointer (RFC 6901) without its first `/`", example = "routes/orders/timeout"),
        ("If-Match" = Option<String>, Header, description = "the `ETag` that was read, to replace it"),
        ("If-None-Match" = Option<String>, Header, description = "`*`, to make it"),
        DocumentParams
    ),
    request_body(content((Value = "application/json"), (Value = "application/yaml"))),
    responses(
        (status = 200, body = Changed), (status = 201, body = Changed), (status = 400, body = Problem),
        (status = 401, body = Problem), (status = 503, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 412, body = Problem), (status = 413, body = Problem),
        (status = 415, body = Problem), (status = 422, body = Problem), (status = 428, body = Problem),
        (status = 500, body = Problem)
    )
)]
pub(super) async fn put(
    State(operator): State<Arc<Operator>>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<DocumentParams>, QueryRejection>,
    author: Option<Extension<Author>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let asked = pointer(path).and_then(|pointer| {
        let options = options(query, author)?;
        Ok((pointer, Asked::read(&headers, body, DOCUMENT_BYTES_MAX, options, ask::whole)?))
    });
    change(operator, asked).await
}

/// Changes a part of the configuration that is there
///
/// By a JSON merge patch (RFC 7396), or a JSON patch (RFC 6902) with paths inside of the part. `If-Match` with the `ETag` of
/// the part is required. Role: admin.
#[utoipa::path(
    patch,
    path = "/api/v1/config/{*pointer}",
    operation_id = "patch_config_part",
    params(
        ("pointer" = String, Path, description = "a JSON pointer (RFC 6901) without its first `/`", example = "routes/orders/timeout"),
        ("If-Match" = Option<String>, Header, description = "the `ETag` that was read; 428 without"),
        DocumentParams
    ),
    request_body(content((Value = "application/merge-patch+json"), (Vec<Operation> = "application/json-patch+json"))),
    responses(
        (status = 200, body = Changed), (status = 400, body = Problem), (status = 401, body = Problem), (status = 503, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem), (status = 412, body = Problem),
        (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem),
        (status = 428, body = Problem), (status = 500, body = Problem)
    )
)]
pub(super) async fn patch(
    State(operator): State<Arc<Operator>>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<DocumentParams>, QueryRejection>,
    author: Option<Extension<Author>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let asked = pointer(path).and_then(|pointer| {
        let options = options(query, author)?;
        Ok((pointer, Asked::read(&headers, body, DOCUMENT_BYTES_MAX, options, ask::patch)?))
    });
    change(operator, asked).await
}

/// The JSON pointer in a path. `~` has a meaning only as `~0` or `~1`.
fn pointer(path: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    let pointer = format!("/{}", ask::name(path)?);
    if pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1'])) {
        return Ok(pointer);
    }
    let detail = format!("`{pointer}` is no JSON pointer: in a key, `~0` stands for `~` and `~1` for `/`");
    Err(Problem::new(StatusCode::BAD_REQUEST, "bad_path", detail))
}
