//! `portcullis events`: what happens to a gateway, as it happens.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::remote::{Remote, Stream, Trouble, text};
use super::{Output, print};
use crate::events::Kind;

/// What an event is about is named before what happened to it.
const SUBJECTS: [&str; 4] = ["upstream", "endpoint", "revision", "generation"];

#[derive(Debug, Args)]
#[command(
    after_help = "The last 1000 are kept by the gateway, and shown first; what happens from then on follows.
A `gap` among them says that the reader paused for so long that some are lost.

Examples:
  portcullis events
  portcullis events --kind breaker
  portcullis events --json --kind config_reverted --count 1 | jq -r .detail"
)]
pub(super) struct Events {
    /// Only of this kind
    #[arg(long, value_name = "KIND", value_parser = Kind::ALL.map(Kind::as_str))]
    kind: Option<String>,
    /// End after so many (default: when interrupted)
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Events {
    pub(super) fn run(self) -> ExitCode {
        match self.follow() {
            Ok(()) => ExitCode::SUCCESS,
            Err(trouble) => trouble.tell(self.output),
        }
    }

    fn follow(&self) -> Result<(), Trouble> {
        let mut shown = 0;
        // No event has this place: the gateway says that there is a gap, and begins with the first that it kept.
        let mut is_first = true;
        let stream = Stream { path: &["events"], query: Vec::new(), from: Some("0") };
        self.remote.open()?.follow_on(&stream, |told| {
            let is_that_gap = std::mem::take(&mut is_first) && told.kind == "gap";
            if !is_that_gap && self.kind.as_ref().is_none_or(|kind| *kind == told.kind) {
                shown += 1;
                self.show(&told.kind, &told.data);
            }
            self.count.is_none_or(|count| shown < count)
        })
    }

    fn show(&self, kind: &str, data: &str) {
        let mut event: Value = serde_json::from_str(data).unwrap_or_default();
        if self.output.json {
            if let Some(fields) = event.as_object_mut() {
                fields.insert("kind".to_owned(), Value::from(kind));
            }
            print(&format!("{event}\n"));
        } else if !self.output.quiet {
            print(&line(kind, &event));
        }
    }
}

/// When, what, and the rest by name.
fn line(kind: &str, event: &Value) -> String {
    let mut line = format!("{} {kind}", text(&event["at"]));
    let mut fields: Vec<(&String, &Value)> = event.as_object().into_iter().flatten().collect();
    fields.sort_by_key(|(name, _)| {
        SUBJECTS.iter().position(|subject| subject == name).unwrap_or(SUBJECTS.len())
    });
    for (name, value) in fields {
        let says_nothing = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        if name != "at" && !says_nothing {
            let value = text(value);
            let quoted = if value.contains(char::is_whitespace) { format!("{value:?}") } else { value };
            // Writing to a string cannot fail.
            let _ = write!(line, " {name}={quoted}");
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_says_when_what_and_the_rest_by_name() {
        let event = json!({ "at": "T", "upstream": "orders", "endpoint": null, "added": ["a:1", "b:2"], "removed": [],
            "detail": "too many fail" });
        let expected = "T endpoints upstream=orders added=a:1,b:2 detail=\"too many fail\"\n";
        assert_eq!(line("endpoints", &event), expected);
    }
}
