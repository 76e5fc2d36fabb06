//! Step 9: what came of it: the verdict for the breakers, the metrics, and one line in the log.

use std::io::Write;
use std::time::Duration;

use pingora_core::{Error, ErrorSource};
use pingora_proxy::Session;
use portcullis_core::units::Moment;
use portcullis_core::upstream::Verdict;

use super::Gateway;
use super::exchange::{AnsweredBy, Arrival, AttemptOutcome, AttemptRecord, Exchange};
use super::shown;
use crate::telemetry::access_log::escape;
use crate::telemetry::recent::Weight;
use crate::{clock, entropy};

/// The status of an exchange whose client left before there was an answer, as nginx logs it.
const CLIENT_LEFT: u16 = 499;

/// Settles the exchange.
pub(super) fn record(session: &Session, error: Option<&Error>, exchange: &mut Exchange, gateway: &Gateway) {
    let now = clock::now();
    settle_attempt(error, exchange, now);
    let status = session.response_written().map_or(CLIENT_LEFT, |head| head.status.as_u16());
    let total = now.saturating_since(exchange.started);
    if let Some(routed) = exchange.routed()
        && let Some(instruments) = exchange.live.route(&routed.route)
    {
        let head = session.req_header();
        instruments.observe(&head.method, status, head.version, total, exchange.trail.upstream_time);
    }
    if let Some(log) = &gateway.access_log
        && (status >= 500 || log.keeps(entropy::number()))
    {
        log.lines.append(|line| write_line(line, session, exchange, status, total));
    }
    let went_wrong = status >= 500 || exchange.trail.rejection.is_some() || exchange.trail.failure.is_some();
    let weight = if went_wrong { Weight::Failure } else { Weight::Ordinary };
    gateway.recent.offer(now, weight, || shown::seen(session, exchange, status, total));
}

/// The attempt that brought the reply: a success unless the upstream broke off in its body.
fn settle_attempt(error: Option<&Error>, exchange: &mut Exchange, now: Moment) {
    let Some((lease, since)) = exchange.end_attempt() else { return };
    exchange.trail.upstream_time += now.saturating_since(since);
    let broke = error.is_some_and(|error| *error.esource() == ErrorSource::Upstream);
    let left = error.is_some_and(|error| *error.esource() == ErrorSource::Downstream);
    let answered = exchange.trail.attempts.last().map(|record| (record.outcome, record.took));
    match answered {
        Some((AttemptOutcome::Status(status), took)) => {
            lease.finish(if broke { Verdict::Failure } else { Verdict::Success }, now);
            let upstream = exchange.plan().map(|plan| plan.destination.upstream.clone());
            if let Some(instruments) = upstream.as_ref().and_then(|upstream| exchange.live.upstream(upstream))
            {
                instruments.answered(status, took);
            }
        }
        // The client left before the endpoint answered: nobody is to blame, the lease counts as cancelled.
        Some((AttemptOutcome::Pending, _)) | None if left => drop(lease),
        Some((AttemptOutcome::Pending | AttemptOutcome::Broke(_), _)) | None => {
            lease.finish(Verdict::Failure, now)
        }
    }
}

/// One line. Neither query, nor credential, nor any other field of the request is in it.
pub(super) fn write_line(
    out: &mut Vec<u8>,
    session: &Session,
    exchange: &Exchange,
    status: u16,
    total: Duration,
) {
    let head = session.req_header();
    let mut line = Line { out, first: true };
    line.out.push(b'{');
    line.text("ts", &clock::rfc3339(clock::since_epoch()));
    line.text("id", exchange.id.as_str());
    if let Some(arrival) = exchange.arrival() {
        line.arrival(arrival);
    }
    line.text("method", head.method.as_str());
    line.text("path", exchange.arrival().map_or_else(|| head.uri.path(), |arrival| &arrival.path));
    line.raw("status", status);
    line.raw("duration_ms", Millis(total));
    line.raw("upstream_ms", Millis(exchange.trail.upstream_time));
    line.raw("bytes_in", session.body_bytes_read());
    line.raw("bytes_out", session.body_bytes_sent());
    if let Some(routed) = exchange.routed() {
        line.text("route", &routed.route.name);
        if let Some(identity) = &routed.identity {
            line.text("consumer", identity.name());
        }
    }
    line.answered(exchange);
    line.attempts(&exchange.trail.attempts);
    line.out.push(b'}');
}

/// A JSON object being written. Writing into memory cannot fail.
struct Line<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl Line<'_> {
    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        let _ = write!(self.out, "\"{key}\":");
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        self.out.push(b'"');
        escape(self.out, value);
        self.out.push(b'"');
    }

    fn raw(&mut self, key: &str, value: impl std::fmt::Display) {
        self.key(key);
        let _ = write!(self.out, "{value}");
    }

    fn arrival(&mut self, arrival: &Arrival) {
        self.key("trace_id");
        let _ = write!(self.out, "\"{:032x}\"", arrival.trace.trace_id);
        self.text("listener", &arrival.connection.listener);
        self.key("client");
        let _ = write!(self.out, "\"{}\"", arrival.client);
        self.text("host", &arrival.host);
        self.text("protocol", protocol(arrival));
    }

    /// Who ended the exchange in the upstream's place, and why.
    fn answered(&mut self, exchange: &Exchange) {
        match &exchange.trail.answered_by {
            None => {}
            Some(AnsweredBy::Gateway) => self.text("answered_by", "gateway"),
            Some(AnsweredBy::Fallback) => self.text("answered_by", "fallback"),
            Some(AnsweredBy::Plugin(plugin)) => {
                self.text("answered_by", "plugin");
                self.text("plugin", plugin);
            }
        }
        let reason = match (&exchange.trail.rejection, &exchange.trail.failure) {
            (Some(rejection), _) => Some((rejection.code(), rejection.blame(), rejection.answer().detail)),
            (None, Some(failure)) => Some((failure.code(), failure.blame(), failure.answer().detail)),
            (None, None) => None,
        };
        if let Some((code, blame, detail)) = reason {
            self.text("code", code);
            self.text("blame", blame.as_str());
            self.text("reason", &detail);
        }
    }

    fn attempts(&mut self, attempts: &[AttemptRecord]) {
        self.key("attempts");
        self.out.push(b'[');
        for (n, record) in attempts.iter().enumerate() {
            if n > 0 {
                self.out.push(b',');
            }
            self.attempt(record);
        }
        self.out.push(b']');
    }

    fn attempt(&mut self, record: &AttemptRecord) {
        self.out.push(b'{');
        let mut line = Line { out: self.out, first: true };
        line.text("upstream", &record.upstream);
        line.key("endpoint");
        let _ = write!(line.out, "\"{}\"", record.endpoint);
        if let Some(licence) = record.licence {
            line.text("licence", licence.as_str());
        }
        match record.outcome {
            AttemptOutcome::Pending => {}
            AttemptOutcome::Status(status) => line.raw("status", status),
            AttemptOutcome::Broke(failure) => line.text("failure", failure.code()),
        }
        line.raw("ms", Millis(record.took));
        line.out.push(b'}');
    }
}

fn protocol(arrival: &Arrival) -> &'static str {
    match arrival.version {
        portcullis_core::head::Version::Http10 => "HTTP/1.0",
        portcullis_core::head::Version::Http11 => "HTTP/1.1",
        portcullis_core::head::Version::Http2 => "HTTP/2",
    }
}

/// A duration as milliseconds with three decimals.
struct Millis(Duration);

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let micros = self.0.as_micros();
        write!(f, "{}.{:03}", micros / 1000, micros % 1000)
    }
}
