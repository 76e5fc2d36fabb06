//! `portcullis reload`, `stop`, `health`, `log-level`: the process, through its admin API.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::Method;
use portcullis_schema::parse_duration;
use serde_json::{Value, json};

use super::Output;
use super::remote::{Ask, Remote, Trouble, end, text};

#[derive(Debug, Args)]
#[command(after_help = "Example:
  portcullis reload && echo applied")]
pub(super) struct Reload {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(
    after_help = "As SIGTERM: no new connection is taken, requests in progress finish, the process ends.

Example:
  portcullis stop --grace 10s"
)]
pub(super) struct Stop {
    /// Longest wait for requests in progress (default: what the gateway was started with)
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    grace: Option<Duration>,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exits with 0 while the gateway takes traffic, with 1 otherwise. For a container's HEALTHCHECK:
  HEALTHCHECK CMD [\"portcullis\", \"health\", \"-q\"]"
)]
pub(super) struct Health {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  portcullis log-level                    which holds, and until when
  portcullis log-level debug --for 10m    then what the start said holds again
  portcullis log-level start              at once")]
pub(super) struct LogLevel {
    /// error, warn, info, debug or trace; or start, for what the start said
    #[arg(value_name = "LEVEL", value_parser = ["error", "warn", "info", "debug", "trace", "start"])]
    level: Option<String>,
    /// How long it holds, at most 24h (default 10m)
    #[arg(long = "for", value_name = "TIME", requires = "level", value_parser = parse_duration)]
    lasts: Option<Duration>,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Reload {
    pub(super) fn run(self) -> ExitCode {
        let reloaded = self.remote.open().and_then(|client| client.ask(Method::POST, Ask::of(&["reload"])));
        end(reloaded.map(|answer| answer.value), self.output, |done| {
            let warnings = done["warnings"].as_str().unwrap_or_default();
            format!("{warnings}generation {}: {}\n", text(&done["generation"]), text(&done["changes"]))
        })
    }
}

impl Stop {
    pub(super) fn run(self) -> ExitCode {
        let wish = json!({ "grace": self.grace.map(written) });
        let ask = Ask::of(&["drain"]).json(&wish);
        let stopped = self.remote.open().and_then(|client| client.ask(Method::POST, ask));
        end(stopped.map(|answer| answer.value), self.output, |done| {
            format!("draining, {} connections open\n", text(&done["connections"]))
        })
    }
}

impl Health {
    pub(super) fn run(self) -> ExitCode {
        let status = self.remote.open().and_then(|client| client.get(Ask::of(&["status"])));
        let ready = status.and_then(|status| match status["phase"].as_str() {
            Some("ready") => Ok(json!({ "phase": "ready" })),
            phase => {
                let detail = format!("the gateway is {}", phase.unwrap_or("not understood"));
                let problem = json!({ "code": "not_ready", "detail": detail, "phase": phase });
                Err(Trouble::Refused { status: 503, problem })
            }
        });
        end(ready, self.output, |_| "ready\n".to_owned())
    }
}

impl LogLevel {
    pub(super) fn run(self) -> ExitCode {
        let answered = self.remote.open().and_then(|client| match &self.level {
            None => client.get(Ask::of(&["log-level"])),
            Some(level) => {
                let wanted = json!({ "level": level, "for": self.lasts.map(written) });
                client.ask(Method::PUT, Ask::of(&["log-level"]).json(&wanted)).map(|answer| answer.value)
            }
        });
        end(answered, self.output, show_level)
    }
}

fn show_level(level: &Value) -> String {
    match level["until"].as_str() {
        Some(until) => {
            format!("{} until {until}, then {}\n", text(&level["level"]), text(&level["at_start"]))
        }
        None => format!("as at the start: {}\n", text(&level["at_start"])),
    }
}

/// As the API reads it.
fn written(span: Duration) -> String {
    format!("{}ms", span.as_millis())
}
