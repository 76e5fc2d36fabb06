//! `retry` and `circuit_breaker`: what to do about an upstream that fails.

use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::{Value, json};

use crate::codes::Code;
use crate::decode::{Decode, Decoder, keys};
use crate::span::At;
use crate::value::Share;
use crate::yaml::{Kind, Node};

keys! {
    /// Try again when an attempt failed, on another endpoint if there is one, and only when repeating is safe: no byte was
    /// sent, the method is idempotent, or the request carries `Idempotency-Key`.
    pub struct Retry is "retry" {
        /// Tries in all, the first included (2 to 10, default `2`).
        key attempts: Option<At<u8>>,
        /// How long one try may take, up to the head of its answer (default: no bound).
        key per_try: Option<At<Duration>>,
        /// Statuses that count as failed (400 to 599, default `[502, 503, 504]`).
        key statuses: Option<At<Vec<At<u16>>>>,
        /// Errors that count as failed (default `[connect, reset]`).
        key errors: Option<At<Vec<At<RetryError>>>>,
        /// How long to wait between tries.
        key backoff: Option<At<Backoff>>,
        /// How many retries there may be in all. Short form: `20%`.
        key budget: Option<At<Budget>>,
    }
    later {
        "hedge": "hedged requests come later",
    }
    instead {
        "methods": "repeating is decided by what is safe: no byte sent, an idempotent method, or an idempotency key",
    }
    check check_retry;
}

keys! {
    /// Waiting between tries: doubled each time, with full jitter.
    pub struct Backoff is "backoff" {
        /// The first wait is at most this (default `25ms`).
        key base: Option<At<Duration>>,
        /// No wait is longer than this (default `250ms`).
        key max: Option<At<Duration>>,
    }
}

keys! {
    /// How many retries there may be in all, so that retries do not become the load. Short form: `20%`.
    pub struct Budget is "a retry budget" {
        /// Retries as a share of requests (default `20%`).
        key share: Option<At<Share>>,
        /// Retries a second that are always allowed (default `3`).
        key floor: Option<At<u32>>,
    }
    short budget_from_text as budget_text;
}

keys! {
    /// Stop asking an upstream that keeps failing; probe it later. One for the upstream as a whole and one for each endpoint;
    /// `failure_rate` or `consecutive` must be there.
    pub struct CircuitBreaker is "a circuit breaker" {
        /// Trip when this share of the window failed, at one endpoint or at all of them together.
        key failure_rate: Option<At<Share>>,
        /// How many of the last requests count (1 to 10000, default `20`).
        key window: Option<At<NonZeroU32>>,
        /// Trip when this many failed in a row at one endpoint.
        key consecutive: Option<At<NonZeroU32>>,
        /// How long to stay tripped before probing (default `10s`).
        key open: Option<At<Duration>>,
        /// Requests let through while probing; all must succeed (default `3`).
        key probes: Option<At<NonZeroU32>>,
    }
    check check_breaker;
}

/// An error that counts as a failed try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryError {
    /// No connection came about.
    Connect,
    /// The connection broke.
    Reset,
    /// The try took too long.
    Timeout,
}

fn budget_from_text(node: &Node, decoder: &mut Decoder<'_>) -> Option<Option<Budget>> {
    let Kind::Scalar(_) = &node.kind else { return None };
    let share = <At<Share>>::decode(node, decoder);
    Some(share.map(|share| Budget { share: Some(share), floor: None }))
}

fn budget_text() -> Value {
    json!({ "type": "string", "pattern": "%$", "examples": ["20%"] })
}

fn check_retry(retry: &Retry, _: &Node, decoder: &mut Decoder<'_>) {
    if let Some(attempts) = retry.attempts.as_ref().filter(|attempts| !(2..=10).contains(&attempts.value)) {
        let message = format!("`attempts` is {}, and must lie between 2 and 10", attempts.value);
        let help = Some("the first try is counted; `retry: none` turns retries off".to_owned());
        decoder.error(Code::OutOfRange, attempts.at, message, "out of range", help);
    }
    for status in retry.statuses.iter().flatten().filter(|status| !(400..=599).contains(&status.value)) {
        let message = format!("{} is not a status that can count as failed", status.value);
        let help = Some("use statuses from 400 to 599".to_owned());
        decoder.error(Code::OutOfRange, status.at, message, "out of range", help);
    }
}

fn check_breaker(breaker: &CircuitBreaker, _: &Node, decoder: &mut Decoder<'_>) {
    if let Some(window) = breaker.window.as_ref().filter(|window| window.value.get() > WINDOW_MAX) {
        let message = format!("`window` is {}, and must be at most {WINDOW_MAX}", window.value);
        decoder.error(Code::OutOfRange, window.at, message, "out of range", None);
    }
    if let Some(rate) = breaker.failure_rate.as_ref().filter(|rate| rate.value.0 <= 0.0) {
        let message = "`failure_rate` must be more than 0%".to_owned();
        let help = Some("`circuit_breaker: none` turns the breaker off".to_owned());
        decoder.error(Code::OutOfRange, rate.at, message, "out of range", help);
    }
}

/// Most requests a breaker's window may remember.
pub const WINDOW_MAX: u32 = 10_000;
