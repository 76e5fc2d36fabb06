//! `portcullis explain`: what an error code means.

use std::process::ExitCode;

use clap::Args;
use portcullis_schema::{Code, nearest};

use super::{EXIT_INVALID, complain, print};

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// A code such as E0412
    code: String,
}

impl Explain {
    pub(super) fn run(self) -> ExitCode {
        let Some(code) = Code::find(&self.code) else {
            let near = nearest(&self.code, Code::ALL.iter().map(|code| code.as_str()));
            let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            complain(&format!("portcullis: no error has the code {}{hint}\n", self.code));
            return ExitCode::from(EXIT_INVALID);
        };
        print(&format!(
            "{}: {}\n\n{}\n\n{}\n",
            code.as_str(),
            code.title(),
            code.explanation(),
            code.example()
        ));
        ExitCode::SUCCESS
    }
}
