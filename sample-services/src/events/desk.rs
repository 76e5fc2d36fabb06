//! The desk where people look after events: dead letters read, replayed or thrown away, and who is subscribed.
//!
//! Only a token with the scope `events:replay` may. A replay goes through the letters of one key in
//! order and stops at the first that fails again.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::dead_letters::{self, Letter};
use super::inbox::{self, Inbox};
use super::subscribers;
use crate::identity::Identity;
use crate::page::{Page, Window};
use crate::problem::{IdentityProblems, Problem, ProblemBody, QueryProblems};
use crate::store::Store;

/// The scope of whoever may look after events.
const SCOPE: &str = "events:replay";
/// Letters that one request replays.
const REPLAYED_MAX: u32 = 1_000;

struct Desk {
    store: Store,
    inbox: Arc<Inbox>,
}

type Shared = State<Arc<Desk>>;

pub(super) fn routes(store: Store, inbox: Arc<Inbox>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(discard))
        .routes(routes!(replay))
        .routes(routes!(subscribed))
        .routes(routes!(unsubscribe))
        .with_state(Arc::new(Desk { store, inbox }))
}

/// An event that no repetition could make take effect.
#[derive(Debug, Serialize, ToSchema)]
struct DeadLetter {
    #[serde(skip)]
    seq: i64,
    /// The event's id.
    id: String,
    kind: String,
    /// What the event is about; everything later with this key waits behind it.
    key: String,
    /// Why it is here.
    reason: String,
    /// How often it was tried.
    attempts: i64,
    /// Since when it is here, in milliseconds since 1970.
    at_ms: i64,
    /// The event; as a text if it is none.
    event: Value,
}

impl From<Letter> for DeadLetter {
    fn from(letter: Letter) -> Self {
        let Letter { seq, id, kind, key, body, reason, attempts, at_ms } = letter;
        let event = serde_json::from_str(&body).unwrap_or(Value::String(body));
        Self { seq, id, kind, key, reason, attempts, at_ms, event }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Paging {
    /// At most so many.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// The `next` of the page before.
    #[param(pattern = "^[0-7][0-9a-f]{15}$")]
    cursor: Option<String>,
}

/// Dead letters, oldest first
#[utoipa::path(
    get, path = "/dead-letters", operation_id = "list_dead_letters", tag = "events", params(Paging),
    responses((status = 200, description = "A page of them", body = Page<DeadLetter>), QueryProblems, IdentityProblems)
)]
async fn list(
    State(desk): Shared,
    who: Identity,
    paging: Result<Query<Paging>, QueryRejection>,
) -> Result<Page<DeadLetter>, Problem> {
    who.require(SCOPE)?;
    let Query(Paging { limit, cursor }) = paging?;
    let window = Window::<i64>::new(limit, cursor.as_deref())?;
    let letters = dead_letters::list(&desk.store, window.after.unwrap_or(0), window.rows()).await?;
    let letters = letters.into_iter().map(DeadLetter::from).collect();
    Ok(window.page(letters, |letter: &DeadLetter| letter.seq, &[]))
}

/// How far a replay came.
#[derive(Debug, Serialize, ToSchema)]
struct Replayed {
    /// Letters that took effect.
    replayed: u32,
    /// Letters of this key that are left.
    left: i64,
    /// Why the first of them is left.
    #[schema(required)]
    reason: Option<String>,
}

