//! The user service.

use std::process::ExitCode;

use portcullis_sample_services::{server, user};

fn main() -> ExitCode {
    server::main("user-service", user::build)
}
