//! `portcullis token`: tokens of the admin API.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;

use super::Output;
use super::remote::{Ask, Remote, end, table, text};
use super::status::rows;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  portcullis token add grafana --role viewer
  portcullis token add release-bot --role operator --expires-in 12h
  portcullis token list
  portcullis token remove grafana")]
pub(super) struct Token {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a token; it is shown this once
    Add(Add),
    /// List the tokens, without their text
    List(List),
    /// Remove a token; it opens nothing from then on
    Remove(Remove),
}

#[derive(Debug, Args)]
struct Add {
    /// Its name
    name: String,
    /// What its bearer may do
    #[arg(long, value_name = "ROLE", value_parser = ["viewer", "operator", "admin"])]
    role: String,
    /// How long it opens anything, such as 12h or 30d (default: for ever)
    #[arg(long, value_name = "TIME")]
    expires_in: Option<String>,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Remove {
    /// Its name
    name: String,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Token {
    pub(super) fn run(self) -> ExitCode {
        match self.verb {
            Verb::Add(add) => add.run(),
            Verb::List(list) => list.run(),
            Verb::Remove(remove) => remove.run(),
        }
    }
}

impl Add {
    fn run(self) -> ExitCode {
        let mut wanted = json!({ "name": self.name, "role": self.role });
        if let Some(lasts) = &self.expires_in {
            wanted["expires_in"] = json!(lasts);
        }
        let ask = Ask::of(&["tokens"]).json(&wanted);
        let made = self.remote.open().and_then(|client| client.ask(Method::POST, ask));
        // Alone on its line, so that it can be put into a file as it is.
        end(made.map(|answer| answer.value), self.output, |made| format!("{}\n", text(&made["token"])))
    }
}

impl List {
    fn run(self) -> ExitCode {
        let listed = self.remote.open().and_then(|client| client.list(&["tokens"], None));
        end(listed, self.output, |list| {
            let keys = ["name", "role", "origin", "created", "expires"];
            table(keys, &rows(&list["items"], keys))
        })
    }
}

impl Remove {
    fn run(self) -> ExitCode {
        let path = ["tokens", self.name.as_str()];
        let removed = self.remote.open().and_then(|client| client.ask(Method::DELETE, Ask::of(&path)));
        let removed = removed.map(|_| json!({ "removed": self.name }));
        end(removed, self.output, |done| format!("{} removed\n", text(&done["removed"])))
    }
}
