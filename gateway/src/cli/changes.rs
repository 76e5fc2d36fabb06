//! `portcullis diff`, `apply`, `confirm`, `revert`, `rollback`, `history`: a configuration put into a running gateway.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::Method;
use portcullis_schema::{FILE_BYTES_MAX, parse_duration};
use serde_json::Value;

use super::remote::{Answer, Ask, Client, Remote, Trouble, end, table, text};
use super::status::rows;
use super::{ConfigFile, MAIN_FILE, Output};

/// What a configuration is sent as.
const YAML: &str = "application/yaml";

#[derive(Debug, Args)]
#[command(
    after_help = "The file is compared as a whole, and what differs is printed as a JSON merge patch; nothing is changed.

Example:
  portcullis diff -c gateway.yaml"
)]
pub(super) struct Diff {
    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The file replaces what is in use, as changes laid over the gateway's own files. Somebody else's change in between
is a conflict (exit code 4), and so is a configuration on trial.

With --fold the gateway reads its own files again and drops every change that is laid over them: put what is to stay
into the files first. A file named with -c must then be the gateway's main file, to the byte.

Examples:
  portcullis apply -c gateway.yaml --dry-run
  portcullis apply -c gateway.yaml --confirm-within 60s   reverts by itself unless `portcullis confirm` comes,
                                                          or when more requests fail or answers get slower
  portcullis apply -c gateway.yaml --reason 'orders v2'
  portcullis apply --fold --dry-run                       what the files alone would change
  portcullis apply --fold"
)]
pub(super) struct Apply {
    /// The configuration's main file (default: gateway.yaml; with --fold none)
    #[arg(short = 'c', long = "config", value_name = "FILE", env = "PORTCULLIS_CONFIG")]
    config: Option<PathBuf>,
    /// Drop what was changed through the API, and put the gateway's files into use as they are on its disk
    #[arg(long)]
    fold: bool,
    /// Put it into use on trial: it reverts by itself unless it is confirmed within this time (5s to 1h)
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    confirm_within: Option<Duration>,
    /// Say what it would change, and change nothing
    #[arg(long, conflicts_with = "confirm_within")]
    dry_run: bool,
    /// What for; kept in the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  portcullis apply -c gateway.yaml --confirm-within 60s && ./smoke-test && portcullis confirm")]
pub(super) struct Confirm {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  portcullis revert")]
pub(super) struct Revert {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  portcullis history
  portcullis rollback 12
  portcullis rollback 0 --confirm-within 60s   the files alone, on trial")]
pub(super) struct Rollback {
    /// The revision, by its number in the history; 0 is the files alone
    #[arg(value_name = "REV")]
    revision: u64,
    /// Put it into use on trial: it reverts by itself unless it is confirmed within this time (5s to 1h)
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    confirm_within: Option<Duration>,
    /// Say what it would change, and change nothing
    #[arg(long, conflicts_with = "confirm_within")]
    dry_run: bool,
    /// What for; kept in the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  portcullis history --json | jq '.items[0]'")]
pub(super) struct History {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Diff {
    pub(super) fn run(self) -> ExitCode {
        let compared = read(&self.config.path).and_then(|text| {
            let ask = Ask { body: Some((YAML, text)), ..Ask::of(&["config", "diff"]) };
            self.remote.open()?.ask(Method::POST, ask).map(|answer| answer.value)
        });
        let compared = compared.map_err(|trouble| trouble.about(&self.config.path));
        end(compared, self.output, |found| {
            let (warnings, patch) = (found["warnings"].as_str().unwrap_or_default(), &found["patch"]);
            let patch = if patch.as_object().is_some_and(|patch| !patch.is_empty()) {
                format!("{patch:#}\n")
            } else {
                String::new()
            };
            format!("{warnings}{}\n{patch}", text(&found["changes"]))
        })
    }
}

impl Apply {
    pub(super) fn run(self) -> ExitCode {
        let applied = self.text().and_then(|text| self.apply(&self.remote.open()?, text));
        let sent = self.config.as_deref().unwrap_or(Path::new(MAIN_FILE));
        let applied = applied.map_err(|trouble| trouble.about(sent));
        end(applied.map(|answer| answer.value), self.output, changed)
    }

