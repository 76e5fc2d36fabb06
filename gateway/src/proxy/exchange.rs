//! One request and its reply: what is known of it, step by step.
//!
//! The snapshot is pinned here when the request begins and never looked up again, so retries, the
//! reply and the log line agree. [`Stage`] holds only what is known by then: a step cannot use
//! what an earlier one has not established. What happened on the way is the [`Trail`].

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use portcullis_core::auth::Identity;
use portcullis_core::head::Version;
use portcullis_core::headers::Trust;
use portcullis_core::headers::hop_by_hop::Onward;
use portcullis_core::headers::request_id::RequestId;
use portcullis_core::headers::trace_context::TraceContext;
use portcullis_core::outcome::{Failure, Rejection};
use portcullis_core::retry::Licence;
use portcullis_core::router::Params;
use portcullis_core::snapshot::{Destination, Route};
use portcullis_core::units::Moment;
use portcullis_core::upstream::{Lease, Verdict};
use portcullis_plugin_sdk::{Reply, RequestFacts, Scheme, Vars};
use smallvec::SmallVec;

use super::wait::ReplyWait;
use crate::listener::ConnectionInfo;
use crate::live::{ActiveRequest, Live};

/// Attempts kept inline; more spill to the heap.
const ATTEMPTS_INLINE: usize = 2;

/// The state of one request, from its first byte to its log line.
#[derive(Debug)]
pub struct Exchange {
    /// The request's id: ours, or a trusted peer's.
    pub(super) id: RequestId,
    pub(super) live: Arc<Live>,
    pub(super) started: Moment,
    pub(super) stage: Stage,
    pub(super) trail: Trail,
}

/// What is known of a request; each step moves it on.
#[derive(Debug)]
pub(super) enum Stage {
    /// Nothing yet.
    New,
    /// The head has one interpretation and the client is known.
    Accepted(Arrival),
    /// A route was found.
    Routed(Routed),
    /// Every gate let the request in.
    Admitted(Admitted),
    /// An endpoint was picked and is being asked.
    Attempting(Attempting),
}

/// What the head and the connection say.
#[derive(Debug)]
pub(super) struct Arrival {
    /// The connection it came on.
    pub(super) connection: Arc<ConnectionInfo>,
    /// The client, after trusted proxies were taken into account.
    pub(super) client: IpAddr,
    pub(super) trust: Trust,
    pub(super) scheme: Scheme,
    /// The host routes are matched on: lower case, no port.
    pub(super) host: Box<str>,
    /// The normalised path, which is matched and forwarded.
    pub(super) path: Box<str>,
    pub(super) trace: TraceContext,
    pub(super) version: Version,
    pub(super) is_grpc: bool,
    pub(super) is_upgrade: bool,
}

/// A request with a route.
#[derive(Debug)]
pub(super) struct Routed {
    pub(super) arrival: Arrival,
    pub(super) route: Arc<Route>,
    pub(super) params: Params,
    /// Who the client is, once a gate has found out.
    pub(super) identity: Option<Arc<Identity>>,
    /// What plugins leave for each other.
    pub(super) vars: Vars,
    /// Counts the request as active until it is dropped.
    pub(super) _active: ActiveRequest,
}

/// A request that every gate let in.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) routed: Routed,
    pub(super) plan: Plan,
}

/// Where the next attempt goes, and when.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) destination: Destination,
    /// Whether this is the route's fallback upstream, which has none of its own.
    pub(super) is_fallback: bool,
    /// Endpoints already asked.
    pub(super) tried: SmallVec<[SocketAddr; ATTEMPTS_INLINE]>,
    /// Attempts made at this destination.
    pub(super) attempts: u8,
    /// How long to wait first.
    pub(super) delay: Duration,
    /// What allows the next attempt, if it repeats one.
    pub(super) licence: Option<Licence>,
    /// When this destination's time is up.
    pub(super) deadline: Option<Moment>,
}

/// A request at an endpoint.
#[derive(Debug)]
pub(super) struct Attempting {
    pub(super) admitted: Admitted,
    /// The endpoint, counted as in use until it is dropped.
    pub(super) lease: Lease,
    pub(super) since: Moment,
    /// The wait for its reply.
    pub(super) wait: ReplyWait,
}

