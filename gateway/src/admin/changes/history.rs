//! `GET /config/history`, `POST /config/rollback/{rev}`, and the end of a trial: `POST /config/confirm`, `/config/revert`.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::problem::Problem;
use super::answer::{self, Changed, OnTrial, Sent};
use super::ask::{self, Author, DocumentParams};
use super::document;
use crate::operator::Operator;

/// The kept revisions.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct History {
    /// Newest first; revision 0 is the files alone.
    items: Vec<Revision>,
    /// What is in use on trial, if anything is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<OnTrial>,
}

/// One kept revision.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Revision {
    revision: u64,
    /// RFC 3339, UTC; empty for the files alone.
    at: String,
    /// Who made it.
    author: String,
    /// What for.
    reason: String,
    in_use: bool,
}

/// The revision in use when a trial has ended.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Settled {
    revision: u64,
}

/// The kept revisions of the overlay, newest first
///
/// Role: viewer.
#[utoipa::path(
    get,
    path = "/api/v1/config/history",
    responses((status = 200, body = History), (status = 401, body = Problem), (status = 503, body = Problem), (status = 500, body = Problem))
)]
pub(super) async fn list(State(operator): State<Arc<Operator>>) -> Response {
    let read = |operator: &Operator| (operator.revisions.history(), operator.reloader.standing().pending);
    match ask::in_turn(operator, read).await {
        Ok((Ok(revisions), pending)) => {
            let items = revisions.into_iter().map(|revision| Revision {
                revision: revision.number,
                at: revision.at,
                author: revision.author,
                reason: revision.reason,
                in_use: revision.in_use,
            });
            Json(History { items: items.collect(), pending: pending.map(OnTrial::from) }).into_response()
        }
        Ok((Err(error), _)) => answer::store(&error),
        Err(problem) => problem.into_response(),
    }
}

/// Goes back to what an earlier revision said, as a new revision
///
/// Revision 0 is the files alone. `If-Match` is honoured and not required. Role: admin.
#[utoipa::path(
    post,
    path = "/api/v1/config/rollback/{rev}",
    params(
        ("rev" = u64, Path, description = "the revision's number"),
        ("If-Match" = Option<String>, Header, description = "the `ETag` of `/config` that was read"),
        DocumentParams
    ),
    responses(
        (status = 200, body = Changed), (status = 400, body = Problem), (status = 401, body = Problem), (status = 503, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem), (status = 412, body = Problem),
        (status = 422, body = Problem), (status = 500, body = Problem)
    )
)]
pub(super) async fn roll_back(
    State(operator): State<Arc<Operator>>,
    number: Result<Path<String>, PathRejection>,
    query: Result<Query<DocumentParams>, QueryRejection>,
    author: Option<Extension<Author>>,
    headers: HeaderMap,
) -> Response {
    let asked = document::options(query, author)
        .and_then(|options| Ok((revision(&ask::name(number)?)?, ask::condition_if_any(&headers)?, options)));
    let (number, condition, options) = match asked {
        Ok(asked) => asked,
        Err(problem) => return problem.into_response(),
    };
    let dry_run = options.dry_run;
    let roll_back = move |operator: &Operator| operator.revisions.roll_back(number, &condition, &options);
    answer::tried(ask::in_turn(operator, roll_back).await, dry_run, &Sent::default())
}

fn revision(number: &str) -> Result<u64, Problem> {
    number.parse().map_err(|_| {
        let detail = format!(
            "`{number}` is not the number of a revision; `portcullis history`, or `GET /api/v1/config/history`, lists what there is"
        );
        Problem::new(StatusCode::BAD_REQUEST, "bad_path", detail)
    })
}

/// Makes the configuration on trial stay
///
/// Role: operator.
#[utoipa::path(
    post,
    path = "/api/v1/config/confirm",
    responses(
        (status = 200, body = Settled), (status = 401, body = Problem), (status = 503, body = Problem), (status = 409, body = Problem),
        (status = 500, body = Problem)
    )
)]
pub(super) async fn confirm(State(operator): State<Arc<Operator>>) -> Response {
    settled(ask::in_turn(operator, move |operator| operator.revisions.confirm()).await)
}

/// Takes the configuration on trial back now
///
/// Role: operator.
#[utoipa::path(
    post,
    path = "/api/v1/config/revert",
    responses(
        (status = 200, body = Settled), (status = 401, body = Problem), (status = 503, body = Problem), (status = 409, body = Problem),
        (status = 500, body = Problem)
    )
)]
pub(super) async fn revert(State(operator): State<Arc<Operator>>) -> Response {
    settled(ask::in_turn(operator, move |operator| operator.revisions.revert()).await)
}

fn settled(ended: Result<Result<u64, crate::revisions::TrialError>, Problem>) -> Response {
    match ended {
        Ok(Ok(revision)) => Json(Settled { revision }).into_response(),
        Ok(Err(error)) => answer::on_trial(&error),
        Err(problem) => problem.into_response(),
    }
}
