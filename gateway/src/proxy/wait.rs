//! Between steps 6 and 7: the wait for the head of the reply.
//!
//! Decides when it begins, when it is over, and that a head which comes too late is none. An endpoint's time runs
//! from the moment it has the whole request: how slowly a client sends its body is not the endpoint's fault, and must
//! not trip a breaker. Over HTTP/2 connections are shared and Pingora bounds the wait: nothing here applies.

use std::sync::Arc;
use std::time::Duration;

use pingora_core::protocols::Digest;
use portcullis_core::snapshot::Route;
use portcullis_core::units::Moment;

use super::exchange::{Attempting, Exchange, Plan, Stage};
use crate::clock;
use crate::upstream::connect::head_timer;
use crate::upstream::head_timer::{HeadTimer, Overdue};

/// An attempt's wait for its head.
#[derive(Debug)]
pub(super) struct HeadWait {
    /// When the head is due, as far as is known; `None` if there is no bound.
    due: Option<Moment>,
    upload: Upload,
    /// The connection's, from when it stands until the head is there.
    timer: Option<Arc<HeadTimer>>,
}

/// Whether the client has sent its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upload {
    /// All of it.
    Whole,
    /// Its body is still to come.
    Pending,
}

impl HeadWait {
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
    let per_try = route.retry.as_ref().and_then(|retry| retry.settings().per_try);
    let try_ends = per_try.map(|span| now + span);
    plan.deadline.into_iter().chain(try_ends).min()
}

/// The attempt has its connection.
///
/// Pingora 0.9.1 mistakes the end of a handshake's empty body for the end of the tunnel if it reads the `101` first
/// (cloudflare/pingora#946). So the handshake is held back until Pingora has dealt with that end.
pub(super) fn connected(digest: Option<&Digest>, exchange: &mut Exchange) {
    let Stage::Attempting(Attempting { admitted, wait, .. }) = &mut exchange.stage else { return };
    wait.timer = digest.and_then(head_timer).cloned();
    if let Some(timer) = wait.timer.as_ref().filter(|_| admitted.routed.arrival.is_upgrade) {
        timer.hold_back(true);
    }
}

/// The endpoint is given the last of the request: its time begins, unless it has answered already.
pub(super) fn request_ends(exchange: &mut Exchange) {
    let Stage::Attempting(Attempting { admitted, wait, .. }) = &mut exchange.stage else { return };
    let Some(timer) = &wait.timer else { return };
    if wait.upload == Upload::Pending {
        let now = clock::now();
        admitted.plan.restart(now);
        wait.due = due(&admitted.plan, &admitted.routed.route, now);
    }
    if let Some(due) = wait.due {
        timer.wait_until(due);
    }
    let arrival = &admitted.routed.arrival;
    if arrival.is_upgrade {
        let timer = timer.clone();
        arrival.connection.afterwards.leave(Box::new(move || timer.hold_back(false)));
    }
}

/// A head is here, and it is the reply's.
///
/// # Errors
/// It came too late, and what should follow it will not come.
pub(super) fn head_came(exchange: &mut Exchange) -> Result<(), Overdue> {
    let Stage::Attempting(Attempting { wait, .. }) = &mut exchange.stage else { return Ok(()) };
    wait.timer.take().map_or(Ok(()), |timer| timer.head_came())
}

/// Whether the attempt's connection was shut down because its head did not come in time.
pub(super) fn is_overdue(exchange: &Exchange) -> bool {
    let wait = exchange.attempting().map(|attempting| &attempting.wait);
    wait.and_then(|wait| wait.timer.as_ref()).is_some_and(|timer| timer.is_overdue())
}
