//! `cargo xtask fuzz`: the core's properties against whatever libFuzzer thinks of, for a bounded time and memory.
//!
//! Builds `gateway/core/fuzz` with coverage, runs each target and prints how much it ran and reached. The coverage
//! flags are stable ones, so that the pinned toolchain does; no sanitizer is asked for, since nothing here is unsafe.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

/// One target and the folders of the project that it starts from, beside the seeds it brings.
struct Target {
    name: &'static str,
    seeds: &'static [&'static str],
    input_bytes_max: u32,
}

const TARGETS: [Target; 4] = [
    Target { name: "scanner", seeds: &[], input_bytes_max: 1_024 },
    Target { name: "path", seeds: &[], input_bytes_max: 128 },
    Target { name: "fields", seeds: &[], input_bytes_max: 1_024 },
    Target {
        name: "config",
        seeds: &["gateway/core/tests/golden", "gateway/schema/tests/golden", "config/examples"],
        input_bytes_max: 4_096,
    },
];

/// How long each target runs when nothing else is said.
const SECONDS: u32 = 60;
/// A single input may take this long; more is a finding.
const INPUT_SECONDS_MAX: u32 = 5;
/// Memory of a target; more is a finding.
const MEMORY_MIB_MAX: u32 = 1_024;

/// What `-C passes=sancov-module` is told: count edges, and show the fuzzer what was compared with what.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing";

/// Runs the target that is named, or all of them.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> ExitCode {
    let Some((wanted, seconds)) = read(arguments) else {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!(
            "usage: cargo xtask fuzz [TARGET] [--seconds N], where TARGET is one of {}",
            names.join(", ")
        );
        return ExitCode::from(2);
    };
    let Some(programs) = build(root) else { return ExitCode::FAILURE };
    let mut all_held = true;
    for target in TARGETS.iter().filter(|target| wanted.is_none_or(|name| name == target.name)) {
        all_held &= fuzz(root, &programs, target, seconds);
    }
    if all_held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The target, if one is named, and the seconds.
fn read<'a>(arguments: &[&'a str]) -> Option<(Option<&'a str>, u32)> {
    let is_known = |name: &str| TARGETS.iter().any(|target| target.name == name);
    match *arguments {
        [] => Some((None, SECONDS)),
        ["--seconds", seconds] => Some((None, seconds.parse().ok()?)),
        [name] if is_known(name) => Some((Some(name), SECONDS)),
        [name, "--seconds", seconds] if is_known(name) => Some((Some(name), seconds.parse().ok()?)),
        _ => None,
    }
}

/// Where everything of the fuzzers is kept.
fn folder(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("target"), |target| root.join(target))
        .join("fuzz")
}

/// The folder of the built programs.
fn build(root: &Path) -> Option<PathBuf> {
    let host = host()?;
    let folder = folder(root);
    eprintln!("--- building the targets");
    let status = Command::new("cargo")
        .args(["build", "--release", "--locked", "--manifest-path", "gateway/core/fuzz/Cargo.toml"])
        // With a target named, build scripts and macros are built without coverage.
        .args(["--target", &host])
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTFLAGS", COVERAGE)
        .current_dir(root)
        .status();
    match status {
        Ok(status) if status.success() => Some(folder.join(host).join("release")),
        Ok(status) => {
            eprintln!("xtask fuzz: the build failed ({status}); it needs a C++ compiler too");
            None
        }
        Err(error) => {
            eprintln!("xtask fuzz: cargo could not be started: {error}");
            None
        }
    }
}

fn host() -> Option<String> {
    let output = Command::new("rustc").arg("-vV").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned)
}

