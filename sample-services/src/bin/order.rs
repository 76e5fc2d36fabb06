//! The order service.

use std::process::ExitCode;

use portcullis_sample_services::{order, server};

fn main() -> ExitCode {
    server::main(order::NAME, order::build)
}
