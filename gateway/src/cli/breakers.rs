//! `portcullis reset`: breakers that let requests through again.

use std::process::ExitCode;

use clap::Args;
use http::Method;

use super::Output;
use super::remote::{Ask, Remote, end, text};

#[derive(Debug, Args)]
#[command(after_help = "A breaker that was reset trips again if its upstream still fails.

Example:
  portcullis reset orders")]
pub(super) struct Reset {
    /// The upstream whose breakers, and whose endpoints' breakers, are reset
    #[arg(value_name = "UPSTREAM")]
    upstream: String,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Reset {
    pub(super) fn run(self) -> ExitCode {
        let path = ["circuits", self.upstream.as_str(), "reset"];
        let reset = self.remote.open().and_then(|client| client.ask(Method::POST, Ask::of(&path)));
        end(reset.map(|answer| answer.value), self.output, |done| {
            let upstream = text(&done["upstream"]);
            match done["reset"].as_u64() {
                Some(0) => format!("{upstream}: no breaker kept requests away\n"),
                Some(1) => format!("{upstream}: 1 breaker lets requests through again\n"),
                n => format!("{upstream}: {} breakers let requests through again\n", n.unwrap_or_default()),
            }
        })
    }
}
