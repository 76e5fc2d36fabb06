//! `portcullis-broker KIND COMMAND…`: runs a command beside a throw-away broker, whose URL becomes its
//! last argument, and ends the broker with it. Exit code: the command's; 1 if there is no broker; 2 for
//! wrong usage.

use std::io::Write;
use std::process::{Command, ExitCode};

use portcullis_brokers::{Broker, Kind};

/// What it is called with.
const USAGE: &str = "usage: portcullis-broker rabbitmq|kafka COMMAND [ARGUMENT…]
  Starts a throw-away broker on loopback, runs COMMAND with the broker's URL as its last argument,
  and ends the broker when COMMAND ends.
  Example: portcullis-broker kafka portcullis demo --once --bus";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let kind = match arguments.next().as_deref().and_then(std::ffi::OsStr::to_str) {
        Some("rabbitmq") => Kind::RabbitMq,
        Some("kafka") => Kind::Kafka,
        Some(_) | None => return complain(USAGE, 2),
    };
    let Some(program) = arguments.next() else { return complain(USAGE, 2) };
    let broker = match Broker::start(kind) {
        Ok(broker) => broker,
        Err(error) => return complain(&error.to_string(), 1),
    };
    let status = Command::new(&program).args(arguments).arg(broker.url()).status();
    drop(broker);
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => complain(&format!("cannot run {}: {error}", program.display()), 1),
    }
}

fn complain(text: &str, code: u8) -> ExitCode {
    // Nobody reads a standard error that cannot be written.
    let _ = writeln!(std::io::stderr(), "portcullis-broker: {text}");
    ExitCode::from(code)
}
