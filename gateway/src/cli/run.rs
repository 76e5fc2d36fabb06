//! `portcullis run`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use portcullis_schema::parse_duration;
use serde_json::json;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, reload};

use super::{ConfigFile, Output, complain, environment, print, refuse};
use crate::boot::{self, BootError, Options};
use crate::proxy::Reveal;
use crate::telemetry::log_level::LogLevel;

/// What is logged unless `RUST_LOG` says otherwise. Pingora's own lines about requests say less
/// than the access log, and its start and stop are told by ours.
const LOGGED: &str =
    "info,h2=error,pingora_core=warn,pingora_proxy=error,pingora_server=warn,pingora_core::server=error";
/// What is logged with `--quiet`.
const LOGGED_QUIETLY: &str = "error";

#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    config: ConfigFile,
    /// Reload whenever the configuration's files change
    #[arg(long)]
    watch: bool,
    /// Folder for the admin token and the last known endpoints
    #[arg(long, value_name = "DIR", env = "PORTCULLIS_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// Longest wait for requests in progress after SIGTERM, such as 30s
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    grace: Duration,
    /// Worker threads (default: one a core)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// For debugging: say in every reply which route, upstream and attempts it came by
    #[arg(long)]
    reveal: bool,
    /// If it does not start, print why as JSON to standard output; the log is JSON in any case
    #[arg(long)]
    json: bool,
    /// Log errors only, unless RUST_LOG says otherwise
    #[arg(short, long)]
    quiet: bool,
}

impl Run {
    pub(super) fn run(self) -> ExitCode {
        let env = environment();
        let logged = if self.quiet { LOGGED_QUIETLY } else { LOGGED };
        let log_level = start_log(&env, logged);
        let options = Options {
            config: self.config.path,
            env,
            state_dir: self.state_dir,
            watch: self.watch,
            reveal: if self.reveal { Reveal::Workings } else { Reveal::Nothing },
            threads: self.threads.map(usize::from),
            grace: self.grace,
            catalog: super::catalog(),
            log_level,
        };
        match boot::run(options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(BootError::Config(refusal)) => {
                refuse(&refusal, Output { json: self.json, quiet: self.quiet })
            }
            Err(error) if self.json => {
                let problem = json!({
                    "type": "about:blank",
                    "title": "the gateway did not start",
                    "code": "not_started",
                    "detail": error.to_string(),
                });
                print(&format!("{problem:#}\n"));
                ExitCode::FAILURE
            }
            Err(error) => {
                complain(&format!("portcullis: {error}\n"));
                ExitCode::FAILURE
            }
        }
    }
}

/// Writes the log to standard error by `RUST_LOG`, or `logged` if it says nothing that is understood.
fn start_log(env: &BTreeMap<String, String>, logged: &str) -> Arc<LogLevel> {
    let wanted = env.get(EnvFilter::DEFAULT_ENV).filter(|text| EnvFilter::try_new(text).is_ok());
    let directives = wanted.map_or(logged, String::as_str);
    let (filter, handle) = reload::Layer::new(EnvFilter::new(directives));
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr);
    tracing_subscriber::registry().with(filter).with(lines).init();
    Arc::new(LogLevel::new(directives, move |filter| {
        handle.reload(filter).map_err(|error| error.to_string())
    }))
}
