//! What is to be sent, how often, and what counts as a right answer. Nothing is sent before a plan is checked.

use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Method};

use crate::expect::Expect;

/// Highest rate a plan may ask for, in requests a second.
pub const RATE_MAX_PER_S: f64 = 200_000.0;
/// Most connections a plan may ask for.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Longest a load lasts, also one that waits to be stopped.
pub const DURATION_MAX: Duration = Duration::from_secs(3_600);
/// Most requests of one load.
pub const REQUESTS_MAX: u64 = 50_000_000;

/// What one load does.
#[derive(Debug, Clone)]
pub struct Plan {
    /// `http://` and a loopback address or `localhost`, with the path to ask for.
    pub url: String,
    /// The method of every request.
    pub method: Method,
    /// Headers of every request. `host` replaces the URL's.
    pub headers: HeaderMap,
    /// The body of every request; empty sends none.
    pub body: Bytes,
    /// Requests a second, evenly spaced; more than 0, at most [`RATE_MAX_PER_S`].
    pub rate_per_s: f64,
    /// Connections open at once (1 to [`CONNECTIONS_MAX`]). Requests that find none free wait, and the wait counts.
    pub connections_max: usize,
    /// Requests sent or waiting at once; one more is not sent and counts as failed (`backlog_full`).
    pub in_flight_max: u32,
    /// How long to send; `None` until stopped. Never longer than [`DURATION_MAX`].
    pub duration: Option<Duration>,
    /// How many to send at most; never more than [`REQUESTS_MAX`].
    pub requests_max: u64,
    /// How long an answer may take, from the moment its request was meant to be sent.
    pub timeout: Duration,
    /// What a right answer is.
    pub expect: Expect,
    /// The response header that names the instance that answered; its values are counted.
    pub spread_header: Option<HeaderName>,
    /// Gives every request an id of its own.
    pub request_ids: Option<RequestIds>,
    /// What is spoken.
    pub protocol: Protocol,
    /// When not empty, requests take these in turn.
    pub variants: Vec<Variant>,
}

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 with keep-alive, one request at a time on a connection.
    Http1,
    /// HTTP/2 with prior knowledge, several requests at a time on a connection.
    H2c,
}

/// A request id of its own for every request.
#[derive(Debug, Clone)]
pub struct RequestIds {
    /// The header that carries it.
    pub header: HeaderName,
    /// Whether the answer must carry the same id in the same header.
    pub echo: bool,
}

/// How one kind of request differs from the plan.
#[derive(Debug, Clone, Default)]
pub struct Variant {
    /// Asked for instead of the URL's.
    pub path_and_query: Option<PathAndQuery>,
    /// Put in place of the plan's headers of the same name.
    pub headers: HeaderMap,
}

impl Plan {
    /// 100 GET requests a second for `url` on at most 32 connections until stopped; every 2xx is right.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            method: Method::GET,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            rate_per_s: 100.0,
            connections_max: 32,
            in_flight_max: 20_000,
            duration: None,
            requests_max: REQUESTS_MAX,
            timeout: Duration::from_secs(10),
            expect: Expect::default(),
            spread_header: None,
            request_ids: None,
            protocol: Protocol::Http1,
            variants: Vec::new(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), PlanError> {
        if !(self.rate_per_s > 0.0 && self.rate_per_s <= RATE_MAX_PER_S) {
            return Err(PlanError::Rate(self.rate_per_s));
        }
        if !(1..=CONNECTIONS_MAX).contains(&self.connections_max) {
            return Err(PlanError::Connections(self.connections_max));
        }
        if self.in_flight_max == 0 || self.requests_max == 0 || self.timeout.is_zero() {
            return Err(PlanError::Zero);
        }
        Ok(())
    }
}

/// Why a plan is not begun.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// The URL cannot be used.
    #[error("cannot send to `{url}`: {why}")]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The target is another machine, or may be.
    #[error(
        "refusing to send load to `{host}`: it {what}; load goes to loopback addresses only (127.0.0.1, ::1, localhost)"
    )]
    NotLoopback {
        /// The host of the URL.
        host: String,
        /// What it is instead.
        what: String,
    },
    /// The rate is out of range.
    #[error(
        "a rate of {0} requests a second is out of range; it is more than 0 and at most {RATE_MAX_PER_S}"
    )]
    Rate(f64),
    /// The number of connections is out of range.
    #[error("{0} connections are out of range; 1 to {CONNECTIONS_MAX}")]
    Connections(usize),
    /// A bound is zero, so nothing could be sent.
    #[error("in_flight_max, requests_max and timeout are more than zero")]
    Zero,
    /// The thread that keeps the rate could not be started.
    #[error("cannot start the thread that keeps the rate: {0}")]
    Thread(String),
}
