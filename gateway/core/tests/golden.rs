//! One file, one test: `golden/NAME.yaml` is compiled and its inline tests are run; what comes of it is compared
//! with `golden/NAME.txt`. `UPDATE=1 cargo test -p portcullis-core --test golden` writes what is the case.

#![expect(clippy::unwrap_used, reason = "helpers of a test, which fails by panicking")]

mod sample_plugin;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use portcullis_core::limit::LimitSeed;
use portcullis_core::snapshot::{Carried, Compiled, Route, Snapshot, Target, compile, run_route_tests};
use portcullis_plugin_sdk::Catalog;
use portcullis_schema::{Loaded, MemorySource, Style, load, render};
use sample_plugin::Answer;

#[test]
fn every_golden_file_gives_what_is_written_beside_it() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut inputs: Vec<PathBuf> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty());
    let wrong: Vec<String> = inputs.iter().filter_map(|input| check(input)).collect();
    assert!(wrong.is_empty(), "UPDATE=1 rewrites what is right to differ\n{}", wrong.join("\n"));
}

/// What differs, if anything does.
#[expect(
    clippy::disallowed_methods,
    reason = "the switch that rewrites golden files is an environment variable"
)]
fn check(input: &Path) -> Option<String> {
    let expected_path = input.with_extension("txt");
    let found = describe(&std::fs::read_to_string(input).unwrap());
    if std::env::var("UPDATE").is_ok() {
        std::fs::write(&expected_path, &found).unwrap();
        return None;
    }
    let expected = std::fs::read_to_string(&expected_path).unwrap_or_default();
    (found != expected).then(|| format!("--- {}\n{found}", expected_path.display()))
}

fn describe(text: &str) -> String {
    let source = MemorySource::new().with("gateway.yaml", text);
    let loaded = load(Path::new("gateway.yaml"), &source, &BTreeMap::new());
    let catalog = Catalog::new().with::<Answer>().unwrap();
    let Compiled { snapshot, diagnostics } = compile(&loaded, &catalog, &Carried::nothing(LimitSeed([1, 2])));
    let mut out = render(&diagnostics, &loaded.sources, Style::Plain);
    if let Some(snapshot) = snapshot {
        describe_snapshot(&loaded, &snapshot, &mut out);
    }
    out
}

fn describe_snapshot(loaded: &Loaded, snapshot: &Snapshot, out: &mut String) {
    for (_, route) in snapshot.router.iter() {
        writeln!(out, "{}", describe_route(route)).unwrap();
    }
    for listener in snapshot.listeners.values() {
        writeln!(out, "listener {} at {}", listener.name, listener.address).unwrap();
    }
    for result in run_route_tests(&loaded.document, snapshot) {
        let word = if result.passed() { "ok" } else { "FAILED" };
        writeln!(out, "test {} · {} · {word}", result.route, result.request).unwrap();
        for failure in &result.failures {
            writeln!(out, "  expected {}, found {}", failure.expected, failure.found).unwrap();
        }
    }
}

fn describe_route(route: &Route) -> String {
    let mut line = format!("route {} ->", route.name);
    let total = match &route.settings.target {
        Target::One(_) => 1,
        Target::Weighted { total, .. } => *total,
    };
    for destination in route.settings.target.all() {
        let times = destination.timeouts;
        write!(
            line,
            " {} (connect {:?}, request {:?}, idle {:?}, breaker {:?})",
            destination.upstream.name,
            times.connect,
            times.request,
            times.idle,
            destination.breaker.map(|breaker| breaker.0)
        )
        .unwrap();
    }
    write!(line, " of {total}, body {:?}", route.settings.body_bytes_max).unwrap();
    let gates = [("jwt", route.settings.jwt.is_some()), ("api_key", route.settings.api_key.is_some())];
    for (gate, _) in gates.iter().filter(|(_, is_on)| *is_on) {
        write!(line, ", {gate}").unwrap();
    }
    if let Some(limit) = &route.settings.limit {
        let settings = limit.settings();
        write!(line, ", limit {} {}/{:?}", settings.name, settings.permits, settings.per).unwrap();
    }
    if let Some(retry) = &route.settings.retry {
        write!(line, ", {} attempts on {:?}", retry.settings().attempts, retry.settings().statuses).unwrap();
    }
    write!(line, ", {} fallbacks", route.settings.fallbacks.len()).unwrap();
    line
}
