//! `portcullis-origin`: a small server to stand behind a proxy. One thread; says on standard output where it listens.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use http::HeaderValue;
use portcullis_loadtest::duration::parse_duration;
use portcullis_loadtest::origin::{Origin, fixed_body};
use tokio::net::TcpListener;

/// A small server to stand behind a proxy: the same bytes for every path
#[derive(Debug, Parser)]
#[command(name = "portcullis-origin", version)]
struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Size of every answer's body, in bytes
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(0..=67_108_864))]
    bytes: u32,
    /// Time before every answer, such as 5ms
    #[arg(long, default_value = "0ms", value_parser = parse_duration)]
    delay: Duration,
    /// Answer every so-manieth request with 503; 0 for none
    #[arg(long, default_value_t = 0, value_name = "N")]
    fail_every: u64,
    /// What the header x-served-by says
    #[arg(long, default_value = "origin", value_name = "NAME")]
    served_by: HeaderValue,
    /// A file to answer with at /.well-known/jwks.json
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
}

fn main() -> ExitCode {
    match serve(Args::parse()) {
        Ok(never) => match never {},
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "a command says on standard error why it ends")]
            {
                eprintln!("portcullis-origin: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

fn serve(args: Args) -> Result<std::convert::Infallible, String> {
    let jwks = match &args.jwks {
        Some(path) => Some(
            std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?.into(),
        ),
        None => None,
    };
    let origin = Origin {
        body: fixed_body(args.bytes as usize),
        served_by: args.served_by,
        delay: args.delay,
        fail_every: args.fail_every,
        jwks,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(async move {
        let listener = TcpListener::bind(args.listen)
            .await
            .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        #[expect(clippy::print_stdout, reason = "whoever started it learns the port from here")]
        {
            println!("listening on {address}");
        }
        origin.serve(listener).await;
        Err("stopped listening".to_owned())
    })
}
