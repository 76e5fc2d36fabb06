//! A running gateway, asked through its admin API: where it is, who asks, and how its answers end the command.
//!
//! Every verb about a running gateway goes through here; none has a way of its own.

mod client;
mod table;
mod trouble;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::{Output, environment, print};
use crate::state_dir::{StateDir, TOKEN_FILE};

pub(super) use client::{Answer, Ask, Client, Stream};
pub(super) use table::{table, text};
pub(super) use trouble::Trouble;

/// The variable that holds a token.
const TOKEN_VARIABLE: &str = "PORTCULLIS_ADMIN_TOKEN";
/// Bytes of a file that holds a token.
const TOKEN_BYTES_MAX: u64 = 4 << 10;

/// Where the gateway is, and who asks.
#[derive(Debug, Clone, Args)]
pub(super) struct Remote {
    /// The admin API: a URL, or unix:PATH for a socket
    #[arg(
        long,
        value_name = "URL|unix:PATH",
        env = "PORTCULLIS_ADMIN",
        default_value = "http://127.0.0.1:9901"
    )]
    admin: String,
    /// The file that holds the token (default: PORTCULLIS_ADMIN_TOKEN, else admin-token in the state directory)
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The gateway's state directory, where its token is
    #[arg(long, value_name = "DIR", env = "PORTCULLIS_STATE_DIR")]
    state_dir: Option<PathBuf>,
}

impl Remote {
    /// A client of it.
    pub(super) fn open(&self) -> Result<Client, Trouble> {
        Client::new(&self.admin, self.token()?)
    }

    /// The token of whoever asks; none is no error here, a socket needs none.
    fn token(&self) -> Result<Option<String>, Trouble> {
        if let Some(path) = &self.token_file {
            let token = read(path)
                .map_err(|error| Trouble::Usage(format!("--token-file {}: {error}", path.display())))?;
            return Ok(Some(token));
        }
        let env = environment();
        if let Some(token) = env.get(TOKEN_VARIABLE).filter(|token| !token.is_empty()) {
            return Ok(Some(token.clone()));
        }
        if self.admin.starts_with("unix:") {
            return Ok(None);
        }
        let place = StateDir::place(self.state_dir.as_deref(), &env);
        // Unreadable for this user, or not there: the gateway's answer says what is missing.
        Ok(place.and_then(|place| read(&place.join(TOKEN_FILE)).ok()))
    }
}

fn read(path: &std::path::Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(TOKEN_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

/// Prints what was answered, or why nothing was; and the exit code that says so.
pub(super) fn end(
    answered: Result<Value, Trouble>,
    output: Output,
    show: impl FnOnce(&Value) -> String,
) -> ExitCode {
    match answered {
        Ok(value) => {
            if output.json {
                print(&format!("{value:#}\n"));
            } else if !output.quiet {
                print(&show(&value));
            }
            ExitCode::SUCCESS
        }
        Err(trouble) => trouble.tell(output),
    }
}
