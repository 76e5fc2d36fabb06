//! `GET /events`: what happens to the gateway, as it happens.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event as Sent;
use serde_json::Value;

use super::problem::Problem;
use super::sse::{Streamed, answer};
use crate::clock;
use crate::events::Event;
use crate::operator::Operator;

/// What happens to the gateway, as it happens (server-sent events)
///
/// Kinds: `endpoints`, `freshness`, `drain`, `breaker`, `config_applied`, `config_refused`, `config_pending`,
/// `config_confirmed`, `config_reverted`, `log_level`, `draining`. Each event's data is a JSON object with `at`. The
/// last 1000 are kept: send `Last-Event-ID` to go on where you stopped. A `gap` event says that something before is
/// lost; a `lagged` event that you read too slowly, and ends the stream.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    params(("Last-Event-ID" = Option<String>, Header, description = "the id of the last event that was read")),
    responses(
        (status = 200, description = "the stream", content_type = "text/event-stream", body = String),
        (status = 503, body = Problem)
    )
)]
pub(super) async fn stream(State(operator): State<Arc<Operator>>, headers: HeaderMap) -> Response {
    match Streamed::new(&operator.streams, (), |_: &Event| true, show) {
        Ok(streamed) => answer(&operator.events.0, &headers, streamed),
        Err(refused) => *refused,
    }
}

fn show(event: &Event) -> Sent {
    let mut data = event.detail.clone();
    if let Some(fields) = data.as_object_mut() {
        fields.insert("at".to_owned(), Value::from(clock::rfc3339(event.at)));
    }
    Sent::default().event(event.kind.as_str()).data(data.to_string())
}
