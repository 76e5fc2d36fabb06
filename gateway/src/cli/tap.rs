//! `portcullis tap`: requests as they end.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::remote::{Ask, Remote, Trouble, text};
use super::{Output, print};

#[derive(Debug, Args)]
#[command(
    after_help = "Neither queries nor credentials are shown. At most 500 requests a second are, failures first.

Examples:
  portcullis tap --status 5xx
  portcullis tap --route orders --min-ms 250
  portcullis tap --json --count 100 | jq .duration_ms"
)]
pub(super) struct Tap {
    /// Only of this route
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Only with this status, such as 404, or of this class, such as 5xx
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// Only of this method
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// Only those that took at least this long, in milliseconds
    #[arg(long, value_name = "MS")]
    min_ms: Option<u32>,
    /// End after so many (default: when interrupted)
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

/// How a stream went on.
#[derive(Debug, Default)]
struct Progress {
    shown: u64,
    /// The last event, to go on from.
    last: Option<String>,
    /// The gateway let us go because we were too slow.
    lagged: bool,
}

impl Tap {
    pub(super) fn run(self) -> ExitCode {
        match self.follow() {
            Ok(()) => ExitCode::SUCCESS,
            Err(trouble) => trouble.tell(self.output),
        }
    }

    /// Follows the stream, and again from where it was if it was too fast.
    fn follow(&self) -> Result<(), Trouble> {
        let client = self.remote.open()?;
        let mut progress = Progress::default();
        loop {
            progress.lagged = false;
            let mut ask = Ask::of(&["requests", "stream"])
                .with("route", self.route.clone())
                .with("status", self.status.clone())
                .with("method", self.method.clone())
                .with("min_ms", self.min_ms.map(|ms| ms.to_string()));
            ask.headers.extend(progress.last.clone().map(|last| ("Last-Event-ID", last)));
            client.follow(ask, |told| {
                progress.last = told.id.clone().or(progress.last.take());
                match told.kind.as_str() {
                    "request" => self.show(&told.data, &mut progress),
                    "lagged" => progress.lagged = true,
                    _ => {}
                }
                self.count.is_none_or(|count| progress.shown < count)
            })?;
            if !progress.lagged {
                return Ok(());
            }
        }
    }

    fn show(&self, data: &str, progress: &mut Progress) {
        progress.shown += 1;
        if self.output.json {
            print(&format!("{data}\n"));
        } else if !self.output.quiet {
            print(&line(&serde_json::from_str(data).unwrap_or_default()));
        }
    }
}

/// When, what, how it ended, where it went, and its id.
fn line(request: &Value) -> String {
    let attempts = request["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let endpoint =
        attempts.last().map_or_else(String::new, |attempt| format!(" → {}", text(&attempt["endpoint"])));
    let why = request["code"].as_str().map(|code| format!(" {code}")).unwrap_or_default();
    let retries = match attempts.len() {
        0 | 1 => String::new(),
        n => format!(" ({n} attempts)"),
    };
    format!(
        "{} {} {}{} {} {} ms {}{endpoint}{retries}{why} {}\n",
        text(&request["ts"]),
        text(&request["method"]),
        request["host"].as_str().unwrap_or_default(),
        request["path"].as_str().unwrap_or_default(),
        text(&request["status"]),
        text(&request["duration_ms"]),
        text(&request["route"]),
        text(&request["id"]),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_says_what_came_of_a_request() {
        let attempts = json!([{ "endpoint": "10.0.0.1:80" }, { "endpoint": "10.0.0.2:80" }]);
        let request = json!({
            "ts": "T", "id": "abc", "method": "GET", "host": "shop.test", "path": "/a", "status": 503,
            "duration_ms": 1.5, "route": "a", "code": "upstream_reset", "attempts": attempts,
        });
        let expected = "T GET shop.test/a 503 1.5 ms a → 10.0.0.2:80 (2 attempts) upstream_reset abc\n";
        assert_eq!(line(&request), expected);
    }
}
