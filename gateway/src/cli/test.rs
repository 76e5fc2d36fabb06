//! `portcullis test`: the routes' inline tests, without a network.

use std::process::ExitCode;

use clap::Args;
use portcullis_core::limit::LimitSeed;
use portcullis_core::snapshot::{Carried, RouteTestResult, compile, run_route_tests};
use portcullis_schema::{Diagnostic, load_with, render};
use serde_json::json;

use super::{ConfigFile, EXIT_TESTS, Output, Overlaid, complain, environment, print, refuse, style_of};
use crate::reload::{Disk, Refusal};

#[derive(Debug, Args)]
pub(super) struct Test {
    #[command(flatten)]
    config: ConfigFile,
    /// The configuration's main file, as a plain argument; wins over --config
    #[arg(value_name = "FILE")]
    file: Option<std::path::PathBuf>,
    /// Only tests of routes whose name contains this
    #[arg(short = 'f', long, value_name = "NAME")]
    filter: Option<String>,
    #[command(flatten)]
    overlaid: Overlaid,
    #[command(flatten)]
    output: Output,
}

impl Test {
    pub(super) fn run(self) -> ExitCode {
        let path = self.file.as_ref().unwrap_or(&self.config.path);
        let overlay = match self.overlaid.read() {
            Ok(overlay) => overlay,
            Err(code) => return code,
        };
        let loaded = load_with(path, &Disk, &environment(), overlay.as_ref());
        let catalog = super::catalog();
        let compiled = compile(&loaded, &catalog, &Carried::nothing(LimitSeed([0; 2])));
        let Some(snapshot) = compiled.snapshot else {
            let sources = std::sync::Arc::new(loaded.sources);
            return refuse(&Refusal::Invalid { diagnostics: compiled.diagnostics, sources }, self.output);
        };
        let filter = self.filter.as_deref().unwrap_or_default();
        let results: Vec<RouteTestResult> = run_route_tests(&loaded.document, &snapshot)
            .into_iter()
            .filter(|result| result.route.contains(filter))
            .collect();
        let failed = results.iter().filter(|result| !result.passed()).count();
        let passed = results.len() - failed;
        let findings: Vec<Diagnostic> =
            results.iter().flat_map(|result| result.diagnostics().collect::<Vec<_>>()).collect();
        if self.output.json {
            let errors: Vec<_> = findings.iter().map(|finding| finding.to_json(&loaded.sources)).collect();
            print(&format!("{:#}\n", json!({ "passed": passed, "failed": failed, "errors": errors })));
        } else {
            complain(&render(&findings, &loaded.sources, style_of(&std::io::stderr())));
            if !self.output.quiet {
                print(&format!("{passed} passed, {failed} failed\n"));
            }
        }
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_TESTS) }
    }
}
