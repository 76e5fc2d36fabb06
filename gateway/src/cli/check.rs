//! `portcullis check`: everything that start and reload would look at, without starting anything.

use std::process::ExitCode;

use clap::Args;
use portcullis_schema::render;
use serde_json::json;

use super::{ConfigFile, Output, complain, environment, print, refuse, style_of};
use crate::boot;
use crate::reload::Disk;

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigFile,
    /// The configuration's main file, as a plain argument; wins over --config
    #[arg(value_name = "FILE")]
    file: Option<std::path::PathBuf>,
    #[command(flatten)]
    output: Output,
}

impl Check {
    pub(super) fn run(self) -> ExitCode {
        let path = self.file.unwrap_or(self.config.path);
        let catalog = super::catalog();
        let candidate = match boot::check(&path, &Disk, &environment(), &catalog) {
            Ok(candidate) => candidate,
            Err(refusal) => return refuse(&refusal, self.output),
        };
        if self.output.json {
            let warnings: Vec<_> =
                candidate.warnings.iter().map(|warning| warning.to_json(&candidate.sources)).collect();
            print(&format!("{:#}\n", json!({ "valid": true, "warnings": warnings })));
        } else if !self.output.quiet {
            if !candidate.warnings.is_empty() {
                complain(&render(&candidate.warnings, &candidate.sources, style_of(&std::io::stderr())));
            }
            let snapshot = &candidate.snapshot;
            print(&format!(
                "{}: ok: {} routes, {} upstreams, {} listeners\n",
                path.display(),
                snapshot.router.iter().len(),
                snapshot.upstreams.len(),
                snapshot.listeners.len()
            ));
        }
        ExitCode::SUCCESS
    }
}
