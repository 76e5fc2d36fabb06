//! `portcullis drain`, `undrain`: an instance taken out of traffic, and brought back.

use std::process::ExitCode;

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::Output;
use super::remote::{Ask, Client, Remote, Trouble, end, text};

#[derive(Debug, Args)]
#[command(
    after_help = "Requests in flight finish. A drain is kept over changes of the set and reloads, and forgotten when the
endpoint leaves the registry or the gateway restarts.

Examples:
  portcullis drain 10.0.0.7:8080
  portcullis drain order-service-2 --upstream orders"
)]
pub(super) struct Drain {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  portcullis undrain 10.0.0.7:8080")]
pub(super) struct Undrain {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
struct Which {
    /// The endpoint's address, or its id with or without its node
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    /// Only behind this upstream (default: behind every one that has it)
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Drain {
    pub(super) fn run(self) -> ExitCode {
        self.which.set("drain")
    }
}

impl Undrain {
    pub(super) fn run(self) -> ExitCode {
        self.which.set("ready")
    }
}

impl Which {
    fn set(&self, state: &str) -> ExitCode {
        let set = self.remote.open().and_then(|client| self.set_all(&client, state));
        end(set, self.output, |done| {
            let items = done["items"].as_array().into_iter().flatten();
            items
                .map(|item| {
                    let word = if item["draining"] == true { "draining" } else { "ready" };
                    let (upstream, address) = (text(&item["upstream"]), text(&item["address"]));
                    format!("{upstream} {address}: {word}, {} in flight\n", text(&item["in_flight"]))
                })
                .collect()
        })
    }

    fn set_all(&self, client: &Client, state: &str) -> Result<Value, Trouble> {
        let upstreams = match &self.upstream {
            Some(name) => vec![name.clone()],
            None => self.holders(client)?,
        };
        let mut items = Vec::new();
        for upstream in upstreams {
            let path = ["upstreams", &upstream, "endpoints", &self.endpoint];
            let mut set = client.ask(Method::PATCH, Ask::of(&path).json(&json!({ "state": state })))?.value;
            set["upstream"] = json!(upstream);
            items.push(set);
        }
        Ok(json!({ "items": items }))
    }

    /// The upstreams that have the endpoint.
    fn holders(&self, client: &Client) -> Result<Vec<String>, Trouble> {
        let upstreams = client.list(&["upstreams"], None)?;
        let is_meant = |endpoint: &Value| {
            let id = endpoint["id"].as_str().unwrap_or_default();
            let own = id.split_once('/').map(|(_, own)| own);
            endpoint["address"] == *self.endpoint || id == self.endpoint || own == Some(&self.endpoint)
        };
        let has =
            |upstream: &&Value| upstream["endpoints"].as_array().is_some_and(|all| all.iter().any(is_meant));
        let holders: Vec<String> = upstreams["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(has)
            .map(|upstream| text(&upstream["name"]))
            .collect();
        if holders.is_empty() {
            let detail =
                format!("no upstream has an endpoint `{}`; `portcullis endpoints` shows them", self.endpoint);
            let problem = json!({ "code": "unknown_endpoint", "detail": detail });
            return Err(Trouble::Refused { status: 404, problem });
        }
        Ok(holders)
    }
}
