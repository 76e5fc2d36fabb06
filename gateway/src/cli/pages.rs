//! `portcullis completions` and `portcullis man`: made from the flags themselves.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, complain, print};

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct Man {
    /// The directory to write into
    directory: PathBuf,
}

impl Completions {
    pub(super) fn run(self) -> ExitCode {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "portcullis", &mut script);
        print(&String::from_utf8_lossy(&script));
        ExitCode::SUCCESS
    }
}

impl Man {
    pub(super) fn run(self) -> ExitCode {
        match clap_mangen::generate_to(Cli::command(), &self.directory) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&format!(
                    "portcullis: manual pages cannot be written to {}: {error}\n",
                    self.directory.display()
                ));
                ExitCode::FAILURE
            }
        }
    }
}
