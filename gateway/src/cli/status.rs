//! `portcullis status`: how a running gateway is, at a glance.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::Output;
use super::remote::{Ask, Remote, end, table, text};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  portcullis status
  portcullis status --admin unix:/run/portcullis/admin.sock
  portcullis status --json | jq .generation")]
pub(super) struct Status {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Status {
    pub(super) fn run(self) -> ExitCode {
        end(self.remote.open().and_then(|client| client.get(Ask::of(&["status"]))), self.output, show)
    }
}

/// Writing to a string cannot fail.
fn show(status: &Value) -> String {
    let mut out = String::new();
    let uptime = status["uptime_seconds"].as_f64().unwrap_or_default();
    for (name, value) in [
        ("phase", text(&status["phase"])),
        ("uptime", span(uptime)),
        ("generation", text(&status["generation"])),
        ("routes", text(&status["routes"])),
        ("upstreams", text(&status["upstreams"])),
        ("connections", text(&status["connections"])),
    ] {
        let _ = writeln!(out, "{name:12} {value}");
    }
    // Of gateways that know of trials.
    if let Some(configuration) = status["configuration"].as_object() {
        let revision = configuration.get("revision").map(text).unwrap_or_default();
        let _ = writeln!(out, "{:12} {revision}", "revision");
        if let Some(pending) = configuration.get("pending").filter(|pending| pending.is_object()) {
            let (revision, until) = (text(&pending["revision"]), text(&pending["until"]));
            let _ =
                writeln!(out, "{:12} revision {revision}, reverted at {until} unless confirmed", "on trial");
        }
    }
    if status["last_reload"].is_object() {
        let last = &status["last_reload"];
        let word = if last["applied"] == true { "applied" } else { "refused" };
        let _ =
            writeln!(out, "{:12} {word} at {}: {}", "last reload", text(&last["at"]), text(&last["detail"]));
    }
    let listeners: Vec<[String; 4]> = rows(&status["listeners"], ["name", "address", "tls", "connections"]);
    let _ = write!(out, "\n{}", table(["listener", "address", "tls", "connections"], &listeners));
    out.push('\n');
    for check in status["checks"].as_array().into_iter().flatten() {
        let mark = if check["ok"] == true { "[+]" } else { "[-]" };
        let _ = writeln!(out, "{mark} {}: {}", text(&check["name"]), text(&check["found"]));
    }
    out
}

/// The cells of each item; an empty text is nothing, as a missing one.
pub(super) fn rows<const N: usize>(items: &Value, keys: [&str; N]) -> Vec<[String; N]> {
    let items = items.as_array().into_iter().flatten();
    let cell = |value: &Value| if value == "" { text(&Value::Null) } else { text(value) };
    items.map(|item| keys.map(|key| cell(&item[key]))).collect()
}

/// Seconds as people say them: the two largest units.
fn span(seconds: f64) -> String {
    // Whole seconds of an uptime fit; what is negative or no number is shown as none.
    let seconds = seconds.max(0.0) as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_item_does_not_say_is_a_dash() {
        let items = json!([{ "revision": 0, "author": "", "reason": "files" }]);
        assert_eq!(rows(&items, ["revision", "at", "author", "reason"]), [["0", "-", "-", "files"]]);
    }

    #[test]
    fn a_span_is_said_in_its_two_largest_units() {
        for (seconds, said) in [
            (0.4, "0s"),
            (59.9, "59s"),
            (61.0, "1m 1s"),
            (7_260.0, "2h 1m"),
            (180_000.0, "2d 2h"),
            (-1.0, "0s"),
        ] {
            assert_eq!(span(seconds), said);
        }
    }
}
