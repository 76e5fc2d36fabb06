//! `GET /log-level`, `PUT /log-level`, `POST /drain`: what changes the process and not its configuration.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::HttpBody;
use axum::extract::{Extension, FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use portcullis_schema::parse_duration;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::extract::Body;
use super::problem::Problem;
use super::tokens::Caller;
use crate::clock;
use crate::events::Kind;
use crate::operator::Operator;
use crate::stopping::{Stopping, Wish};
use crate::telemetry::log_level::{Level, LogLevel};

/// How long a level holds unless `for` says otherwise.
const HOLDS_DEFAULT: Duration = Duration::from_secs(600);
/// Longest time a level holds.
const HOLDS_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Longest time that requests in progress may be given.
const GRACE_MAX: Duration = Duration::from_secs(3_600);

/// The level of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LogLevelStatus {
    /// `error`, `warn`, `info`, `debug` or `trace`; `start` if what the start said holds.
    level: &'static str,
    /// When what the start said holds again; RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    /// What the start said, as in `RUST_LOG`.
    at_start: String,
}

/// A level that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogLevelWanted {
    level: LevelWanted,
    /// How long it holds, such as `10m` (default); at most `24h`.
    #[serde(rename = "for")]
    #[schema(pattern = "^[1-9][0-9]{0,2}(s|m)$")]
    lasts: Option<String>,
}

/// A level of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum LevelWanted {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
    /// What the start said.
    Start,
}

/// How to stop.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Drain {
    /// Longest wait for requests in progress, such as `30s`; the start's if absent.
    #[schema(pattern = "^[1-9][0-9]{0,2}s$")]
    grace: Option<String>,
}

/// A gateway that stops.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Draining {
    phase: &'static str,
    /// Client connections that are open now.
    connections: usize,
}

/// The level of the log
#[utoipa::path(get, path = "/api/v1/log-level", responses((status = 200, body = LogLevelStatus)))]
pub(super) async fn level(State(operator): State<Arc<Operator>>) -> Json<LogLevelStatus> {
    Json(show(&operator.log_level))
}

/// Sets the level of the log for a while; then what the start said holds again
#[utoipa::path(
    put,
    path = "/api/v1/log-level",
    request_body = LogLevelWanted,
    responses(
        (status = 200, body = LogLevelStatus),
        (status = 400, body = Problem),
        (status = 409, body = Problem),
        (status = 415, body = Problem),
        (status = 422, body = Problem)
    )
)]
pub(super) async fn set_level(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    Body(wanted): Body<LogLevelWanted>,
) -> Result<Json<LogLevelStatus>, Problem> {
    let lasts = span("for", wanted.lasts.as_deref(), HOLDS_MAX)?.unwrap_or(HOLDS_DEFAULT);
    let level = match wanted.level {
        LevelWanted::Error => Some(Level::Error),
        LevelWanted::Warn => Some(Level::Warn),
        LevelWanted::Info => Some(Level::Info),
        LevelWanted::Debug => Some(Level::Debug),
        LevelWanted::Trace => Some(Level::Trace),
        LevelWanted::Start => None,
    };
    let set = match level {
        Some(level) => operator.log_level.hold(level, lasts).map(drop),
        None => operator.log_level.release(),
    };
    set.map_err(|why| Problem::new(StatusCode::CONFLICT, "log_unchanged", why))?;
    let shown = show(&operator.log_level);
    let detail = json!({ "level": shown.level, "until": shown.until, "by": &*caller.name });
    operator.events.tell(Kind::LogLevel, detail);
    Ok(Json(shown))
}

/// Stops the gateway as SIGTERM does: no new connection, requests in progress finish, the process ends
#[utoipa::path(
    post,
    path = "/api/v1/drain",
    request_body(content = Option<Drain>, description = "may be left out"),
    responses(
        (status = 202, body = Draining),
        (status = 400, body = Problem),
        (status = 415, body = Problem),
        (status = 422, body = Problem)
    )
)]
pub(super) async fn drain(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    let is_empty = request.body().size_hint().exact() == Some(0);
    let wanted = if is_empty { Drain::default() } else { Body::<Drain>::from_request(request, &()).await?.0 };
    let grace = span("grace", wanted.grace.as_deref(), GRACE_MAX)?;
    operator.events.tell(Kind::Draining, json!({ "by": &*caller.name }));
    let connections = operator.listeners.in_flight().count();
    let answer = (StatusCode::ACCEPTED, Json(Draining { phase: "draining", connections })).into_response();
    let once_answered = OnceAnswered { stopping: operator.stopping.clone(), wish: Wish { grace } };
    Ok(answer.map(|body| {
        axum::body::Body::new(body.map_frame(move |frame| {
            let _until_the_last = &once_answered;
            frame
        }))
    }))
}

/// Wishes that the gateway stop when it is dropped, with the body of the answer: an idle gateway stops at once, and
/// whoever asked would otherwise not hear that it does.
struct OnceAnswered {
    stopping: Arc<Stopping>,
    wish: Wish,
}

impl Drop for OnceAnswered {
    fn drop(&mut self) {
        self.stopping.wish(self.wish);
    }
}

fn show(log: &LogLevel) -> LogLevelStatus {
    let set = log.current();
    LogLevelStatus {
        level: set.map_or("start", |set| set.level.as_str()),
        until: set.map(|set| clock::rfc3339(set.until_wall)),
        at_start: log.at_start().to_owned(),
    }
}

fn span(key: &str, written: Option<&str>, max: Duration) -> Result<Option<Duration>, Problem> {
    let bad =
        |why: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_body", format!("`{key}`: {why}"));
    let span = written.map(parse_duration).transpose().map_err(bad)?;
    match span {
        Some(span) if span > max => Err(bad(format!("at most {} s", max.as_secs()))),
        Some(_) | None => Ok(span),
    }
}