/// Replay a dead letter and all that wait behind it, in order
///
/// Stops at the first that fails again: `left` and `reason` say so.
#[utoipa::path(
    post, path = "/dead-letters/{id}/replay", operation_id = "replay_dead_letter", tag = "events", params(("id" = String, Path, format = "uuid", description = "the event's id")),
    responses(
        (status = 200, description = "How far it came", body = Replayed),
        (status = 409, description = "An earlier one of its key is dead too", content_type = "application/problem+json", body = ProblemBody),
        (status = 404, description = "There is no such thing here", content_type = "application/problem+json", body = ProblemBody), QueryProblems, IdentityProblems
    )
)]
async fn replay(
    State(desk): Shared,
    who: Identity,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Replayed>, Problem> {
    who.require(SCOPE)?;
    let letter = find(&desk, id).await?;
    if let Some(first) = dead_letters::first_of(&desk.store, &letter.key).await?
        && first.seq < letter.seq
    {
        let detail = format!("begin with {}: it is the oldest dead letter of key {}", first.id, letter.key);
        return Err(Problem::new(StatusCode::CONFLICT, "not_the_first", detail));
    }
    tracing::info!(id = %letter.id, key = %letter.key, by = %who.user, "dead letters are replayed");
    let (key, mut next, mut replayed, mut reason) = (letter.key.clone(), Some(letter), 0, None);
    while let Some(letter) = next.take() {
        if let Err(refusal) = desk.inbox.replay(&letter).await {
            let why = refusal.to_string();
            dead_letters::failed_again(&desk.store, &letter.id, &why).await?;
            reason = Some(why);
            break;
        }
        replayed += 1;
        if replayed < REPLAYED_MAX && !key.is_empty() {
            next = dead_letters::first_of(&desk.store, &key).await?;
        }
    }
    let left = dead_letters::count_of(&desk.store, &key).await?;
    Ok(Json(Replayed { replayed, left, reason }))
}

/// Throw a dead letter away; it never takes effect
///
/// Those behind it stay, until the first of them is replayed.
#[utoipa::path(
    delete, path = "/dead-letters/{id}", operation_id = "discard_dead_letter", tag = "events", params(("id" = String, Path, format = "uuid", description = "the event's id")),
    responses((status = 204, description = "It is gone"), (status = 404, description = "There is no such thing here", content_type = "application/problem+json", body = ProblemBody), QueryProblems, IdentityProblems)
)]
async fn discard(
    State(desk): Shared,
    who: Identity,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    who.require(SCOPE)?;
    let letter = find(&desk, id).await?;
    let mut tx = desk.store.begin().await?;
    let is_there = dead_letters::delete(&mut tx, &letter.id).await?;
    // Should it arrive once more, it is known: thrown away is thrown away.
    inbox::note(&mut tx, letter.id.parse().unwrap_or_default()).await?;
    tx.commit().await?;
    if !is_there {
        return Err(no_such());
    }
    tracing::warn!(id = %letter.id, kind = %letter.kind, key = %letter.key, by = %who.user, "dead letter thrown away");
    Ok(StatusCode::NO_CONTENT)
}

async fn find(desk: &Desk, id: Result<Path<String>, PathRejection>) -> Result<Letter, Problem> {
    let Path(id) = id?;
    let id = Uuid::try_parse(&id).map_err(|_| no_such())?.to_string();
    dead_letters::find(&desk.store, &id).await?.ok_or_else(no_such)
}

fn no_such() -> Problem {
    Problem::not_found("there is no such dead letter")
}

/// Who is given which events by this service, where no broker is.
#[derive(Debug, Serialize, ToSchema)]
struct Subscribed {
    items: Vec<Subscriber>,
}

/// A service and what it wants.
#[derive(Debug, Serialize, ToSchema)]
struct Subscriber {
    service: String,
    kinds: Vec<String>,
}

/// Who gets this service's events, where no broker is
#[utoipa::path(
    get, path = "/subscribers", operation_id = "list_subscribers", tag = "events",
    responses((status = 200, description = "Every one of them", body = Subscribed), QueryProblems, IdentityProblems)
)]
async fn subscribed(State(desk): Shared, who: Identity) -> Result<Json<Subscribed>, Problem> {
    who.require(SCOPE)?;
    let known = subscribers::all(&desk.store).await?;
    let items = known.into_iter().map(|(service, kinds)| Subscriber { service, kinds }).collect();
    Ok(Json(Subscribed { items }))
}

/// Forget a consumer that is gone for good
///
/// Its events no longer wait for it. One that is registered is known again within seconds.
#[utoipa::path(
    delete, path = "/subscribers/{service}", operation_id = "forget_subscriber", tag = "events", params(("service" = String, Path, description = "its name in the registry")),
    responses((status = 204, description = "It is gone"), (status = 404, description = "There is no such thing here", content_type = "application/problem+json", body = ProblemBody), QueryProblems, IdentityProblems)
)]
async fn unsubscribe(
    State(desk): Shared,
    who: Identity,
    service: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    who.require(SCOPE)?;
    let Path(service) = service?;
    // PostgreSQL takes no NUL in a text.
    if service.contains('\0') || !subscribers::forget(&desk.store, &service).await? {
        return Err(Problem::not_found("no such service is subscribed"));
    }
    tracing::warn!(%service, by = %who.user, "consumer forgotten");
    Ok(StatusCode::NO_CONTENT)
}
