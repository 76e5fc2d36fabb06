//! `cargo xtask check`: every check, in order of how fast it can fail.

use std::path::Path;
use std::process::{Command, ExitCode};

use crate::{Findings, arrows, codegen, tidy};

/// One check of our own.
type Check = fn(&Path) -> Findings;

/// Runs every check and stops at the first that fails.
pub(crate) fn run(root: &Path) -> ExitCode {
    let ours: [(&str, Check); 3] =
        [("tidy", tidy::check), ("arrows", arrows::check), ("codegen --check", codegen::check)];
    let fuzz = ["fmt", "--manifest-path", "gateway/core/fuzz/Cargo.toml", "--check"];
    if !cargo(root, "fmt", &["fmt", "--all", "--check"], &[])
        || !cargo(root, "fmt of the fuzz crate", &fuzz, &[])
    {
        return ExitCode::FAILURE;
    }
    for (name, check) in ours {
        eprintln!("--- {name}");
        let findings = check(root);
        if !findings.is_empty() {
            findings.iter().for_each(|finding| eprintln!("{finding}"));
            eprintln!("xtask check: {name}: {} to mend", findings.len());
            return ExitCode::FAILURE;
        }
    }
    if through_cargo(root) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn through_cargo(root: &Path) -> bool {
    cargo(
        root,
        "clippy",
        &["clippy", "--locked", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"],
        &[],
    ) && cargo(
        root,
        "doc",
        &["doc", "--locked", "--quiet", "--workspace", "--no-deps"],
        &[("RUSTDOCFLAGS", "-D warnings")],
    ) && cargo(root, "test", &["test", "--locked", "--workspace"], &[])
        && deny(root)
}

/// Licences, bans and sources; advisories too where their database can be reached.
fn deny(root: &Path) -> bool {
    if Command::new("cargo-deny").arg("--version").output().is_err() {
        if std::env::var_os("CI").is_some_and(|value| value == "true") {
            eprintln!("xtask check: cargo-deny is missing; ./run setup builds it");
            return false;
        }
        eprintln!("SKIPPED (1): cargo deny: not installed; ./run setup builds it");
        return true;
    }
    if !cargo(root, "deny", &["deny", "--log-level", "error", "check", "licenses", "bans", "sources"], &[]) {
        return false;
    }
    eprintln!("--- deny advisories");
    let advisories = Command::new("cargo")
        .args(["deny", "--log-level", "error", "check", "advisories"])
        .current_dir(root)
        .output();
    match advisories {
        Ok(output) if output.status.success() => true,
        Ok(output) => advisories_are_out_of_reach(&String::from_utf8_lossy(&output.stderr)),
        Err(error) => advisories_are_out_of_reach(&error.to_string()),
    }
}

/// A database that cannot be fetched is said, not failed; an advisory that applies is a failure.
fn advisories_are_out_of_reach(said: &str) -> bool {
    let unreachable = said.contains("failed to fetch") || said.contains("failed to load advisory database");
    if unreachable {
        eprintln!("SKIPPED (1): cargo deny advisories: their database cannot be reached from here");
    } else {
        eprintln!("{said}");
    }
    unreachable
}

fn cargo(root: &Path, name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> bool {
    eprintln!("--- {name}");
    let status =
        Command::new("cargo").args(arguments).envs(environment.iter().copied()).current_dir(root).status();
    match status {
        Ok(status) if status.success() => true,
        Ok(status) => {
            eprintln!("xtask check: {name} failed ({status})");
            false
        }
        Err(error) => {
            eprintln!("xtask check: {name} could not be started: {error}");
            false
        }
    }
}
