//! The payment service.

use std::process::ExitCode;

use portcullis_sample_services::{payment, server};

fn main() -> ExitCode {
    server::main(payment::NAME, payment::build)
}
