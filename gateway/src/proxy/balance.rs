//! Step 5, once an attempt: wait if a retry must, ask the upstream for an endpoint, and describe it
//! to Pingora. An upstream that has none hands over to the route's fallback, if that covers it.

use std::time::Duration;

use http::Method;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, Result};
use pingora_proxy::Session;
use portcullis_core::outcome::Failure;
use portcullis_core::snapshot::{Destination, Fallback, FallbackAnswer, Route, Timeouts};
use portcullis_core::upstream::{Ask, NoPick};

use super::exchange::{Arrival, AttemptOutcome, AttemptRecord, Attempting, Exchange, Plan, Stage};
use super::wait::{ReplyWait, Upload};
use crate::upstream::peer::{Allowance, peer};
use crate::{clock, entropy};

/// The error that carries a [`Failure`] through Pingora; what it means is in the exchange.
pub(super) const FAILED: ErrorType = ErrorType::new("portcullis: attempt failed");

/// When an upstream at its `max_requests` is worth asking again.
const OVERLOADED_RETRY_AFTER: Duration = Duration::from_secs(1);
/// Stands for "no bound" where Pingora wants one.
const UNBOUNDED: Duration = Duration::from_secs(24 * 60 * 60);
/// Least time an attempt is given, so that an almost spent deadline still gives a clear timeout.
const ATTEMPT_MIN: Duration = Duration::from_millis(1);

/// The endpoint for the next attempt.
pub(super) async fn balance(session: &mut Session, exchange: &mut Exchange) -> Result<Box<HttpPeer>> {
    let delay = exchange.plan_mut().map(|plan| std::mem::take(&mut plan.delay)).unwrap_or_default();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let upload = if session.as_mut().is_body_done() { Upload::Whole } else { Upload::Pending };
    let mut picked = pick(exchange, upload);
    if let Err(failure) = picked
        && fall_back(exchange, &failure, &session.req_header().method)
    {
        picked = pick(exchange, upload);
    }
    picked.map_err(|failure| {
        exchange.trail.failure = Some(failure);
        Error::new_up(FAILED)
    })
}

/// Hands over to the fallback upstream that covers `failure`. False if there is none.
///
/// To be called only where sending the request (again) is allowed: see `recover`.
pub(super) fn fall_back(exchange: &mut Exchange, failure: &Failure, method: &Method) -> bool {
    let Some(route) = exchange.routed().map(|routed| routed.route.clone()) else { return false };
    let Some(plan) = exchange.plan_mut().filter(|plan| !plan.is_fallback) else { return false };
    let Some(Fallback { answer: FallbackAnswer::Upstream(destination), .. }) =
        covering(&route, failure, method)
    else {
        return false;
    };
    *plan = Plan { is_fallback: true, ..Plan::first(destination.clone(), clock::now()) };
    if let Some(instruments) = exchange.live.route(&route) {
        instruments.fell_back("upstream");
    }
    true
}

/// The first fallback of the route that covers the failure.
pub(super) fn covering<'r>(route: &'r Route, failure: &Failure, method: &Method) -> Option<&'r Fallback> {
    route.settings.fallbacks.iter().find(|fallback| fallback.covers(failure, method))
}

/// Picks an endpoint and counts the attempt in.
fn pick(exchange: &mut Exchange, upload: Upload) -> Result<Box<HttpPeer>, Failure> {
    let now = clock::now();
    let stage = exchange.take_stage();
    let Stage::Admitted(mut admitted) = stage else {
        exchange.stage = stage;
        return Err(Failure::NoEndpoint);
    };
    let plan = &mut admitted.plan;
    let Destination { upstream, breaker, .. } = &plan.destination;
    let spent = plan.remaining(now).is_some_and(|left| left.is_zero());
    let ask = Ask { now, breaker: *breaker, tried: &plan.tried };
    let picked = if spent {
        Err(Failure::Deadline)
    } else {
        upstream.cell.pick(&ask, &mut entropy::number).map_err(failure_of)
    };
    let lease = match picked {
        Ok(lease) => lease,
        Err(failure) => {
            exchange.stage = Stage::Admitted(admitted);
            return Err(failure);
        }
    };
    let address = lease.endpoint().address;
    let (upstream, protocol) = (upstream.clone(), upstream.protocol);
    plan.attempts = plan.attempts.saturating_add(1);
    plan.tried.push(address);
    exchange.trail.failure = None;
    exchange.trail.body_bytes = 0;
    exchange.trail.attempts.push(AttemptRecord {
        upstream: upstream.name.clone(),
        endpoint: address,
        licence: plan.licence,
        outcome: AttemptOutcome::Pending,
        took: Duration::ZERO,
    });
    let routed = &admitted.routed;
    let wait = ReplyWait::new(plan, &routed.route, upload, now);
    let allowance = allowance(plan.destination.timeouts, wait.left(now), &routed.arrival);
    let group = group(&upstream.name);
    exchange.stage = Stage::Attempting(Attempting { admitted, lease, since: now, wait });
    Ok(peer(address, protocol, group, allowance))
}

/// Keeps the connections of different upstreams apart, and those of one together over reloads: FNV-1a of its name
/// (Fowler, Noll, Vo), since names are few, short and the operator's own.
fn group(upstream: &str) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    upstream.bytes().fold(BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

/// What the attempt is given: the route's times, within what is left for the head. Reads over HTTP/1 are bounded by the
/// connection's timer: see `wait`.
fn allowance(times: Timeouts, left: Option<Duration>, arrival: &Arrival) -> Allowance {
    let left = left.unwrap_or(UNBOUNDED).max(ATTEMPT_MIN);
    let idle = times.idle.unwrap_or(UNBOUNDED);
    // A gRPC stream may stay silent for long by design.
    let h2_read = if arrival.is_upgrade || arrival.is_grpc { idle } else { left };
    Allowance { connect: times.connect.min(left), h2_read, write: idle }
}

fn failure_of(none: NoPick) -> Failure {
    match none {
        NoPick::NoEndpoint => Failure::NoEndpoint,
        NoPick::Overloaded { .. } => Failure::Overloaded { retry_after: OVERLOADED_RETRY_AFTER },
        NoPick::Tripped { retry_after } => Failure::Tripped { retry_after },
    }
}
