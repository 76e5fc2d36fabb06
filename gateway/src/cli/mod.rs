//! The command line: verbs, what they print, and their exit codes.
//!
//! 0 it worked · 1 it failed at run time · 2 wrong usage or an invalid configuration · 3 a route
//! test failed · 4 a conflict with what is in use. Answers go to standard output, everything else to standard error.

mod check;
mod demo;
mod explain;
mod matches;
mod pages;
mod run;
mod schema;
mod short;
mod test;

mod breakers;
mod changes;
mod draining;
mod events;
mod listing;
mod process;
mod remote;
mod status;
mod tap;
mod token;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use portcullis_plugin_sdk::Catalog;
use portcullis_schema::{Overlay, Style};

use crate::reload::Refusal;
use crate::revisions::Store;

/// The configuration's main file, if none is named.
pub(crate) const MAIN_FILE: &str = "gateway.yaml";

/// Wrong usage, or a configuration with errors.
pub(crate) const EXIT_INVALID: u8 = 2;
/// A route test does not hold.
pub(crate) const EXIT_TESTS: u8 = 3;
/// It conflicts with what is in use, or with what somebody else did.
pub(crate) const EXIT_CONFLICT: u8 = 4;

/// An API gateway and service-discovery proxy in front of services registered in Consul.
#[derive(Debug, Parser)]
#[command(
    name = "portcullis",
    version,
    arg_required_else_help = true,
    after_help = "Start with:\n  portcullis demo                      see everything working, on this machine\n  \
                  portcullis check -c gateway.yaml     find every mistake before it is served\n  \
                  portcullis run -c gateway.yaml --watch\n\n\
                  -t and -T are short for check and check --print: portcullis -t -c gateway.yaml\n\n\
                  Verbs about a running gateway ask its admin API: --admin says where it is, and the token comes from \
                  --token-file, PORTCULLIS_ADMIN_TOKEN or the state directory.\n\n\
                  Exit codes: 0 ok, 1 failed at run time, 2 usage or invalid configuration, 3 route tests failed, 4 conflict."
)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve traffic until told to stop (SIGTERM); SIGHUP reloads
    Run(run::Run),
    /// Find every mistake in a configuration, at once, with its place
    Check(check::Check),
    /// Run the routes' inline tests, without a network
    Test(test::Test),
    /// Say which route answers a request, and why each other one does not
    Match(matches::Match),
    /// Say how a route comes by its settings, or what an error code means
    Explain(explain::Explain),
    /// Print the JSON Schema of the configuration, for editors, or its keys as a page
    Schema(schema::Schema),
    /// Start registry, services and gateway on this machine and show everything working
    Demo(demo::Demo),
    /// How a running gateway is
    Status(status::Status),
    /// What goes where in a running gateway
    Routes(listing::Routes),
    /// The endpoints of a running gateway, their load and their breakers
    Endpoints(listing::Endpoints),
    /// The services of the registry, routed or not
    Services(listing::Services),
    /// Requests as they end, without secrets
    Tap(tap::Tap),
    /// What happens to a running gateway, as it happens
    Events(events::Events),
    /// How a configuration differs from the one in use
    Diff(changes::Diff),
    /// Put a configuration into use, for good or on trial
    Apply(changes::Apply),
    /// Keep the configuration on trial
    Confirm(changes::Confirm),
    /// Take the configuration on trial back now
    Revert(changes::Revert),
    /// Go back to an earlier revision
    Rollback(changes::Rollback),
    /// The revisions that are kept
    History(changes::History),
    /// Read the configuration's files again
    Reload(process::Reload),
    /// Keep new requests away from an endpoint
    Drain(draining::Drain),
    /// Let requests come to an endpoint again
    Undrain(draining::Undrain),
    /// Let requests through the breakers of an upstream again
    Reset(breakers::Reset),
    /// Drain the gateway and end it
    Stop(process::Stop),
    /// Whether the gateway takes traffic, for health checks
    Health(process::Health),
    /// The level of the gateway's log, for a while
    LogLevel(process::LogLevel),
    /// Tokens of the admin API
    Token(token::Token),
    /// Print a completion script for a shell
    Completions(pages::Completions),
    /// Write the manual pages into a directory
    Man(pages::Man),
}

