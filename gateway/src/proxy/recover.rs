//! Step 8: what follows a failed attempt: another one, another upstream, or an answer of our own.
//!
//! Only a [`Failure`] gets here with a chance; a rejection is already an answer. Every further
//! sending of a request has a licence: nothing was sent, the method is idempotent, or the client
//! gave an idempotency key. There is no other.

use http::{HeaderName, Method};
use pingora_core::{Error, ErrorSource};
use pingora_proxy::{FailToProxy, Session};
use portcullis_core::outcome::{Failure, Rejection};
use portcullis_core::retry::{GiveUp, Licence, RetryAsk, RetryVerdict};
use portcullis_core::snapshot::{FallbackAnswer, Route};
use portcullis_core::upstream::Verdict;

use super::Gateway;
use super::balance::{FAILED, covering, fall_back};
use super::exchange::{AnsweredBy, AttemptOutcome, Exchange, Plan};
use super::{reply, respond, wait};
use crate::listener::BrokenBody;
use crate::upstream::failure;
use crate::upstream::timer::{Expired, Span};
use crate::{clock, entropy};

/// By which an upstream recognises a repetition (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What is known about sending the request again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    /// Nothing of it was sent in this attempt.
    pub(super) nothing: bool,
    /// The connection was a kept one that may have been closing.
    pub(super) on_reused: bool,
}

/// Pingora could not connect: nothing was sent.
pub(super) fn after_connect(
    session: &mut Session,
    exchange: &mut Exchange,
    mut error: Box<Error>,
) -> Box<Error> {
    let failure = failure::of_connect(&error);
    let again = consider(session, exchange, failure, Sent { nothing: true, on_reused: false });
    error.set_retry(again);
    error
}

/// An attempt broke after it was connected.
pub(super) fn after_exchange(
    session: &mut Session,
    exchange: &mut Exchange,
    mut error: Box<Error>,
    on_reused: bool,
) -> Box<Error> {
    if *error.etype() == FAILED {
        // `respond` has already considered the status and said whether there is another attempt.
        return error;
    }
    let begun = session.response_written().is_some();
    let failure = failure::of_exchange(&error).filter(|_| exchange.trail.rejection.is_none());
    // Where we broke the connection off ourselves, that is no reset, and no kept connection that its server closed.
    let (failure, nothing) = match wait::expired(exchange) {
        None => (failure, false),
        Some(Expired(Span::Head | Span::Silence)) => (failure.map(|_| Failure::ReadTimeout), false),
        // Its rest was over before anything was sent.
        Some(Expired(Span::Rest)) => (failure, true),
    };
    let again = match failure {
        Some(failure) if !begun => consider(session, exchange, failure, Sent { nothing, on_reused }),
        Some(failure) => {
            end(exchange, failure);
            false
        }
        None => false,
    };
    error.set_retry(again);
    error
}

/// Ends the attempt with `failure` and decides whether another one follows.
pub(super) fn consider(session: &mut Session, exchange: &mut Exchange, failure: Failure, sent: Sent) -> bool {
    end(exchange, failure);
    let Some(route) = exchange.routed().map(|routed| routed.route.clone()) else { return false };
    let head = session.req_header();
    let facts = Facts {
        idempotent_method: head.method.is_idempotent(),
        idempotency_key: head.headers.contains_key(IDEMPOTENCY_KEY),
        body_replayable: !session.retry_buffer_truncated(),
        sent,
    };
    match retry(&route, exchange, &failure, facts) {
        Some((after, licence)) => {
            if let Some(plan) = exchange.plan_mut() {
                plan.delay = after;
                plan.licence = Some(licence);
            }
            if let Some(instruments) = exchange.live.route(&route) {
                instruments.retried(licence);
            }
            true
        }
        None => facts.may_send_again() && fall_back(exchange, &failure, &head.method.clone()),
    }
}

/// What decides about sending a request again.
#[derive(Clone, Copy)]
struct Facts {
    idempotent_method: bool,
    idempotency_key: bool,
    body_replayable: bool,
    sent: Sent,
}

impl Facts {
    fn may_send_again(&self) -> bool {
        self.body_replayable && (self.sent.nothing || self.idempotent_method || self.idempotency_key)
    }
}

fn retry(
    route: &Route,
    exchange: &Exchange,
    failure: &Failure,
    facts: Facts,
) -> Option<(std::time::Duration, Licence)> {
    let plan = exchange.plan()?;
    if let Some(first_aid) = stale_connection(plan, failure, facts) {
        return Some((std::time::Duration::ZERO, first_aid));
    }
    let policy = route.settings.retry.as_ref()?;
    let now = clock::now();
    let ask = RetryAsk {
        now,
        attempts_made: plan.attempts,
        failure,
        no_byte_sent: facts.sent.nothing,
        idempotent_method: facts.idempotent_method,
        idempotency_key: facts.idempotency_key,
        body_replayable: facts.body_replayable,
        remaining: plan.remaining(now),
    };
    match policy.next(&ask, &mut entropy::number) {
        RetryVerdict::Retry { after, licence } => Some((after, licence)),
        RetryVerdict::GiveUp(GiveUp::BudgetSpent) => {
            if let Some(instruments) = exchange.live.upstream(&plan.destination.upstream) {
                instruments.budget_spent();
            }
            None
        }
        RetryVerdict::GiveUp(
            GiveUp::NotRetryable
            | GiveUp::AttemptsSpent
            | GiveUp::NoLicence
            | GiveUp::BodyGone
            | GiveUp::NoTime,
        ) => None,
    }
}

