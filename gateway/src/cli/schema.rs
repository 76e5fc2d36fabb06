//! `portcullis schema`: the language, for editors and for people.

use std::process::ExitCode;

use clap::Args;

use super::print;

/// `portcullis schema > gateway.schema.json`, and this as the first line of a configuration:
/// `# yaml-language-server: $schema=./gateway.schema.json`
#[derive(Debug, Args)]
pub(super) struct Schema {
    /// Print JSON Schema; this is the default
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print a page of all keys in Markdown instead
    #[arg(long)]
    markdown: bool,
}

impl Schema {
    pub(super) fn run(self) -> ExitCode {
        if self.markdown {
            print(&portcullis_schema::markdown());
        } else {
            print(&format!("{:#}\n", portcullis_schema::json_schema()));
        }
        ExitCode::SUCCESS
    }
}
