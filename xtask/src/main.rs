//! The project's own checks: `cargo xtask check` is what stands between a change and main.
//!
//! Decides nothing about the product; reads the tree, runs cargo, and says what departs from what
//! STYLE.md and ARCHITECTURE.md promise.

mod arrows;
mod check;
mod codegen;
mod error_codes;
mod fuzz;
mod links;
mod source;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask COMMAND

  check                 everything below, in order of how fast it can fail
  tidy                  lengths of files and functions, bodies of `impl ProxyHttp`, who names a Pingora type,
                        links of pages that lead nowhere
  arrows                which crate may depend on which
  codegen [--check]     write the generated files, or say which are out of date
  fuzz [TARGET] [--seconds N]
                        the fuzz targets of gateway/core/fuzz, each for N seconds (60)
  free-port             print a TCP port nobody listens on
";

/// What is wrong, one line each; empty when nothing is.
pub(crate) type Findings = Vec<String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = workspace_root();
    match words.as_slice() {
        ["check"] => check::run(&root),
        ["tidy"] => settle("tidy", tidy::check(&root)),
        ["arrows"] => settle("arrows", arrows::check(&root)),
        ["codegen"] => settle("codegen", codegen::write(&root)),
        ["codegen", "--check"] => settle("codegen", codegen::check(&root)),
        ["fuzz", arguments @ ..] => fuzz::run(&root, arguments),
        ["free-port"] => free_port(),
        _ => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn workspace_root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// Prints the findings of a check and turns them into an exit code.
fn settle(name: &str, findings: Findings) -> ExitCode {
    for finding in &findings {
        eprintln!("{finding}");
    }
    if findings.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("{name}: {} to mend", findings.len());
    ExitCode::FAILURE
}

fn free_port() -> ExitCode {
    match std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()) {
        Ok(address) => {
            println!("{}", address.port());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("no free port: {error}");
            ExitCode::FAILURE
        }
    }
}