/// A kept connection that its server was just closing, or we, is no fault of the endpoint's: an idempotent request, and
/// one that was not sent, goes once more on a fresh one, with or without a policy (RFC 9110 §9.2.2, RFC 9112 §9.3.1).
fn stale_connection(plan: &Plan, failure: &Failure, facts: Facts) -> Option<Licence> {
    let is_stale = facts.sent.on_reused && *failure == Failure::Reset && plan.attempts == 1;
    let licence = match facts.sent.nothing {
        true => Some(Licence::NoByteSent),
        false => facts.idempotent_method.then_some(Licence::IdempotentMethod),
    };
    licence.filter(|_| is_stale && facts.body_replayable)
}

/// Ends the attempt under way as failed, for breakers, metrics and the log.
fn end(exchange: &mut Exchange, failure: Failure) {
    let Some((lease, since)) = exchange.end_attempt() else { return };
    let now = clock::now();
    let took = now.saturating_since(since);
    lease.finish(Verdict::Failure, now);
    exchange.trail.upstream_time += took;
    exchange.trail.failure = Some(failure);
    if let Some(record) = exchange.trail.attempts.last_mut() {
        record.took = took;
        if record.outcome == AttemptOutcome::Pending {
            record.outcome = AttemptOutcome::Broke(failure);
        }
    }
    let upstream = exchange.plan().map(|plan| plan.destination.upstream.clone());
    if let Some(instruments) = upstream.as_ref().and_then(|upstream| exchange.live.upstream(upstream)) {
        match failure {
            Failure::Status(status) => instruments.answered(status, took),
            Failure::NoEndpoint
            | Failure::Tripped { .. }
            | Failure::Overloaded { .. }
            | Failure::Connect(_)
            | Failure::Reset
            | Failure::ReadTimeout
            | Failure::Deadline
            | Failure::BadResponse => instruments.broke(failure.code(), took),
        }
    }
}

/// Nothing more can be tried: answers the client, if it still can be.
pub(super) async fn give_up(
    session: &mut Session,
    error: &Error,
    exchange: &mut Exchange,
    gateway: &Gateway,
) -> FailToProxy {
    if session.response_written().is_some() {
        // The head is out: the only honest signal left is to break the connection off.
        return FailToProxy { error_code: 0, can_reuse_downstream: false };
    }
    if exchange.plan().is_some() {
        // Pingora closes the client's connection after an attempt that failed, whatever is answered: the answer says so,
        // lest the client send its next request into the closing connection.
        session.set_keepalive(None);
    }
    if let Some(code) = respond::replace(session, exchange, gateway).await {
        return FailToProxy { error_code: code, can_reuse_downstream: false };
    }
    if let Some(rejection) = exchange.trail.rejection.clone().or_else(|| broken_body(error)) {
        let code = rejection.status().as_u16();
        let reusable = !rejection.closes_connection();
        reply::reject(session, exchange, gateway, rejection).await;
        return FailToProxy { error_code: code, can_reuse_downstream: reusable };
    }
    if *error.esource() == ErrorSource::Downstream {
        return FailToProxy { error_code: 0, can_reuse_downstream: false };
    }
    let failure =
        exchange.trail.failure.or_else(|| failure::of_exchange(error)).unwrap_or(Failure::BadResponse);
    exchange.trail.failure = Some(failure);
    let method = session.req_header().method.clone();
    let code = answer_failure(session, exchange, gateway, failure, &method).await;
    FailToProxy { error_code: code, can_reuse_downstream: false }
}

/// The route's fixed fallback if one covers the failure, else the failure as a problem.
async fn answer_failure(
    session: &mut Session,
    exchange: &mut Exchange,
    gateway: &Gateway,
    failure: Failure,
    method: &Method,
) -> u16 {
    let route = exchange.routed().map(|routed| routed.route.clone());
    let covered = route.as_ref().and_then(|route| covering(route, &failure, method));
    let Some(FallbackAnswer::Fixed { status, content_type, body }) = covered.map(|fallback| &fallback.answer)
    else {
        reply::fail(session, exchange, gateway, &failure).await;
        return failure.status().as_u16();
    };
    exchange.trail.answered_by = Some(AnsweredBy::Fallback);
    if let Some(instruments) = route.as_ref().and_then(|route| exchange.live.route(route)) {
        instruments.fell_back("reply");
    }
    let retry_after = failure.retry_after();
    reply::fixed(session, exchange, gateway, *status, content_type.as_ref(), body.clone(), retry_after).await;
    status.as_u16()
}

/// The guard found the body to have more than one interpretation.
fn broken_body(error: &Error) -> Option<Rejection> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> =
        error.cause.as_deref().map(|cause| cause as _);
    while let Some(current) = cause {
        let io = current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(BrokenBody(violation)) = io.and_then(|inner| inner.downcast_ref()) {
            return Some(violation.rejection());
        }
        cause = current.source();
    }
    None
}
