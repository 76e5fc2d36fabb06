//! `POST /config/fold`: the overlay vanishes, and the files say everything.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use super::super::problem::Problem;
use super::answer::{self, Changed, Sent};
use super::ask::{self, Author, DOCUMENT_BYTES_MAX, DocumentParams};
use super::document;
use crate::operator::Operator;

/// Puts the files as they are on the disk into use, and empties the overlay
///
/// For when what the overlay says has been put into the files, or is not wanted any more: where the two differ the files
/// win, and `patch` shows what that changes. The empty overlay is a revision of its own. A body, if one is sent, is the
/// main file: 409 `other_file` if the gateway's own differs from it by a byte. `If-Match` with the `ETag` of `/config` is
/// required. Role: admin.
#[utoipa::path(
    post,
    path = "/api/v1/config/fold",
    params(
        ("If-Match" = Option<String>, Header, description = "the `ETag` of `/config` that was read; 428 without"),
        DocumentParams
    ),
    request_body(content = Option<serde_json::Value>, content_type = "application/yaml"),
    responses(
        (status = 200, body = Changed), (status = 400, body = Problem), (status = 401, body = Problem), (status = 503, body = Problem),
        (status = 409, body = Problem), (status = 412, body = Problem), (status = 413, body = Problem),
        (status = 422, body = Problem), (status = 428, body = Problem), (status = 500, body = Problem)
    )
)]
pub(super) async fn fold(
    State(operator): State<Arc<Operator>>,
    query: Result<Query<DocumentParams>, QueryRejection>,
    author: Option<Extension<Author>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let asked = document::options(query, author).and_then(|options| {
        let body = ask::bytes(body, DOCUMENT_BYTES_MAX)?;
        Ok((body, ask::condition(&headers)?, options))
    });
    let (body, condition, options) = match asked {
        Ok(asked) => asked,
        Err(problem) => return problem.into_response(),
    };
    let dry_run = options.dry_run;
    let fold = move |operator: &Operator| {
        let main = Some(&*body).filter(|body| !body.is_empty());
        operator.revisions.fold(main, &condition, &options)
    };
    answer::tried(ask::in_turn(operator, fold).await, dry_run, &Sent::default())
}
