//! `portcullis-load` and `portcullis-origin` as processes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![expect(clippy::disallowed_methods, reason = "a test's deadline is read from the clock")]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Output, Stdio};

use portcullis_loadtest::Report;

/// A running origin; killed by its own id when dropped.
struct Origin {
    child: Child,
    address: String,
}

impl Origin {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis-origin"))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        Self { child, address }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn load(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portcullis-load")).args(arguments).output().unwrap()
}

#[test]
fn a_clean_load_exits_with_zero_and_reports_json() {
    let origin = Origin::start(&["--served-by", "one"]);
    let url = format!("http://{}/", origin.address);
    let output = load(&[
        "--url",
        &url,
        "--rate",
        "200",
        "--duration",
        "300ms",
        "--spread-header",
        "x-served-by",
        "--json",
    ]);
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", report.summary());
    assert_eq!((report.sent, report.spread["one"]), (60, 60));
}

#[test]
fn a_load_with_failures_exits_with_one_and_shows_them() {
    let origin = Origin::start(&["--fail-every", "2"]);
    let url = format!("http://{}/", origin.address);
    let output = load(&["--url", &url, "--rate", "200", "--duration", "100ms", "--expect", "200,201"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().contains("failed, status_503: 10"));
}

#[test]
fn a_load_ends_when_standard_input_closes() {
    let origin = Origin::start(&[]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis-load"))
        .args(["--url", &format!("http://{}/", origin.address), "--rate", "500", "--until-stdin-closes"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"still here\n").unwrap();
    drop(stdin);
    let begun = std::time::Instant::now();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let report: Report = serde_json::from_str(&text).unwrap();
    child.wait().unwrap();
    assert!(begun.elapsed().as_secs() < 60, "it ran on until its bound");
    assert_eq!(report.failed, 0, "{}", report.summary());
}

#[test]
fn another_machine_and_wrong_usage_exit_with_two_and_say_why() {
    for (arguments, part) in [
        (["--url", "http://192.0.2.1/", "--rate", "1"], "loopback addresses only"),
        (["--url", "http://127.0.0.1/", "--rate", "0"], "out of range"),
        (["--url", "http://127.0.0.1/", "--duration", "5"], "has no unit"),
        (["--url", "http://127.0.0.1/", "--header", "novalue"], "Name: value"),
    ] {
        let output = load(&arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(part), "{error}");
    }
}
