//! HTTP/2 as others test it: h2spec, strict, against both kinds of listener.
//!
//! The tool is `h2spec` in `$PORTCULLIS_TOOLS`, which `./run test` builds. Without it the test says
//! that it was skipped; with CI=true its absence is a failure.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Gateway, Upstream};

#[test]
fn h2spec_finds_nothing_on_tls_and_only_the_shared_port_on_clear_text() {
    let Some(tool) = tool() else { return };
    let upstream = Upstream::answering("hello");
    let folder = certificate();
    let gateway = Gateway::start(&format!(
        "listeners:\n  web: {{ address: \"127.0.0.1:0\" }}\n  tls: {{ address: \"127.0.0.1:0\", tls: {{ cert: {0}/cert.pem, key: {0}/key.pem }} }}\n\
         routes: {{ all: {{ path: /**, to: \"http://{1}\" }} }}\n",
        folder.path().display(),
        upstream.address
    ));
    let tls = gateway.listening("tls").unwrap().port();
    let report = run(&tool, &["-t", "-k", "-p", &tls.to_string()]);
    assert!(report.contains("146 tests, 146 passed, 0 skipped, 0 failed"), "{report}");
    let report = run(&tool, &["-p", &gateway.web.port().to_string()]);
    // A port that speaks HTTP/1.1 too answers an invalid preface as what it is: a broken HTTP/1 request.
    assert!(report.contains("146 tests, 145 passed, 0 skipped, 1 failed"), "{report}");
    assert!(report.contains("Sends invalid connection preface"), "{report}");
}

fn tool() -> Option<PathBuf> {
    let tool = std::env::var_os("PORTCULLIS_TOOLS").map(|tools| Path::new(&tools).join("h2spec"));
    if let Some(tool) = tool.filter(|tool| tool.is_file()) {
        return Some(tool);
    }
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "no h2spec in $PORTCULLIS_TOOLS");
    // Written past the test harness, which would keep the output of a passing test to itself.
    let skipped = "\n*** SKIPPED: no h2spec here; ./run setup builds it ***\n\n";
    std::io::stderr().write_all(skipped.as_bytes()).unwrap();
    None
}

fn run(tool: &Path, arguments: &[&str]) -> String {
    let output =
        Command::new(tool).args(["-S", "-h", "127.0.0.1", "-o", "5"]).args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn certificate() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    folder
}
