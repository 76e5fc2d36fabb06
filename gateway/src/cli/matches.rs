//! `portcullis match`: which route answers a request, and why each other one does not.

use std::process::ExitCode;

use clap::Args;
use portcullis_core::router::Verdict;
use portcullis_core::snapshot::Snapshot;

use super::{ConfigFile, EXIT_INVALID, Output, Overlaid, complain, environment, print, refuse};
use crate::asked::{Asked, losers, matched_to_json};
use crate::boot;
use crate::reload::Disk;

/// Routes that lost and are shown unless `--all` is given.
const LOSERS_SHOWN: usize = 20;

#[derive(Debug, Args)]
pub(super) struct Match {
    /// The request: METHOD HOST/PATH[?QUERY], such as 'GET shop.example.com/api/orders/42'
    request: String,
    /// A header of the request, such as 'X-Beta: yes'; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The listener the request comes in on (default: any)
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// Show every route that lost
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    overlaid: Overlaid,
    #[command(flatten)]
    output: Output,
}

impl Match {
    pub(super) fn run(self) -> ExitCode {
        let asked = match Asked::read(&self.request, self.headers.iter().map(String::as_str)) {
            Ok(asked) => asked,
            Err(error) => {
                complain(&format!("portcullis: {error}\n"));
                return ExitCode::from(EXIT_INVALID);
            }
        };
        let catalog = super::catalog();
        let overlay = match self.overlaid.read() {
            Ok(overlay) => overlay,
            Err(code) => return code,
        };
        match boot::check(&self.config.path, &Disk, overlay.as_ref(), &environment(), &catalog) {
            Ok(candidate) => self.answer(&candidate.snapshot, &asked),
            Err(refusal) => refuse(&refusal, self.output),
        }
    }

    fn answer(&self, snapshot: &Snapshot, asked: &Asked) -> ExitCode {
        let verdicts = snapshot.router.explain(&asked.of(self.listener.as_deref()));
        let winner = verdicts.iter().find(|verdict| verdict.lost.is_none());
        if self.output.json {
            print(&format!("{:#}\n", matched_to_json(asked, &verdicts)));
        } else if !self.output.quiet {
            print(&self.text(snapshot, winner, &verdicts));
        }
        if winner.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn text(&self, snapshot: &Snapshot, winner: Option<&Verdict>, verdicts: &[Verdict]) -> String {
        let mut text = match winner.and_then(|won| snapshot.route(&won.route)) {
            Some(route) => {
                let targets: Vec<&str> = route.settings.target.all().map(|to| &*to.upstream.name).collect();
                format!("{} → {}\n", route.name, targets.join(", "))
            }
            None => "no route\n".to_owned(),
        };
        let shown = if self.all { usize::MAX } else { LOSERS_SHOWN };
        for (route, why) in losers(verdicts).take(shown) {
            text.push_str(&format!("  not {route}: {why}\n"));
        }
        let hidden = losers(verdicts).count().saturating_sub(shown);
        if hidden > 0 {
            text.push_str(&format!("  and {hidden} more; --all shows them\n"));
        }
        text
    }
}
