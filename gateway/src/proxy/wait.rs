//! Between steps 6 and 7: the wait for the reply, its head and then each piece of its body.
//!
//! Decides when each wait begins and that what comes too late is a failure. An endpoint's time runs from the moment it
//! has the whole request: how slowly a client sends its body is not the endpoint's fault, and must not trip a breaker.
//! Over HTTP/2 connections are shared and Pingora bounds the waits: nothing here applies.

use std::sync::Arc;
use std::time::Duration;

use pingora_core::protocols::Digest;
use pingora_core::{Error, ErrorType, Result};
use portcullis_core::snapshot::Route;
use portcullis_core::units::Moment;

use super::exchange::{Attempting, Exchange, Plan, Stage};
use crate::clock;
use crate::upstream::connect::timer;
use crate::upstream::timer::{ConnectionTimer, Expired, Span};

/// How long an idle connection is kept for reuse: shorter than the 60 s after which common
/// servers close theirs, so that a request seldom meets a closing connection.
const REST: Duration = Duration::from_secs(55);

/// An attempt's wait for its reply.
#[derive(Debug)]
pub(super) struct ReplyWait {
    /// When the head is due, as far as is known; `None` if there is no bound.
    due: Option<Moment>,
    upload: Upload,
    /// The connection's, from when it stands.
    timer: Option<Arc<ConnectionTimer>>,
}

/// Whether the client has sent its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upload {
    /// All of it.
    Whole,
    /// Its body is still to come.
    Pending,
}

impl ReplyWait {
    /// The wait of an attempt that begins at `now`.
    pub(super) fn new(plan: &Plan, route: &Route, upload: Upload, now: Moment) -> Self {
        Self { due: due(plan, route, now), upload, timer: None }
    }

    /// What is left of it at `now`; `None` if there is no bound.
    pub(super) fn left(&self, now: Moment) -> Option<Duration> {
        self.due.map(|due| due.saturating_since(now))
    }
}

/// When the head of an attempt begun at `now` is due: `per_try` later, within the time of the request.
fn due(plan: &Plan, route: &Route, now: Moment) -> Option<Moment> {
    let per_try = route.settings.retry.as_ref().and_then(|retry| retry.settings().per_try);
    let try_ends = per_try.map(|span| now + span);
    plan.deadline.into_iter().chain(try_ends).min()
}

/// The attempt has its connection.
///
/// Pingora 0.9.1 mistakes the end of a handshake's empty body for the end of the tunnel if it reads the `101` first
/// (cloudflare/pingora#946). So the handshake is held back until Pingora has dealt with that end.
///
/// # Errors
/// A kept connection whose rest was over in the very moment it was taken: nothing was sent on it.
pub(super) fn connected(digest: Option<&Digest>, exchange: &mut Exchange) -> Result<()> {
    let Stage::Attempting(Attempting { admitted, wait, .. }) = &mut exchange.stage else { return Ok(()) };
    wait.timer = digest.and_then(timer).cloned();
    let Some(timer) = &wait.timer else { return Ok(()) };
    if timer.expect(Span::Head, None).is_err() {
        return Err(Error::new_up(ErrorType::ConnectionClosed));
    }
    if admitted.routed.arrival.is_upgrade {
        timer.hold_back(true);
    }
    Ok(())
}

/// The endpoint is given the last of the request: its time begins, unless it has answered already.
pub(super) fn request_ends(exchange: &mut Exchange) {
    let has_answered = exchange.has_reply();
    let Stage::Attempting(Attempting { admitted, wait, .. }) = &mut exchange.stage else { return };
    let Some(timer) = &wait.timer else { return };
    if wait.upload == Upload::Pending {
        let now = clock::now();
        admitted.plan.restart(now);
        wait.due = due(&admitted.plan, &admitted.routed.route, now);
    }
    if !has_answered {
        // One that is too late is seen where the read ends.
        let _late = timer.expect(Span::Head, wait.due);
    }
    let arrival = &admitted.routed.arrival;
    if arrival.is_upgrade {
        let timer = timer.clone();
        arrival.connection.afterwards.leave(Box::new(move || timer.hold_back(false)));
    }
}

/// A head is here at `now`, and it is the reply's: next is its body, or rest.
///
/// # Errors
/// It came too late, and what should follow it will not come.
pub(super) fn head_came(exchange: &mut Exchange, now: Moment) -> Result<(), Expired> {
    let Stage::Attempting(Attempting { admitted, wait, .. }) = &mut exchange.stage else { return Ok(()) };
    let Some(timer) = &wait.timer else { return Ok(()) };
    timer.expect(Span::Silence, admitted.plan.destination.timeouts.idle.map(|idle| now + idle))
}

/// A piece of the body is here, perhaps the last.
///
/// # Errors
/// The connection was shut down for its silence. A body that lasts to the end of its connection looks whole then.
pub(super) fn piece_came(exchange: &mut Exchange, ends: bool) -> Result<()> {
    let Stage::Attempting(Attempting { admitted, wait, .. }) = &mut exchange.stage else { return Ok(()) };
    let Some(timer) = &wait.timer else { return Ok(()) };
    let expected = match admitted.plan.destination.timeouts.idle {
        _ if ends => timer.expect(Span::Rest, Some(clock::now() + REST)),
        Some(idle) => timer.expect(Span::Silence, Some(clock::now() + idle)),
        None => Ok(()),
    };
    expected.map_err(|Expired(_)| Error::new_up(ErrorType::ReadTimedout))
}

/// What took too long, if the attempt's connection was shut down for it.
pub(super) fn expired(exchange: &Exchange) -> Option<Expired> {
    exchange.attempting()?.wait.timer.as_ref()?.expired()
}