/// Where the configuration is.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigFile {
    /// The configuration's main file
    #[arg(
        short = 'c',
        long = "config",
        value_name = "FILE",
        env = "PORTCULLIS_CONFIG",
        default_value = MAIN_FILE
    )]
    pub(crate) path: PathBuf,
}

/// What the admin API changed, laid over the files.
#[derive(Debug, Clone, Args)]
pub(crate) struct Overlaid {
    /// Lay what the admin API changed over the files, as `run` does with this state directory (default: files alone)
    #[arg(long = "state-dir", value_name = "DIR", env = "PORTCULLIS_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

impl Overlaid {
    /// The overlay, if a state directory was named and holds one; else says why and gives the exit code.
    pub(crate) fn read(&self) -> Result<Option<Overlay>, ExitCode> {
        let Some(folder) = &self.state_dir else { return Ok(None) };
        Store::look(folder).map_err(|error| {
            complain(&format!("portcullis: {error}\n"));
            ExitCode::FAILURE
        })
    }
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Output {
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print nothing but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

impl Cli {
    /// Reads the command line; on wrong usage says so and ends the process.
    #[must_use]
    pub fn read() -> Self {
        Self::parse_from(short::spelled_out(std::env::args_os().collect()))
    }

    /// Does what was asked.
    #[must_use]
    pub fn run(self) -> ExitCode {
        match self.verb {
            Verb::Run(verb) => verb.run(),
            Verb::Check(verb) => verb.run(),
            Verb::Test(verb) => verb.run(),
            Verb::Match(verb) => verb.run(),
            Verb::Explain(verb) => verb.run(),
            Verb::Schema(verb) => verb.run(),
            Verb::Demo(verb) => verb.run(),
            Verb::Status(verb) => verb.run(),
            Verb::Routes(verb) => verb.run(),
            Verb::Endpoints(verb) => verb.run(),
            Verb::Services(verb) => verb.run(),
            Verb::Tap(verb) => verb.run(),
            Verb::Events(verb) => verb.run(),
            Verb::Diff(verb) => verb.run(),
            Verb::Apply(verb) => verb.run(),
            Verb::Confirm(verb) => verb.run(),
            Verb::Revert(verb) => verb.run(),
            Verb::Rollback(verb) => verb.run(),
            Verb::History(verb) => verb.run(),
            Verb::Reload(verb) => verb.run(),
            Verb::Drain(verb) => verb.run(),
            Verb::Undrain(verb) => verb.run(),
            Verb::Reset(verb) => verb.run(),
            Verb::Stop(verb) => verb.run(),
            Verb::Health(verb) => verb.run(),
            Verb::LogLevel(verb) => verb.run(),
            Verb::Token(verb) => verb.run(),
            Verb::Completions(verb) => verb.run(),
            Verb::Man(verb) => verb.run(),
        }
    }
}

/// The environment, read once.
#[expect(clippy::disallowed_methods, reason = "the environment is read once, here at the edge")]
pub(crate) fn environment() -> BTreeMap<String, String> {
    // Lossy: a variable that is no text cannot be meant by a configuration that is.
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect()
}

/// Colour only for people, and not if they asked for none (no-color.org).
pub(crate) fn style_of(stream: &impl IsTerminal) -> Style {
    let wants_none = environment().get("NO_COLOR").is_some_and(|value| !value.is_empty());
    if stream.is_terminal() && !wants_none { Style::Colour } else { Style::Plain }
}

/// The plugins of this binary.
///
/// Empty if two of them share a name, which the plugins' own tests rule out.
pub(crate) fn catalog() -> Catalog {
    portcullis_plugin_builtin::catalog().unwrap_or_default()
}

/// Prints an answer. A reader that has gone away is no error.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints what went wrong.
pub(crate) fn complain(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints why a configuration is refused, and the exit code that says so.
pub(crate) fn refuse(refusal: &Refusal, output: Output) -> ExitCode {
    if output.json {
        print(&format!("{:#}\n", refusal.to_problem()));
    } else {
        complain(&refusal.rendered(style_of(&std::io::stderr())));
    }
    ExitCode::from(match refusal {
        Refusal::TestsFailed { .. } => EXIT_TESTS,
        Refusal::Invalid { .. } | Refusal::NeedsRestart { .. } => EXIT_INVALID,
        Refusal::Listeners { .. } | Refusal::Store { .. } | Refusal::OnTrial => 1,
    })
}
