//! Customers in numbers: the load driver as a process that sends until it is told to stop and
//! checks every answer.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncReadExt;

use super::broken::{Broken, ensure};
use super::processes::{Process, Program, Programs};

/// Requests a second.
pub(super) const RATE: u32 = 200;
/// A load that nobody stops stops itself.
const LOAD_MAX: Duration = Duration::from_secs(120);
/// Longest wait for the report after the end of the load.
const REPORT_WAIT: Duration = Duration::from_secs(30);
/// Bytes of a report.
const REPORT_BYTES_MAX: u64 = 1 << 20;
/// The header by which the gateway says, when told to, where each attempt went.
const SPREAD_HEADER: &str = "x-gateway-attempts";

/// A running load.
#[derive(Debug)]
pub(super) struct Load(Process);

/// What a load saw, as far as the story needs it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Report {
    pub(super) sent: u64,
    ok: u64,
    pub(super) failed: u64,
    failed_by_kind: BTreeMap<String, Failures>,
    latency: Latency,
    spread: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Failures {
    count: u64,
    examples: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct Latency {
    p50_us: u64,
    p99_us: u64,
}

impl Load {
    /// Asks for `url` until stopped; every answer must be 200.
    pub(super) fn start(programs: &Programs, url: &str) -> Result<Self, Broken> {
        let mut command = programs.command(Program::Load);
        command.args(["--url", url, "--expect", "200", "--spread-header", SPREAD_HEADER, "--json"]);
        command.args(["--rate", &RATE.to_string(), "--until-stdin-closes"]);
        command.args(["--max-duration", &format!("{}s", LOAD_MAX.as_secs())]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        programs.start("load", command).map(Self)
    }

    /// Ends the load and waits for its report.
    pub(super) async fn stop(self) -> Result<Report, Broken> {
        let Self(mut process) = self;
        drop(process.child.stdin.take());
        let report = tokio::time::timeout(REPORT_WAIT, read(&mut process)).await;
        report.unwrap_or_else(|_| {
            Err(Broken::new("the load driver did not report")).map_err(|broken| broken.see("load"))
        })
    }

    /// Ends the load; every answer must have been right.
    pub(super) async fn stop_clean(self) -> Result<Report, Broken> {
        let report = self.stop().await?;
        ensure(report.sent > 0 && report.failed == 0, || report.failures())?;
        Ok(report)
    }
}

async fn read(process: &mut Process) -> Result<Report, Broken> {
    let mut text = String::new();
    if let Some(stdout) = process.child.stdout.take() {
        let read = stdout.take(REPORT_BYTES_MAX).read_to_string(&mut text).await;
        read.map_err(|error| Broken::new(format!("the load driver's report cannot be read: {error}")))?;
    }
    // How it exits says nothing that the report does not.
    let _ = process.child.wait().await;
    serde_json::from_str(&text).map_err(|error| {
        Broken::new(format!("the load driver's report cannot be understood: {error}")).see("load")
    })
}

impl Report {
    /// In a line, for people.
    pub(super) fn line(&self) -> String {
        let ms = |us: u64| Duration::from_micros(us).as_secs_f64() * 1e3;
        format!(
            "{} requests at {RATE} a second: {} right, {} failed; p50 {:.1} ms, p99 {:.1} ms",
            self.sent,
            self.ok,
            self.failed,
            ms(self.latency.p50_us),
            ms(self.latency.p99_us)
        )
    }

    fn failures(&self) -> String {
        let kinds = self.failed_by_kind.iter().map(|(kind, failures)| {
            let example = failures.examples.first().map(String::as_str).unwrap_or_default();
            format!("{} × {kind} ({example})", failures.count)
        });
        format!("{} of {} requests failed: {}", self.failed, self.sent, kinds.collect::<Vec<_>>().join("; "))
    }

    /// Answers by the endpoint that gave them.
    pub(super) fn by_endpoint(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for (attempts, count) in &self.spread {
            *counts.entry(answered_by(attempts).to_owned()).or_default() += count;
        }
        counts
    }
}

/// The endpoint of the last attempt in `127.0.0.1:4001;licence=first, 127.0.0.1:4002;licence=…`.
fn answered_by(attempts: &str) -> &str {
    let last = attempts.rsplit(',').next().unwrap_or_default();
    last.split(';').next().unwrap_or_default().trim()
}

/// Whether `n` endpoints answered, each within `tolerance` of its equal share.
pub(super) fn is_even(counts: &BTreeMap<String, u64>, n: u32, tolerance: f64) -> bool {
    // Counts of requests are far below 2^53.
    let total = counts.values().sum::<u64>() as f64;
    let fair = total / f64::from(n);
    counts.len() == n as usize
        && counts.values().all(|&count| (count as f64 - fair).abs() <= fair * tolerance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn the_last_attempt_is_the_one_that_answered() {
        assert_eq!(answered_by("127.0.0.1:1;licence=first"), "127.0.0.1:1");
        assert_eq!(answered_by("127.0.0.1:1;licence=first, 127.0.0.1:2;licence=no_byte_sent"), "127.0.0.1:2");
    }

    #[test]
    fn answers_are_counted_by_endpoint_however_many_attempts_they_took() {
        let spread = counts(&[("a:1;licence=first", 3), ("b:2;licence=first, a:1;licence=no_byte_sent", 2)]);
        let report = Report { spread, ..Report::default() };
        assert_eq!(report.by_endpoint(), counts(&[("a:1", 5)]));
    }

    #[test]
    fn a_spread_is_even_only_if_everybody_has_a_fair_share() {
        assert!(is_even(&counts(&[("a", 100), ("b", 110), ("c", 90)]), 3, 0.25));
        assert!(!is_even(&counts(&[("a", 100), ("b", 140), ("c", 60)]), 3, 0.25));
        assert!(!is_even(&counts(&[("a", 100), ("b", 100)]), 3, 0.25), "one endpoint is missing");
    }

    #[test]
    fn a_report_with_failures_names_their_kinds() {
        let text = r#"{ "sent": 5, "ok": 3, "failed": 2, "latency": { "p50_us": 1, "p99_us": 2, "max_us": 3 },
            "failed_by_kind": { "status_503": { "count": 2, "examples": ["request 4: busy"] } }, "spread": {} }"#;
        let report: Report = serde_json::from_str(text).unwrap();
        assert_eq!(report.failures(), "2 of 5 requests failed: 2 × status_503 (request 4: busy)");
    }
}
