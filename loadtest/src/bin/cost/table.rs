//! The result as a table for people and as rows for programs.

use std::fmt::Write;

use crate::statistics::{Estimate, median};
use crate::windows::Window;

/// One figure beside its limit.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub(crate) what: &'static str,
    /// As shown.
    pub(crate) found: String,
    /// As shown; `None` where nothing was promised.
    pub(crate) limit: Option<String>,
    pub(crate) verdict: Verdict,
}

/// Whether a figure keeps its promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It does.
    Pass,
    /// Its median does or does not, and its interval reaches over the limit.
    Unsure { passes: bool },
    /// It does not.
    Fail,
    /// Nothing was promised.
    Shown,
}

impl Figure {
    /// A ratio with its interval.
    pub(crate) fn ratio(what: &'static str, found: Estimate, limit: Option<f64>) -> Self {
        let verdict = match limit {
            None => Verdict::Shown,
            Some(limit) if found.high <= limit => Verdict::Pass,
            Some(limit) if found.low > limit => Verdict::Fail,
            Some(limit) => Verdict::Unsure { passes: found.median <= limit },
        };
        let text = format!("{:.3} (90 %: {:.3} to {:.3})", found.median, found.low, found.high);
        Self { what, found: text, limit: limit.map(|limit| format!("≤ {limit:.2}")), verdict }
    }

    /// A plain number with its unit.
    pub(crate) fn number(what: &'static str, found: f64, limit: Option<f64>, unit: &str) -> Self {
        let verdict = match limit {
            None => Verdict::Shown,
            Some(limit) if found <= limit => Verdict::Pass,
            Some(_) => Verdict::Fail,
        };
        let limit = limit.map(|limit| format!("≤ {limit:.0} {unit}"));
        Self { what, found: format!("{found:.1} {unit}"), limit, verdict }
    }

    /// Whether the median, or the number, is within the limit.
    pub(crate) fn passes(&self) -> bool {
        match self.verdict {
            Verdict::Pass | Verdict::Shown | Verdict::Unsure { passes: true } => true,
            Verdict::Fail | Verdict::Unsure { passes: false } => false,
        }
    }
}

impl Verdict {
    fn text(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Unsure { passes: true } => "pass, but the interval crosses the limit",
            Self::Unsure { passes: false } => "FAIL, but the interval crosses the limit",
            Self::Fail => "FAIL",
            Self::Shown => "",
        }
    }
}

/// The figures as a Markdown table.
pub(crate) fn figures(figures: &[Figure]) -> String {
    let mut text = "| figure | found | limit | |\n|---|---|---|---|\n".to_owned();
    for figure in figures {
        let limit = figure.limit.as_deref().unwrap_or("");
        // Writing to a string cannot fail, here and below.
        let _ =
            writeln!(text, "| {} | {} | {limit} | {} |", figure.what, figure.found, figure.verdict.text());
    }
    text
}

/// Medians of each entry as a Markdown table.
pub(crate) fn entries(windows: &[Window], blocks: &[usize], names: &[&str]) -> String {
    let mut text = "| entry | CPU-µs/request | p50 ms | p99 ms |\n|---|---|---|---|\n".to_owned();
    for name in names {
        let of = |value: fn(&Window) -> f64| {
            let counted =
                windows.iter().filter(|window| window.entry == *name && blocks.contains(&window.block));
            median(&counted.map(value).collect::<Vec<_>>()).unwrap_or(f64::NAN)
        };
        #[expect(clippy::cast_precision_loss, reason = "latencies in microseconds")]
        let (p50, p99) =
            (of(|window| window.p50_us as f64 / 1000.0), of(|window| window.p99_us as f64 / 1000.0));
        let _ = writeln!(text, "| {name} | {:.1} | {p50:.2} | {p99:.2} |", of(Window::cpu_us_per_request));
    }
    text
}

/// The raw windows as CSV.
pub(crate) fn csv(windows: &[Window]) -> String {
    let mut text =
        "block,entry,requests,cpu_ns,seconds,cpu_us_per_request,stolen,driver_busy,p50_us,p99_us,failed\n"
            .to_owned();
    for w in windows {
        let cost = w.cpu_us_per_request();
        let _ = writeln!(
            text,
            "{},{},{},{},{:.4},{cost:.3},{:.4},{:.4},{},{},{}",
            w.block,
            w.entry,
            w.requests,
            w.cpu_ns,
            w.seconds,
            w.stolen,
            w.driver_busy,
            w.p50_us,
            w.p99_us,
            w.failed
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_judged_by_its_interval() {
        let judged =
            |low, median, high| Figure::ratio("x", Estimate { median, low, high }, Some(1.15)).verdict;
        assert_eq!(judged(1.05, 1.10, 1.14), Verdict::Pass);
        assert_eq!(judged(1.05, 1.10, 1.20), Verdict::Unsure { passes: true });
        assert_eq!(judged(1.10, 1.16, 1.20), Verdict::Unsure { passes: false });
        assert_eq!(judged(1.16, 1.20, 1.30), Verdict::Fail);
    }
}
