//! `portcullis-load`: the driver as a process. Sends what it is told, checks every answer, reports.
//! Exit code 0: something was sent and every answer was right; 1: not so; 2: wrong usage.

use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use portcullis_loadtest::duration::parse_duration;
use portcullis_loadtest::{BodyExpect, Expect, Load, Plan, Protocol, Report, RequestIds};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Send requests at a constant rate, check every answer, and report
///
/// Latencies are measured from the moment a request was meant to be sent, so a server that stalls
/// is charged for every request that had to wait. Targets are loopback addresses only.
#[derive(Debug, Parser)]
#[command(name = "portcullis-load", version)]
struct Args {
    /// Where to send, such as http://127.0.0.1:8080/api/products
    #[arg(long)]
    url: String,
    /// Requests a second
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// How long to send, such as 5s
    #[arg(long, value_parser = parse_duration, default_value = "5s", conflicts_with = "until_stdin_closes")]
    duration: Duration,
    /// Send until standard input closes, then report in JSON
    #[arg(long)]
    until_stdin_closes: bool,
    /// With --until-stdin-closes: stop after this long anyway
    #[arg(long, value_parser = parse_duration, default_value = "10m", value_name = "DURATION")]
    max_duration: Duration,
    /// The method of every request
    #[arg(long, default_value = "GET")]
    method: Method,
    /// A header of every request, such as 'Authorization: Bearer …'; may be repeated
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", value_parser = parse_header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The body of every request
    #[arg(long, default_value = "")]
    body: String,
    /// Statuses that are right, such as 200,201 (default: every 2xx)
    #[arg(long, value_delimiter = ',', value_name = "STATUS")]
    expect: Vec<StatusCode>,
    /// What the body of an answer must contain
    #[arg(long, value_name = "TEXT", conflicts_with = "expect_sha256")]
    expect_body: Option<String>,
    /// The SHA-256 of the body of an answer, in hex
    #[arg(long, value_name = "HEX", value_parser = parse_digest)]
    expect_sha256: Option<[u8; 32]>,
    /// The response header that names the instance; its values are counted
    #[arg(long, value_name = "NAME")]
    spread_header: Option<HeaderName>,
    /// Give every request an id of its own in this header
    #[arg(long, value_name = "NAME")]
    request_id: Option<HeaderName>,
    /// The answer must carry the same id in the same header
    #[arg(long, requires = "request_id")]
    expect_request_id: bool,
    /// Most connections open at once
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// How long an answer may take, from the moment its request was meant to be sent
    #[arg(long, value_parser = parse_duration, default_value = "10s")]
    timeout: Duration,
    /// Speak HTTP/2 with prior knowledge
    #[arg(long)]
    h2c: bool,
    /// Report in JSON
    #[arg(long)]
    json: bool,
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write it as `Name: value`")?;
    let name = name.trim().parse().map_err(|_| format!("`{}` is no header name", name.trim()))?;
    let value =
        value.trim().parse().map_err(|_| "the value has characters that a header cannot have".to_owned())?;
    Ok((name, value))
}

fn parse_digest(text: &str) -> Result<[u8; 32], String> {
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest).map_err(|_| "a SHA-256 is 64 hex digits".to_owned())?;
    Ok(digest)
}

impl Args {
    fn plan(&self) -> Plan {
        let body = match (&self.expect_body, self.expect_sha256) {
            (Some(text), _) => BodyExpect::Contains(text.clone().into()),
            (None, Some(digest)) => BodyExpect::Sha256(digest),
            (None, None) => BodyExpect::Any,
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        let echo = self.expect_request_id;
        Plan {
            method: self.method.clone(),
            headers,
            body: self.body.clone().into(),
            rate_per_s: self.rate,
            connections_max: self.connections,
            duration: Some(if self.until_stdin_closes { self.max_duration } else { self.duration }),
            timeout: self.timeout,
            expect: Expect { statuses: self.expect.clone(), body },
            spread_header: self.spread_header.clone(),
            request_ids: self.request_id.clone().map(|header| RequestIds { header, echo }),
            protocol: if self.h2c { Protocol::H2c } else { Protocol::Http1 },
            ..Plan::new(&self.url)
        }
    }
}

#[expect(clippy::print_stderr, reason = "a command says on standard error why it ends")]
fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("portcullis-load: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let plan = args.plan();
    let report = match runtime.block_on(drive(plan, args.until_stdin_closes)) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("portcullis-load: {error}");
            return ExitCode::from(2);
        }
    };
    show(&report, args.json || args.until_stdin_closes);
    if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Until the plan is done, standard input closes (if asked to look), or a signal comes: a report in any case.
async fn drive(plan: Plan, until_stdin_closes: bool) -> Result<Report, String> {
    let duration = plan.duration.unwrap_or_default();
    let load = Load::start(plan).map_err(|error| error.to_string())?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    tokio::select! {
        () = tokio::time::sleep(duration) => {}
        () = stdin_closed(until_stdin_closes) => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(load.stop().await)
}

/// A thread of its own reads standard input: the runtime's would keep the process from ending.
#[expect(clippy::disallowed_methods, reason = "the thread ends with standard input or the process")]
async fn stdin_closed(wanted: bool) {
    if !wanted {
        return std::future::pending().await;
    }
    let (closed, closing) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let mut buffer = [0; 1024];
        let mut stdin = std::io::stdin().lock();
        while stdin.read(&mut buffer).is_ok_and(|bytes| bytes > 0) {}
        drop(closed);
    });
    // Dropping the sender is the message.
    let _ = closing.await;
}

#[expect(clippy::print_stdout, reason = "the report is what the command is for")]
fn show(report: &Report, json: bool) {
    if json {
        match serde_json::to_string_pretty(report) {
            Ok(text) => println!("{text}"),
            Err(error) => println!("{{\"error\": \"{error}\"}}"),
        }
    } else {
        print!("{}", report.summary());
    }
}
