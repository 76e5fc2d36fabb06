//! Step 7: the upstream's reply: is it one, and what does the client see of it?
//!
//! A status that the route counts as failed becomes a [`Failure`] here, while another attempt or a
//! fallback can still take its place.

use http::{HeaderName, HeaderValue, StatusCode, Version as HttpVersion};
use pingora_core::{Error, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use portcullis_core::chain::{ChainFlow, Hook};
use portcullis_core::head::Version;
use portcullis_core::headers::hop_by_hop::strip_response;
use portcullis_core::outcome::{Failure, Rejection};
use portcullis_core::snapshot::FallbackAnswer;
use portcullis_core::units::Moment;
use portcullis_plugin_sdk::ResponseView;

use super::balance::{FAILED, covering};
use super::exchange::{AttemptOutcome, Exchange, facts};
use super::fields::{ResponseFields, apply};
use super::recover::{Sent, consider};
use super::{Gateway, Reveal, reply, wait};
use crate::clock;

const X_GATEWAY_ROUTE: HeaderName = HeaderName::from_static("x-gateway-route");
const X_GATEWAY_UPSTREAM: HeaderName = HeaderName::from_static("x-gateway-upstream");
const X_GATEWAY_ATTEMPTS: HeaderName = HeaderName::from_static("x-gateway-attempts");

/// The head of an upstream's reply came in: counts it, and decides whether the client gets it.
pub(super) fn judge(session: &mut Session, head: &ResponseHeader, exchange: &mut Exchange) -> Result<()> {
    if head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(());
    }
    let now = clock::now();
    if wait::head_came(exchange, now).is_err() {
        // The connection is shut down already; the body would be missing.
        let again =
            consider(session, exchange, Failure::ReadTimeout, Sent { nothing: false, on_reused: false });
        return Err(failed(again));
    }
    let status = head.status.as_u16();
    note(status, exchange, now);
    let Some(route) = exchange.routed().map(|routed| routed.route.clone()) else { return Ok(()) };
    if !route.settings.is_failed(status) {
        exchange.report_success(now);
        return Ok(());
    }
    let failure = Failure::Status(status);
    let again = consider(session, exchange, failure, Sent { nothing: false, on_reused: false });
    let fixed = covering(&route, &failure, &session.req_header().method)
        .is_some_and(|fallback| matches!(fallback.answer, FallbackAnswer::Fixed { .. }));
    if !again && !fixed {
        // Nothing is better than what the upstream says itself.
        return Ok(());
    }
    Err(failed(again))
}

/// Ends an attempt whose failure was already considered.
fn failed(again: bool) -> Box<Error> {
    let mut error = Error::new_up(FAILED);
    error.set_retry(again);
    error
}

/// Writes down that a head came back, and after how long.
fn note(status: u16, exchange: &mut Exchange, now: Moment) {
    let took = exchange.attempting().map(|attempting| now.saturating_since(attempting.since));
    if let (Some(took), Some(record)) = (took, exchange.trail.attempts.last_mut()) {
        record.took = took;
        record.outcome = AttemptOutcome::Status(status);
    }
}

/// The head of a reply on its way to the client, an upstream's.
pub(super) fn respond(
    session: &mut Session,
    head: &mut ResponseHeader,
    exchange: &mut Exchange,
    gateway: &Gateway,
) -> Result<()> {
    if head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(());
    }
    if let Some(arrival) = exchange.arrival() {
        let onward = arrival.onward_of_reply(head.status);
        strip_response(&mut ResponseFields(head), onward);
        if arrival.version != Version::Http2 {
            // An intermediary speaks its own version (RFC 9112 §2.3), whatever the upstream's is.
            head.set_version(HttpVersion::HTTP_11);
        }
    }
    filter(session, head, exchange, gateway)?;
    finish(head, exchange, gateway);
    Ok(())
}