/// Runs one target; whether every input held.
fn fuzz(root: &Path, programs: &Path, target: &Target, seconds: u32) -> bool {
    let (corpus, findings) = (folder(root).join("corpus").join(target.name), folder(root).join("findings"));
    for made in [&corpus, &findings] {
        if let Err(error) = fs::create_dir_all(made) {
            eprintln!("xtask fuzz: cannot make {}: {error}", made.display());
            return false;
        }
    }
    eprintln!("--- {} for {seconds} s", target.name);
    let prefix = findings.join(format!("{}-", target.name));
    let dictionary = root.join("gateway/core/fuzz/dictionaries").join(format!("{}.dict", target.name));
    let output = Command::new(programs.join(target.name))
        .arg(&corpus)
        .args(target.seeds)
        .arg(format!("-dict={}", dictionary.display()))
        .arg(format!("-artifact_prefix={}", prefix.display()))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={}", target.input_bytes_max))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
        .arg("-use_value_profile=1")
        // The property says what is wrong; the way there is always the same.
        .env("RUST_BACKTRACE", "0")
        .current_dir(root)
        .stdout(Stdio::null())
        .output();
    match output {
        Ok(output) => report(target.name, output.status.success(), &String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            eprintln!("xtask fuzz: {} could not be started: {error}", target.name);
            false
        }
    }
}

/// Prints what came of a run in one line, or the end of what was said when an input did not hold.
fn report(name: &str, held: bool, said: &str) -> bool {
    let summary = Summary::read(said);
    println!(
        "{name}: {} runs, {} edges, {} features, {} inputs kept{}",
        summary.runs,
        summary.edges,
        summary.features,
        summary.inputs,
        if held { "" } else { "; A FINDING" }
    );
    if !held {
        let lines: Vec<&str> = said.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default();
        eprintln!("{}", tail.join("\n"));
    }
    held
}

/// What libFuzzer said last, `?` for what it did not get to say.
#[derive(Debug, PartialEq)]
struct Summary<'a> {
    runs: &'a str,
    edges: &'a str,
    features: &'a str,
    inputs: &'a str,
}

impl<'a> Summary<'a> {
    /// From a line such as `#4096 DONE cov: 812 ft: 1502 corp: 95/2Kb lim: 64 exec/s: 0 rss: 40Mb`.
    fn read(said: &'a str) -> Self {
        let last = said.lines().rev().find(|line| line.starts_with('#') && line.contains(" cov: "));
        let words: Vec<&str> = last.unwrap_or_default().split_whitespace().collect();
        let after = |label: &str| {
            let at = words.iter().position(|word| *word == label);
            at.and_then(|at| words.get(at + 1)).copied().unwrap_or("?")
        };
        let runs = words.first().map_or("?", |word| word.trim_start_matches('#'));
        let inputs = after("corp:").split('/').next().unwrap_or("?");
        Self { runs, edges: after("cov:"), features: after("ft:"), inputs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_said_last_is_what_counts() {
        let said = "#2\tINITED cov: 3 ft: 3 corp: 1/1b exec/s: 0 rss: 30Mb\n\
                    #4096\tDONE   cov: 812 ft: 1502 corp: 95/2Kb lim: 64 exec/s: 68 rss: 40Mb\nDone 4096 runs in 60 s\n";
        let expected = Summary { runs: "4096", edges: "812", features: "1502", inputs: "95" };
        assert_eq!(Summary::read(said), expected);
        let nothing = Summary { runs: "?", edges: "?", features: "?", inputs: "?" };
        assert_eq!(Summary::read("no such file"), nothing);
    }

    #[test]
    fn a_target_and_a_time_may_be_named() {
        assert_eq!(read(&[]), Some((None, SECONDS)));
        assert_eq!(read(&["path"]), Some((Some("path"), SECONDS)));
        assert_eq!(read(&["path", "--seconds", "5"]), Some((Some("path"), 5)));
        assert_eq!(read(&["--seconds", "5"]), Some((None, 5)));
        assert_eq!(read(&["elsewhere"]), None);
        assert_eq!(read(&["path", "--seconds", "soon"]), None);
    }

    #[test]
    fn every_target_is_built_by_the_fuzz_crate_and_has_a_dictionary() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/core/fuzz");
        for Target { name, .. } in &TARGETS {
            assert!(fuzz.join(format!("fuzz_targets/{name}.rs")).is_file(), "{name}");
            assert!(fuzz.join(format!("dictionaries/{name}.dict")).is_file(), "{name}");
        }
    }
}
