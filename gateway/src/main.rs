//! `portcullis`: flags → what to do → exit code.

use std::process::ExitCode;

use clap::Parser;
use portcullis::cli::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Cli::parse().run()
}
