//! `portcullis check`: everything that start and reload would look at, without starting anything.

use std::process::ExitCode;

use clap::Args;
use portcullis_schema::{SourceFile, load_with, masked_files, render};
use serde_json::{Value, json};

use super::{ConfigFile, Output, Overlaid, complain, environment, print, refuse, style_of};
use crate::boot;
use crate::reload::Disk;

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigFile,
    /// The configuration's main file, as a plain argument; wins over --config
    #[arg(value_name = "FILE")]
    file: Option<std::path::PathBuf>,
    /// Then print the configuration: every file that was read, secrets masked
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    overlaid: Overlaid,
    #[command(flatten)]
    output: Output,
}

impl Check {
    pub(super) fn run(self) -> ExitCode {
        let path = self.file.unwrap_or(self.config.path);
        let catalog = super::catalog();
        let overlay = match self.overlaid.read() {
            Ok(overlay) => overlay,
            Err(code) => return code,
        };
        let candidate = match boot::check(&path, &Disk, overlay.as_ref(), &environment(), &catalog) {
            Ok(candidate) => candidate,
            Err(refusal) => return refuse(&refusal, self.output),
        };
        let read = || load_with(&path, &Disk, &environment(), overlay.as_ref());
        let files = if self.print { masked_files(&read()) } else { Vec::new() };
        if self.output.json {
            let warnings: Vec<_> =
                candidate.warnings.iter().map(|warning| warning.to_json(&candidate.sources)).collect();
            let mut answer = json!({ "valid": true, "warnings": warnings });
            if self.print {
                answer["files"] = files.iter().map(to_json).collect();
            }
            print(&format!("{answer:#}\n"));
            return ExitCode::SUCCESS;
        }
        if !self.output.quiet {
            if !candidate.warnings.is_empty() {
                complain(&render(&candidate.warnings, &candidate.sources, style_of(&std::io::stderr())));
            }
            let snapshot = &candidate.snapshot;
            let over = overlay.as_ref().map(|overlay| format!(" with {}", overlay.path.display()));
            let verdict = format!(
                "{}{}: ok: {} routes, {} upstreams, {} listeners\n",
                path.display(),
                over.unwrap_or_default(),
                snapshot.router.iter().len(),
                snapshot.upstreams.len(),
                snapshot.listeners.len()
            );
            if self.print {
                // The verdict goes elsewhere, so that standard output is the configuration and nothing else.
                complain(&verdict);
            } else {
                print(&verdict);
            }
        }
        print(&files.iter().map(to_text).collect::<String>());
        ExitCode::SUCCESS
    }
}

/// A file under a line that names it.
fn to_text(file: &SourceFile) -> String {
    let end = if file.text.ends_with('\n') { "" } else { "\n" };
    format!("# file {}\n{}{end}", file.path.display(), file.text)
}

fn to_json(file: &SourceFile) -> Value {
    json!({ "path": file.path.to_string_lossy(), "text": &*file.text })
}