/// What happened so far, for the reply, the feedback and the log line.
#[derive(Debug, Default)]
pub(super) struct Trail {
    pub(super) attempts: SmallVec<[AttemptRecord; ATTEMPTS_INLINE]>,
    /// Why we said no.
    pub(super) rejection: Option<Rejection>,
    /// Why the last attempt failed, until another one is made.
    pub(super) failure: Option<Failure>,
    /// The answer was not the upstream's own.
    pub(super) answered_by: Option<AnsweredBy>,
    /// Fields for the reply that the gates decided: `RateLimit` and its policy.
    pub(super) reply_fields: SmallVec<[(HeaderName, HeaderValue); 2]>,
    /// A reply that a plugin puts in the upstream's place, until it is sent.
    pub(super) replacement: Option<(Reply, Arc<str>)>,
    /// Bytes of body taken from the client in this attempt.
    pub(super) body_bytes: u64,
    /// Time spent in attempts that ended.
    pub(super) upstream_time: Duration,
}

/// Who answered in the upstream's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AnsweredBy {
    /// The gateway, with the problem that `Trail::rejection` or `Trail::failure` describes.
    Gateway,
    /// This plugin.
    Plugin(Arc<str>),
    /// The route's fixed fallback.
    Fallback,
}

/// One attempt, for the log.
#[derive(Debug)]
pub(super) struct AttemptRecord {
    pub(super) upstream: Arc<str>,
    pub(super) endpoint: SocketAddr,
    /// What allowed it, if it repeats one.
    pub(super) licence: Option<Licence>,
    pub(super) outcome: AttemptOutcome,
    /// Up to the head of the reply, or the failure.
    pub(super) took: Duration,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AttemptOutcome {
    /// Nothing has come back yet.
    Pending,
    /// A head came back.
    Status(u16),
    /// It broke.
    Broke(Failure),
}

impl Exchange {
    /// A request that has just begun, under this snapshot.
    #[must_use]
    pub(super) fn new(id: RequestId, live: Arc<Live>, started: Moment) -> Self {
        Self { id, live, started, stage: Stage::New, trail: Trail::default() }
    }

    /// What the head said, once it was accepted.
    pub(super) fn arrival(&self) -> Option<&Arrival> {
        match &self.stage {
            Stage::New => None,
            Stage::Accepted(arrival) => Some(arrival),
            Stage::Routed(routed) => Some(&routed.arrival),
            Stage::Admitted(admitted) => Some(&admitted.routed.arrival),
            Stage::Attempting(attempting) => Some(&attempting.admitted.routed.arrival),
        }
    }

    /// The route and who asks, once they are known.
    pub(super) fn routed(&self) -> Option<&Routed> {
        match &self.stage {
            Stage::New | Stage::Accepted(_) => None,
            Stage::Routed(routed) => Some(routed),
            Stage::Admitted(admitted) => Some(&admitted.routed),
            Stage::Attempting(attempting) => Some(&attempting.admitted.routed),
        }
    }

    /// The same, to change the identity or the plugins' values.
    pub(super) fn routed_mut(&mut self) -> Option<&mut Routed> {
        match &mut self.stage {
            Stage::New | Stage::Accepted(_) => None,
            Stage::Routed(routed) => Some(routed),
            Stage::Admitted(admitted) => Some(&mut admitted.routed),
            Stage::Attempting(attempting) => Some(&mut attempting.admitted.routed),
        }
    }

    /// Where the request goes, once it was let in.
    pub(super) fn plan(&self) -> Option<&Plan> {
        match &self.stage {
            Stage::New | Stage::Accepted(_) | Stage::Routed(_) => None,
            Stage::Admitted(admitted) => Some(&admitted.plan),
            Stage::Attempting(attempting) => Some(&attempting.admitted.plan),
        }
    }

    /// The same, to change it.
    pub(super) fn plan_mut(&mut self) -> Option<&mut Plan> {
        match &mut self.stage {
            Stage::New | Stage::Accepted(_) | Stage::Routed(_) => None,
            Stage::Admitted(admitted) => Some(&mut admitted.plan),
            Stage::Attempting(attempting) => Some(&mut attempting.admitted.plan),
        }
    }

