//! The product service.

use std::process::ExitCode;

use portcullis_sample_services::{product, server};

fn main() -> ExitCode {
    server::main(product::NAME, product::build)
}
