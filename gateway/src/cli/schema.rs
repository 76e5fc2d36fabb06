//! `portcullis schema`.

use std::process::ExitCode;

use clap::Args;

use super::print;

/// `portcullis schema > gateway.schema.json`, and this as the first line of a configuration:
/// `# yaml-language-server: $schema=./gateway.schema.json`
#[derive(Debug, Args)]
pub(super) struct Schema {}

impl Schema {
    pub(super) fn run(self) -> ExitCode {
        print(&format!("{:#}\n", portcullis_schema::json_schema()));
        ExitCode::SUCCESS
    }
}