    /// The attempt under way.
    pub(super) fn attempting(&self) -> Option<&Attempting> {
        match &self.stage {
            Stage::Attempting(attempting) => Some(attempting),
            Stage::New | Stage::Accepted(_) | Stage::Routed(_) | Stage::Admitted(_) => None,
        }
    }

    /// The endpoint answered: tells the breakers now, since the body may stream for hours. The
    /// attempt stays counted in flight.
    pub(super) fn report_success(&mut self, now: Moment) {
        if let Stage::Attempting(attempting) = &mut self.stage {
            attempting.lease.report(Verdict::Success, now);
        }
    }

    /// Whether the attempt under way has brought a reply's head.
    pub(super) fn has_reply(&self) -> bool {
        self.trail.attempts.last().is_some_and(|record| matches!(record.outcome, AttemptOutcome::Status(_)))
    }

    /// Counts bytes of body; one that grew past the route's bound is refused.
    pub(super) fn count_body(&mut self, bytes: usize) -> Result<(), Rejection> {
        self.trail.body_bytes = self.trail.body_bytes.saturating_add(bytes as u64);
        let max = self.routed().and_then(|routed| routed.route.settings.body_bytes_max);
        match max {
            Some(max) if self.trail.body_bytes > max && !self.is_tunnel() => Err(Rejection::BodyTooLarge),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether the client asked for a tunnel, whose bytes are no body.
    fn is_tunnel(&self) -> bool {
        self.arrival().is_some_and(|arrival| arrival.is_upgrade)
    }

    /// The stage, to move on from; what is left behind is [`Stage::New`] until the step ends.
    pub(super) fn take_stage(&mut self) -> Stage {
        std::mem::replace(&mut self.stage, Stage::New)
    }

    /// Ends the attempt under way, if there is one: its lease, for the verdict, and when it began.
    pub(super) fn end_attempt(&mut self) -> Option<(Lease, Moment)> {
        match self.take_stage() {
            Stage::Attempting(Attempting { admitted, lease, since, .. }) => {
                self.stage = Stage::Admitted(admitted);
                Some((lease, since))
            }
            other @ (Stage::New | Stage::Accepted(_) | Stage::Routed(_) | Stage::Admitted(_)) => {
                self.stage = other;
                None
            }
        }
    }
}

/// The request as plugins see it, from parts that can be borrowed apart.
pub(super) fn facts<'a>(
    arrival: &'a Arrival,
    route: &'a Route,
    identity: Option<&'a Identity>,
    method: &'a http::Method,
    query: Option<&'a str>,
) -> RequestFacts<'a> {
    RequestFacts {
        method,
        path: &arrival.path,
        query,
        host: &arrival.host,
        scheme: arrival.scheme,
        client_ip: arrival.client,
        route: &route.name,
        identity: identity.map(Identity::view),
    }
}

impl Arrival {
    /// What the next hop is asked to do with the connection.
    pub(super) const fn onward(&self) -> Onward {
        match (self.is_upgrade, self.is_grpc) {
            (true, _) => Onward::WebSocket,
            (false, true) => Onward::Grpc,
            (false, false) => Onward::Plain,
        }
    }

    /// The same for the reply: only a 101 says anything about the connection.
    pub(super) fn onward_of_reply(&self, status: StatusCode) -> Onward {
        match (status, self.is_grpc) {
            (StatusCode::SWITCHING_PROTOCOLS, _) => Onward::WebSocket,
            (_, true) => Onward::Grpc,
            (_, false) => Onward::Plain,
        }
    }
}

impl Plan {
    /// A first attempt at `destination`, begun at `now`.
    pub(super) fn first(destination: Destination, now: Moment) -> Self {
        let mut plan = Self {
            destination,
            is_fallback: false,
            tried: SmallVec::new(),
            attempts: 0,
            delay: Duration::ZERO,
            licence: None,
            deadline: None,
        };
        plan.restart(now);
        plan
    }

    /// The destination's time begins at `now`.
    pub(super) fn restart(&mut self, now: Moment) {
        self.deadline = self.destination.timeouts.request.map(|span| now + span);
    }

    /// Time left at `now`; `None` if there is no bound.
    pub(super) fn remaining(&self, now: Moment) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_since(now))
    }
}