    /// What is sent along; nothing if the gateway's files are taken as they are.
    fn text(&self) -> Result<Option<Vec<u8>>, Trouble> {
        match &self.config {
            Some(path) => read(path).map(Some),
            None if self.fold => Ok(None),
            None => read(Path::new(MAIN_FILE)).map(Some),
        }
    }

    fn apply(&self, client: &Client, text: Option<Vec<u8>>) -> Result<Answer, Trouble> {
        // What is replaced is what was there a moment ago, and nothing that came since.
        let in_use = client.ask(Method::GET, Ask::of(&["config"]))?;
        let (method, path): (_, &[&str]) =
            if self.fold { (Method::POST, &["config", "fold"]) } else { (Method::PUT, &["config"]) };
        let mut ask = options(path, self.confirm_within, self.dry_run, self.reason.as_deref());
        ask.headers.extend(in_use.etag.map(|etag| ("If-Match", etag)));
        ask.body = text.map(|text| (YAML, text));
        client.ask(method, ask)
    }
}

impl Confirm {
    pub(super) fn run(self) -> ExitCode {
        settle(&self.remote, self.output, "confirm", "stays")
    }
}

impl Revert {
    pub(super) fn run(self) -> ExitCode {
        settle(&self.remote, self.output, "revert", "is in use again")
    }
}

impl Rollback {
    pub(super) fn run(self) -> ExitCode {
        let revision = self.revision.to_string();
        let path = ["config", "rollback", revision.as_str()];
        let ask = options(&path, self.confirm_within, self.dry_run, self.reason.as_deref());
        let back = self.remote.open().and_then(|client| client.ask(Method::POST, ask));
        end(back.map(|answer| answer.value), self.output, changed)
    }
}

impl History {
    pub(super) fn run(self) -> ExitCode {
        let kept = self.remote.open().and_then(|client| client.get(Ask::of(&["config", "history"])));
        end(kept, self.output, |history| {
            let keys = ["revision", "at", "author", "in_use", "reason"];
            let kept =
                table(["revision", "at", "author", "in use", "reason"], &rows(&history["items"], keys));
            format!("{kept}{}", on_trial(&history["pending"]))
        })
    }
}

fn settle(remote: &Remote, output: Output, verb: &str, what: &str) -> ExitCode {
    let settled = remote.open().and_then(|client| client.ask(Method::POST, Ask::of(&["config", verb])));
    end(settled.map(|answer| answer.value), output, |done| {
        format!("revision {} {what}\n", text(&done["revision"]))
    })
}

fn options<'a>(
    path: &'a [&'a str],
    confirm_within: Option<Duration>,
    dry_run: bool,
    reason: Option<&str>,
) -> Ask<'a> {
    Ask::of(path)
        .with("confirm_within", confirm_within.map(|span| format!("{}ms", span.as_millis())))
        .with("dry_run", dry_run.then(|| "true".to_owned()))
        .with("reason", reason.map(str::to_owned))
}

/// What came of a change.
fn changed(done: &Value) -> String {
    let warnings = done["warnings"].as_str().unwrap_or_default();
    if done["changed"] == false {
        let revision = text(&done["revision"]);
        return format!("{warnings}nothing to change: revision {revision} stays in use\n");
    }
    let word = if done["dry_run"] == true { "would be applied" } else { "applied" };
    let change = text(&done["changes"]);
    let revision = text(&done["revision"]);
    format!("{warnings}{word}: {change}\nrevision {revision}\n{}", on_trial(&done["pending"]))
}

fn on_trial(pending: &Value) -> String {
    if !pending.is_object() {
        return String::new();
    }
    let (revision, until) = (text(&pending["revision"]), text(&pending["until"]));
    format!(
        "revision {revision} is on trial until {until}: `portcullis confirm` keeps it, `portcullis revert` ends it now\n"
    )
}

/// The file's bytes, within the bound of a configuration.
fn read(path: &Path) -> Result<Vec<u8>, Trouble> {
    let mut text = Vec::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX as u64).read_to_end(&mut text));
    match read {
        Ok(_) => Ok(text),
        Err(error) => Err(Trouble::Usage(format!("cannot read {}: {error}", path.display()))),
    }
}
