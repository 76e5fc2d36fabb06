//! `portcullis tap`: requests as they end.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::remote::{Remote, Stream, Trouble, text};
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

impl Tap {
    pub(super) fn run(self) -> ExitCode {
        match self.follow() {
            Ok(()) => ExitCode::SUCCESS,
            Err(trouble) => trouble.tell(self.output),
        }
    }

    fn follow(&self) -> Result<(), Trouble> {
        let mut shown = 0;
        let query = vec![
            ("route", self.route.clone()),
            ("status", self.status.clone()),
            ("method", self.method.clone()),
            ("min_ms", self.min_ms.map(|ms| ms.to_string())),
        ];
        let stream = Stream { path: &["requests", "stream"], query, from: None };
        self.remote.open()?.follow_on(&stream, |told| {
            if told.kind == "request" {
                shown += 1;
                self.show(&told.data);
            }
            self.count.is_none_or(|count| shown < count)
        })
    }

    fn show(&self, data: &str) {
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
