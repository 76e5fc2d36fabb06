//! `portcullis`: flags → what to do → exit code.

use std::process::ExitCode;

use portcullis::cli::Cli;
use portcullis_allocator::{Allocator, keep_pages_between_requests, take_small_pages};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    keep_pages_between_requests();
    take_small_pages();
    Cli::read().run()
}