/// Runs the plugins on the reply. One that answers in its place, or fails and denies, replaces the reply whole.
fn filter(
    session: &mut Session,
    head: &mut ResponseHeader,
    exchange: &mut Exchange,
    gateway: &Gateway,
) -> Result<()> {
    let rejection = match shape(session, head, exchange, gateway) {
        ChainFlow::Continue => return Ok(()),
        ChainFlow::Deny { plugin } => Rejection::PluginFault { plugin },
        ChainFlow::Respond { reply, plugin } => {
            exchange.trail.replacement = Some((reply, plugin));
            return Err(Error::new_in(FAILED));
        }
    };
    exchange.trail.rejection = Some(rejection);
    Err(Error::new_in(FAILED))
}

/// What a route says about the fields of replies, on one that the gateway made: browsers want the
/// CORS fields on a 429 too. Plugins may edit it here, but not replace it: it already is a last word.
pub(super) fn dress(
    session: &Session,
    head: &mut ResponseHeader,
    exchange: &mut Exchange,
    gateway: &Gateway,
) {
    // Whatever a plugin would rather answer: this is the answer already.
    let _ = shape(session, head, exchange, gateway);
}

/// The route's edits of a reply's fields, then its plugins.
fn shape(
    session: &Session,
    head: &mut ResponseHeader,
    exchange: &mut Exchange,
    gateway: &Gateway,
) -> ChainFlow {
    let Some(routed) = exchange.routed_mut() else { return ChainFlow::Continue };
    let route = routed.route.clone();
    apply(&route.settings.response_headers, &mut ResponseFields(head));
    if !route.settings.chain.wants(Hook::Response) {
        return ChainFlow::Continue;
    }
    let request = session.req_header();
    let facts =
        facts(&routed.arrival, &route, routed.identity.as_deref(), &request.method, request.uri.query());
    let status = head.status;
    let mut fields = ResponseFields(head);
    let mut view = ResponseView::new(facts, &request.headers, status, &mut fields, &mut routed.vars);
    let report = route.settings.chain.on_response(&mut view);
    gateway.count_incidents(&report.incidents);
    report.flow
}

/// What every reply carries, whoever made it: the request's id, the state of the limits, and, if
/// asked for at start, how it came about.
pub(super) fn finish(head: &mut ResponseHeader, exchange: &Exchange, gateway: &Gateway) {
    exchange.id.write(&mut ResponseFields(head));
    for (name, value) in &exchange.trail.reply_fields {
        // Name and value are parsed already: this cannot fail.
        let _ = head.append_header(name.clone(), value.clone());
    }
    match gateway.reveal {
        Reveal::Nothing => {}
        Reveal::Workings => reveal(head, exchange),
    }
}

/// The route, the upstream and the licence of each attempt, for people who debug.
fn reveal(head: &mut ResponseHeader, exchange: &Exchange) {
    let Some(routed) = exchange.routed() else { return };
    let attempts: Vec<String> = exchange
        .trail
        .attempts
        .iter()
        .map(|record| {
            let licence = record.licence.map_or("first", portcullis_core::retry::Licence::as_str);
            format!("{};licence={licence}", record.endpoint)
        })
        .collect();
    let upstream = exchange.trail.attempts.last().map_or("", |record| &record.upstream);
    let fields = [
        (X_GATEWAY_ROUTE, &*routed.route.name),
        (X_GATEWAY_UPSTREAM, upstream),
        (X_GATEWAY_ATTEMPTS, &attempts.join(", ")),
    ];
    for (name, value) in fields {
        if let Ok(value) = HeaderValue::from_str(value) {
            let _ = head.insert_header(name, value);
        }
    }
}

/// Sends the reply a plugin put in the upstream's place.
pub(super) async fn replace(
    session: &mut Session,
    exchange: &mut Exchange,
    gateway: &Gateway,
) -> Option<u16> {
    let (instead, plugin) = exchange.trail.replacement.take()?;
    let status = instead.status.as_u16();
    reply::plugin(session, exchange, gateway, instead, plugin).await;
    Some(status)
}
