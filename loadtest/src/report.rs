//! What a load saw, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// What a load saw. Times in microseconds unless the name says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Requests that became due and were handed on.
    pub sent: u64,
    /// Right answers.
    pub ok: u64,
    /// Wrong answers, and requests without one.
    pub failed: u64,
    /// The same by kind, each with its first examples.
    pub failed_by_kind: BTreeMap<String, Failures>,
    /// From the moment a request was due to the end of its answer; right answers only.
    pub latency: Latency,
    /// How late the driver itself handed requests on. Latencies much above this are the server's.
    pub driver_lag: Latency,
    /// Answers by status, right or wrong.
    pub statuses: BTreeMap<u16, u64>,
    /// Answers by instance, from the header that names it.
    pub spread: BTreeMap<String, u64>,
    /// Connections that were opened.
    pub connections_opened: u64,
    /// Requests a second that were asked for.
    pub rate_wanted_per_s: f64,
    /// Requests a second that were handed on.
    pub rate_reached_per_s: f64,
    /// When it began, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// When the last answer was in, in milliseconds since 1970.
    pub ended_unix_ms: u64,
}

/// Failures of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// How many.
    pub count: u64,
    /// What the first ones looked like.
    pub examples: Vec<String>,
}

/// A distribution of times, in microseconds, to three digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Shortest.
    pub min_us: u64,
    /// Mean.
    pub mean_us: u64,
    /// Half were at most this.
    pub p50_us: u64,
    /// 90 of 100 were at most this.
    pub p90_us: u64,
    /// 99 of 100.
    pub p99_us: u64,
    /// 999 of 1000.
    pub p999_us: u64,
    /// Longest.
    pub max_us: u64,
}

impl Latency {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a mean of positive times below 2^53"
    )]
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        Self {
            min_us: histogram.min(),
            mean_us: histogram.mean() as u64,
            p50_us: histogram.value_at_quantile(0.5),
            p90_us: histogram.value_at_quantile(0.9),
            p99_us: histogram.value_at_quantile(0.99),
            p999_us: histogram.value_at_quantile(0.999),
            max_us: histogram.max(),
        }
    }
}

impl Report {
    /// Whether something was sent and every answer was right.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.sent > 0 && self.failed == 0
    }

    /// A few lines for a person.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut text = format!(
            "{} sent at {:.1}/s (wanted {:.1}/s): {} right, {} failed\n",
            self.sent, self.rate_reached_per_s, self.rate_wanted_per_s, self.ok, self.failed
        );
        let ms = |us: u64| Milliseconds(us);
        let l = &self.latency;
        let (p50, p90, p99, p999, max) =
            (ms(l.p50_us), ms(l.p90_us), ms(l.p99_us), ms(l.p999_us), ms(l.max_us));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "latency: p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p999}, max {max}");
        let lag = &self.driver_lag;
        let _ = writeln!(
            text,
            "driver lag: p50 {}, p99 {}, max {}",
            ms(lag.p50_us),
            ms(lag.p99_us),
            ms(lag.max_us)
        );
        let _ = writeln!(text, "connections opened: {}", self.connections_opened);
        for (name, count) in &self.spread {
            let _ = writeln!(text, "answered by {name}: {count}");
        }
        for (kind, failures) in &self.failed_by_kind {
            let _ = writeln!(text, "failed, {kind}: {}", failures.count);
            for example in &failures.examples {
                let _ = writeln!(text, "  {example}");
            }
        }
        text
    }
}

/// Microseconds, shown as milliseconds.
struct Milliseconds(u64);

impl std::fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03} ms", self.0 / 1000, self.0 % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_survives_json() {
        let mut report = Report { sent: 3, ok: 2, failed: 1, ..Report::default() };
        report
            .failed_by_kind
            .insert("status_503".to_owned(), Failures { count: 1, examples: vec!["x".to_owned()] });
        report.statuses.insert(503, 1);
        report.spread.insert("a".to_owned(), 2);
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
        assert!(!report.is_clean());
        assert!(report.summary().contains("failed, status_503: 1"));
    }

    #[test]
    fn a_load_that_sent_nothing_proves_nothing() {
        assert!(!Report::default().is_clean());
    }
}
