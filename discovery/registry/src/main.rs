//! `portcullis-registry`: the embedded registry as a process of its own.
//! Flags in, exit code out; everything else is the library's.

use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use portcullis_discovery_registry::{Options, Registry};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A registry that speaks the Consul HTTP API, for demos, tests and laptops.
///
/// It is ONE NODE and KEEPS NOTHING: when it stops, every service, check and key is forgotten. It has no access
/// control. For anything that matters, run Consul.
#[derive(Debug, Parser)]
#[command(name = "portcullis-registry", version, after_help = EXAMPLES)]
struct Flags {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8500", value_parser = listen)]
    listen: SocketAddr,
    /// Name of the one node
    #[arg(long, value_name = "NAME", default_value = "portcullis", value_parser = name)]
    node: String,
    /// Name of the datacenter
    #[arg(long, value_name = "NAME", default_value = "dc1", value_parser = name)]
    datacenter: String,
    /// What to log: error, warn, info, debug, or a tracing filter
    #[arg(long, value_name = "FILTER", default_value = "info", value_parser = filter)]
    log: String,
}

const EXAMPLES: &str = "Examples:
  portcullis-registry                            listen where a Consul agent would
  portcullis-registry --listen 127.0.0.1:0       any free port; the log says which
  curl http://127.0.0.1:8500/v1/catalog/services";

fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "expected an IP address and a port, for example 127.0.0.1:8500 or [::1]:8500".to_owned())
}

fn name(text: &str) -> Result<String, String> {
    let fits = (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if fits { Ok(text.to_owned()) } else { Err("1 to 63 letters, digits, '-', '_' or '.'".to_owned()) }
}

fn filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&flags.log))
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
    let options =
        Options { bind: flags.listen, node: flags.node, datacenter: flags.datacenter, ..Options::default() };
    // Signals first: one that arrives during the start must not kill a half-started registry silently.
    let (mut interrupt, mut terminate) =
        match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
            (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(%error, "cannot listen for signals");
                return ExitCode::FAILURE;
            }
        };
    let registry = match Registry::start(options).await {
        Ok(registry) => registry,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    registry.shutdown().await;
    ExitCode::SUCCESS
}
