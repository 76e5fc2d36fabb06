//! Answers the gateway writes itself: problems, a plugin's reply, a route's fixed fallback.
//!
//! A client that is gone is no error here: what it would have got is in the log.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use portcullis_core::outcome::{Answer, Failure, Rejection};
use portcullis_plugin_sdk::Reply;

use super::admit::Stopped;
use super::exchange::{AnsweredBy, Exchange};
use super::{GATEWAY_NAME, Gateway, respond};

/// Header fields of an answer, as a rule of thumb, to size its head.
const FIELDS_HINT: usize = 12;

/// Answers a request that a gate stopped; always true, for Pingora: the reply is written.
pub(super) async fn stop(
    session: &mut Session,
    exchange: &mut Exchange,
    gateway: &Gateway,
    stopped: Stopped,
) -> pingora_core::Result<bool> {
    match stopped {
        Stopped::Rejected(rejection) => reject(session, exchange, gateway, rejection).await,
        Stopped::Answered { reply, plugin: name } => plugin(session, exchange, gateway, *reply, name).await,
    }
    Ok(true)
}

/// Says no.
pub(super) async fn reject(
    session: &mut Session,
    exchange: &mut Exchange,
    gateway: &Gateway,
    rejection: Rejection,
) {
    if rejection.closes_connection() {
        session.set_keepalive(None);
    }
    let answer = rejection.answer();
    exchange.trail.rejection = Some(rejection);
    problem(session, exchange, gateway, &answer, None).await;
}

/// Says that the upstream failed.
pub(super) async fn fail(
    session: &mut Session,
    exchange: &mut Exchange,
    gateway: &Gateway,
    failure: &Failure,
) {
    let next_hop = exchange.plan().map(|plan| plan.destination.upstream.name.clone());
    problem(session, exchange, gateway, &failure.answer(), next_hop.as_deref()).await;
}

async fn problem(
    session: &mut Session,
    exchange: &mut Exchange,
    gateway: &Gateway,
    answer: &Answer,
    next_hop: Option<&str>,
) {
    exchange.trail.answered_by = Some(AnsweredBy::Gateway);
    let is_grpc = exchange.arrival().is_some_and(|arrival| arrival.is_grpc);
    let (status, fields, body) = if is_grpc {
        (StatusCode::OK, answer.grpc_headers(GATEWAY_NAME, next_hop), Bytes::new())
    } else {
        let body = answer.problem_json(exchange.id.as_str());
        (answer.status, answer.problem_headers(GATEWAY_NAME, next_hop), body)
    };
    write(session, exchange, gateway, status, fields, body).await;
}

/// A plugin's reply.
pub(super) async fn plugin(
    session: &mut Session,
    exchange: &mut Exchange,
    gateway: &Gateway,
    reply: Reply,
    plugin: Arc<str>,
) {
    exchange.trail.answered_by = Some(AnsweredBy::Plugin(plugin));
    let fields = reply.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    write(session, exchange, gateway, reply.status, fields, reply.body).await;
}

/// A route's fixed fallback.
pub(super) async fn fixed(
    session: &mut Session,
    exchange: &mut Exchange,
    gateway: &Gateway,
    status: StatusCode,
    content_type: Option<&HeaderValue>,
    body: Bytes,
    retry_after: Option<Duration>,
) {
    let mut fields = Vec::new();
    fields.extend(content_type.map(|value| (CONTENT_TYPE, value.clone())));
    fields.extend(retry_after.map(|span| (RETRY_AFTER, HeaderValue::from(span.as_secs().max(1)))));
    write(session, exchange, gateway, status, fields, body).await;
}

async fn write(
    session: &mut Session,
    exchange: &mut Exchange,
    gateway: &Gateway,
    status: StatusCode,
    fields: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
) {
    if let Err(error) = try_write(session, exchange, gateway, status, fields, body).await {
        tracing::debug!(%error, "the client did not take the answer");
    }
}

async fn try_write(
    session: &mut Session,
    exchange: &mut Exchange,
    gateway: &Gateway,
    status: StatusCode,
    fields: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
) -> pingora_core::Result<()> {
    let mut head = ResponseHeader::build(status, Some(FIELDS_HINT))?;
    for (name, value) in fields {
        head.append_header(name, value)?;
    }
    let has_no_body = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !has_no_body {
        head.insert_header(CONTENT_LENGTH, body.len())?;
    }
    if !matches!(exchange.trail.answered_by, Some(AnsweredBy::Plugin(_))) {
        respond::dress(session, &mut head, exchange, gateway);
    }
    respond::finish(&mut head, exchange, gateway);
    let is_bodiless = has_no_body || body.is_empty() || session.req_header().method == Method::HEAD;
    session.write_response_header(Box::new(head), is_bodiless).await?;
    if !is_bodiless {
        session.write_response_body(Some(body), true).await?;
    } else if session.is_http2() {
        // Pingora's heads never end a stream, and one that is let go of open is cancelled, answer and all.
        session.write_response_body(Some(Bytes::new()), true).await?;
    }
    Ok(())
}
