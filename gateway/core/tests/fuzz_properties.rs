//! The properties that are fuzzed, on the seeds that the fuzzers start from: with every test run, and so that the
//! targets in `gateway/core/fuzz` cannot come to differ from the code unnoticed.

mod http_cases;
mod http_drive;
mod http_reference;
mod properties;
mod sample_plugin;

use std::path::Path;

use properties::{config, fields, path, scanner, seeds};

#[track_caller]
fn hold(target: &str, check: fn(&[u8])) {
    let seeds = seeds::of(target);
    assert!(!seeds.is_empty());
    seeds.iter().for_each(|(_, bytes)| check(bytes));
}

#[test]
fn the_scanner_agrees_with_a_slow_reading_on_every_seed() {
    hold("scanner", scanner::check);
}

#[test]
fn the_path_has_one_form_on_every_seed() {
    hold("path", path::check);
}

#[test]
fn the_fields_say_the_truth_on_every_seed() {
    hold("fields", fields::check);
}

/// What fuzzers have found, so that it stays found.
#[test]
fn what_was_found_once_holds() {
    fields::check(b"GET / h https 10.0.0.1\nx-forwarded-for:1.1.1.1,");
    fields::check(b"GET / h https 10.0.0.1\nx-forwarded-for:1.1.1.1, \xff");
    config::check(b"version: 1\n# nothing to see\rroutes: { a: { path: /a, to: [\r");
    config::check(b"\xef\xbb\xbfroutes: 1\n");
    config::check(b"version: 1\nroutes:\n  a: { path: '${HUSH}', to: consul://a }\n");
    config::check(b"version: 1\nroutes:\n  a: { path: '/${HUSH}/*', to: '${HUSH}' }\n");
}

#[test]
fn findings_point_into_the_text_of_every_golden_and_example() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["tests/golden", "../schema/tests/golden", "../../config/examples"];
    let files: Vec<Vec<u8>> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(manifest.join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    assert!(files.len() > 30, "{}", files.len());
    files.iter().for_each(|text| config::check(text));
}
