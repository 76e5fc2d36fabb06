//! `portcullis routes`, `endpoints`, `services`: what a running gateway has.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::remote::{Ask, Client, Remote, Trouble, end, table, text};
use super::status::rows;
use super::{Output, print};

/// How often endpoints are looked at again.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Clears a terminal and goes to its first line.
const CLEAR: &str = "\x1b[H\x1b[2J";

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  portcullis routes
  portcullis routes --filter orders")]
pub(super) struct Routes {
    /// Only routes whose name, host, path or upstream contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  portcullis services                the registry's services, routed or not
  portcullis services --filter user")]
pub(super) struct Services {
    /// Only services whose name or upstream contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  portcullis endpoints                  of every upstream
  portcullis endpoints orders --watch   until interrupted")]
pub(super) struct Endpoints {
    /// Only of this upstream
    #[arg(value_name = "UPSTREAM")]
    upstream: Option<String>,
    /// Look again every second, and print whenever something changed
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Routes {
    pub(super) fn run(self) -> ExitCode {
        let listed = self.remote.open().and_then(|client| client.list(&["routes"], self.filter.as_deref()));
        end(listed, self.output, |list| {
            let keys = ["name", "hosts", "path", "methods", "upstreams", "plugins"];
            table(["route", "hosts", "path", "methods", "upstreams", "plugins"], &rows(&list["items"], keys))
        })
    }
}

impl Services {
    pub(super) fn run(self) -> ExitCode {
        let listed = self.remote.open().and_then(|client| client.list(&["services"], self.filter.as_deref()));
        end(listed, self.output, |list| {
            let keys = ["name", "offered", "upstreams", "endpoints", "stale_since"];
            table(
                ["service", "offered", "upstreams", "endpoints", "stale since"],
                &rows(&list["items"], keys),
            )
        })
    }
}

impl Endpoints {
    pub(super) fn run(self) -> ExitCode {
        let client = match self.remote.open() {
            Ok(client) => client,
            Err(trouble) => return trouble.tell(self.output),
        };
        if !self.watch {
            return end(self.look(&client), self.output, show);
        }
        match self.watch(&client) {
            Ok(never) => match never {},
            Err(trouble) => trouble.tell(self.output),
        }
    }

    /// Every endpoint with its upstream.
    fn look(&self, client: &Client) -> Result<Value, Trouble> {
        let upstreams = match &self.upstream {
            Some(name) => vec![client.get(Ask::of(&["upstreams", name]))?],
            None => client.list(&["upstreams"], None)?["items"].as_array().cloned().unwrap_or_default(),
        };
        let mut items = Vec::new();
        for upstream in upstreams {
            for endpoint in upstream["endpoints"].as_array().into_iter().flatten() {
                let mut endpoint = endpoint.clone();
                endpoint["upstream"] = upstream["name"].clone();
                items.push(endpoint);
            }
        }
        Ok(json!({ "items": items }))
    }

    /// Prints whenever something changed, until it is interrupted or the gateway is gone.
    fn watch(&self, client: &Client) -> Result<std::convert::Infallible, Trouble> {
        use std::io::IsTerminal;
        let is_terminal = std::io::stdout().is_terminal();
        let mut before = None;
        loop {
            let list = self.look(client)?;
            // On paper only what an operator waits for is news; on a screen the counts are too.
            let news = if is_terminal { list.clone() } else { state_of(&list) };
            if before.as_ref() != Some(&news) {
                let shown = if self.output.json { format!("{list}\n") } else { show(&list) };
                print(&if is_terminal && !self.output.json { format!("{CLEAR}{shown}") } else { shown });
                before = Some(news);
            }
            client.pause(WATCH_EVERY);
        }
    }
}

/// What stays the same while nothing but requests happens.
fn state_of(list: &Value) -> Value {
    let items = list["items"].as_array().into_iter().flatten();
    let kept = items.map(|item| {
        ["upstream", "id", "address", "health", "weight", "draining", "breaker"].map(|key| item[key].clone())
    });
    json!(kept.collect::<Vec<_>>())
}

fn show(list: &Value) -> String {
    let rows: Vec<[String; 8]> = list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|item| {
            let state = if item["draining"] == true { "draining".to_owned() } else { text(&item["health"]) };
            [
                text(&item["upstream"]),
                text(&item["id"]),
                text(&item["address"]),
                state,
                text(&item["weight"]),
                text(&item["in_flight"]),
                text(&item["picks"]),
                text(&item["breaker"]),
            ]
        })
        .collect();
    table(["upstream", "id", "address", "state", "weight", "in flight", "picks", "breaker"], &rows)
}
