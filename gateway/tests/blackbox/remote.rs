//! The commands about a running gateway: what they print, and how they exit.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::support::{Act, Gateway, Upstream, closed_address, until};

/// What a command did.
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}:\n{}{}", self.out, self.err))
    }
}

/// A command that goes on; it ends when dropped.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What it prints, line by line.
    fn lines(&mut self) -> impl Iterator<Item = String> {
        self.out.by_ref().lines().map(Result::unwrap)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// The binary about this gateway, whose token is in its state directory.
fn command(gateway: &Gateway, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command
        .args(arguments)
        .current_dir(gateway.path("."))
        .env("PORTCULLIS_ADMIN", format!("http://{}", gateway.admin))
        .env("PORTCULLIS_STATE_DIR", gateway.path("state"))
        .env_remove("PORTCULLIS_ADMIN_TOKEN")
        .stdin(Stdio::null());
    command
}

pub(crate) fn portcullis(gateway: &Gateway, arguments: &[&str]) -> Done {
    finished(&mut command(gateway, arguments))
}

fn finished(command: &mut Command) -> Done {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Done { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

fn start() -> (Upstream, Gateway) {
    let upstream = Upstream::start(|seen| match seen.target.starts_with("/api/broken") {
        true => Act::status(503),
        false => Act::ok("hello"),
    });
    let gateway = Gateway::start(&format!(
        "upstreams: {{ orders: {{ hosts: [\"{}\"] }} }}\nroutes: {{ orders: {{ path: /api/**, to: orders }} }}",
        upstream.address
    ));
    (upstream, gateway)
}

/// Lines with their columns one space apart.
fn lines(out: &str) -> Vec<String> {
    out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn status_routes_and_endpoints_show_what_is_there_for_people_and_for_programs() {
    let (upstream, gateway) = start();
    let status = portcullis(&gateway, &["status"]);
    assert_eq!(status.code, Some(0), "{}", status.err);
    let shown = lines(&status.out);
    assert!(
        shown.contains(&"phase ready".to_owned()) && shown.contains(&"generation 1".to_owned()),
        "{shown:?}"
    );
    assert!(!status.out.contains('\u{1b}'), "no colours when nobody looks");
    assert_eq!(portcullis(&gateway, &["status", "--json"]).json()["phase"], "ready");
    assert_eq!(lines(&portcullis(&gateway, &["routes"]).out)[1], "orders - /api/** - orders -");
    assert_eq!(
        portcullis(&gateway, &["routes", "--filter", "nothing", "--json"]).json()["items"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    let endpoints = portcullis(&gateway, &["endpoints", "orders"]);
    let expected = format!("orders {0} {0} passing 1 0 0 -", upstream.address);
    assert_eq!(lines(&endpoints.out)[1], expected);
    let quiet = portcullis(&gateway, &["status", "-q"]);
    assert_eq!((quiet.code, quiet.out.as_str()), (Some(0), ""));
}

#[test]
fn drain_and_undrain_take_an_endpoint_out_and_bring_it_back() {
    let (upstream, gateway) = start();
    let address = upstream.address.to_string();
    let drained = portcullis(&gateway, &["drain", &address]);
    assert_eq!(drained.code, Some(0), "{}", drained.err);
    assert_eq!(drained.out, format!("orders {address}: draining, 0 in flight\n"));
    assert_eq!(gateway.get("/api/x").status, 503);
    assert!(portcullis(&gateway, &["endpoints"]).out.contains("draining"));
    let ready = portcullis(&gateway, &["undrain", &address, "--upstream", "orders", "--json"]);
    assert_eq!(ready.json()["items"][0]["draining"], false);
    assert_eq!(gateway.get("/api/x").status, 200);
    let unknown = portcullis(&gateway, &["drain", "nobody"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("unknown_endpoint"), "{}", unknown.err);
}

#[test]
fn tap_shows_requests_as_they_end_and_stops_when_it_has_enough() {
    let (_upstream, gateway) = start();
    let mut tap = Running::start(command(&gateway, &["tap", "--status", "5xx", "--count", "2"]));
    // Some come before it is connected: it ends when it has seen two.
    until("tap has what it wants", || {
        let _answers = (gateway.get("/api/fine?token=s3cret"), gateway.get("/api/broken?token=s3cret"));
        tap.has_ended()
    });
    let shown: Vec<String> = tap.lines().collect();
    assert_eq!(shown.len(), 2, "{shown:?}");
    for line in shown {
        assert!(line.contains("GET shop.test/api/broken 503") && line.contains("orders"), "{line}");
        assert!(!line.contains("s3cret"), "{line}");
    }
}

#[test]
fn events_are_shown_from_the_first_that_is_kept_and_end_when_there_are_enough() {
    let (upstream, gateway) = start();
    let address = upstream.address.to_string();
    for verb in ["drain", "undrain"] {
        assert_eq!(portcullis(&gateway, &[verb, &address]).code, Some(0));
    }
    let drains = portcullis(&gateway, &["events", "--kind", "drain", "--count", "2"]);
    assert_eq!(drains.code, Some(0), "{}", drains.err);
    let shown = lines(&drains.out);
    assert_eq!(shown.len(), 2, "{shown:?}");
    for part in [" drain ", "by=admin", "draining=yes", &format!("endpoint={address}"), "upstream=orders"] {
        assert!(shown[0].contains(part), "{shown:?}");
    }
    assert!(shown[1].contains("draining=no"), "{shown:?}");
    let as_json = portcullis(&gateway, &["events", "--json", "--kind", "drain", "--count", "1"]).json();
    assert_eq!((as_json["kind"].as_str(), as_json["upstream"].as_str()), (Some("drain"), Some("orders")));
    let unknown = portcullis(&gateway, &["events", "--kind", "drains"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.err.contains("config_reverted"), "{}", unknown.err);
    // The gap that asking from the beginning makes is not shown.
    assert!(!portcullis(&gateway, &["events", "--count", "1"]).out.contains(" gap"));
}

#[test]
fn reset_says_how_many_breakers_let_requests_through_again() {
    let upstream = Upstream::start(|_| Act::status(503));
    let gateway = Gateway::start(&format!(
        "upstreams: {{ orders: {{ hosts: [\"{}\"] }} }}\nroutes: {{ orders: {{ path: /api/**, to: orders, \
         circuit_breaker: {{ consecutive: 2, open: 5m }} }} }}",
        upstream.address
    ));
    assert_eq!(portcullis(&gateway, &["reset", "orders"]).out, "orders: no breaker kept requests away\n");
    until("a breaker trips", || {
        let _answer = gateway.get("/api/x");
        portcullis(&gateway, &["endpoints"]).out.contains("tripped")
    });
    let reset = portcullis(&gateway, &["reset", "orders"]);
    assert_eq!(reset.code, Some(0), "{}", reset.err);
    assert!(reset.out.ends_with("lets requests through again\n"), "{}", reset.out);
    let unknown = portcullis(&gateway, &["reset", "nobody"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("nobody"), "{}", unknown.err);
}

#[test]
fn whoever_has_no_right_is_told_so_and_with_what() {
    let (_upstream, gateway) = start();
    let viewer = gateway.token_of("viewer");
    let with = |token: &str, arguments: &[&str]| {
        finished(command(&gateway, arguments).env("PORTCULLIS_ADMIN_TOKEN", token))
    };
    assert_eq!(with(&viewer, &["status"]).code, Some(0));
    let refused = with(&viewer, &["reload"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("role (403)") && refused.err.contains("operator"), "{}", refused.err);
    let wrong = with("wrong", &["status", "--json"]);
    assert_eq!((wrong.code, wrong.json()["code"].as_str()), (Some(1), Some("unauthenticated")));
    let file = gateway.path("viewer-token");
    std::fs::write(&file, format!("{viewer}\n")).unwrap();
    let path = file.to_str().unwrap();
    assert_eq!(
        with("wrong", &["status", "--token-file", path]).code,
        Some(0),
        "the flag wins over the variable"
    );
    assert_eq!(portcullis(&gateway, &["status", "--token-file", "nowhere"]).code, Some(2));
}

#[test]
fn a_gateway_that_is_not_there_is_said_and_where_it_was_looked_for() {
    let (_upstream, gateway) = start();
    let nowhere = format!("http://{}", closed_address());
    let gone = portcullis(&gateway, &["status", "--admin", &nowhere]);
    assert_eq!(gone.code, Some(1));
    assert!(gone.err.contains(&nowhere) && gone.err.contains("--admin"), "{}", gone.err);
    let json = portcullis(&gateway, &["status", "--json", "--admin", &nowhere]).json();
    assert_eq!(json["code"], "unreachable");
    for wrong in ["ftp://x", "nonsense"] {
        assert_eq!(portcullis(&gateway, &["status", "--admin", wrong]).code, Some(2), "{wrong}");
    }
}

#[test]
fn the_socket_needs_no_token() {
    let gateway = Gateway::start_whole(
        "version: 1\nadmin: { address: \"127.0.0.1:0\", socket: admin.sock }\nmetrics: { address: \"127.0.0.1:0\" }\n\
         listeners: { web: { address: \"127.0.0.1:0\" } }\nroutes: { a: { path: /a, to: \"http://127.0.0.1:1\" } }\n",
    );
    let socket = format!("unix:{}", gateway.path("admin.sock").display());
    let status = portcullis(&gateway, &["status", "--json", "--admin", &socket]);
    assert_eq!((status.code, status.json()["routes"].as_u64()), (Some(0), Some(1)), "{}", status.err);
    assert_eq!(portcullis(&gateway, &["token", "list", "--admin", &socket]).code, Some(0));
}

#[test]
fn tokens_are_made_listed_and_removed() {
    let (_upstream, gateway) = start();
    let made = portcullis(&gateway, &["token", "add", "ci", "--role", "operator", "--expires-in", "1h"]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    assert_eq!(gateway.admin_as(made.out.trim(), "GET", "/api/v1/status", "").status, 200);
    let listed = portcullis(&gateway, &["token", "list"]);
    assert!(listed.out.contains("ci") && !listed.out.contains(made.out.trim()), "{}", listed.out);
    assert_eq!(
        portcullis(&gateway, &["token", "add", "ci", "--role", "viewer"]).code,
        Some(4),
        "the name is taken"
    );
    assert_eq!(portcullis(&gateway, &["token", "add", "no spaces", "--role", "viewer"]).code, Some(2));
    assert_eq!(portcullis(&gateway, &["token", "add", "x", "--role", "king"]).code, Some(2));
    assert_eq!(portcullis(&gateway, &["token", "remove", "ci"]).code, Some(0));
    assert_eq!(portcullis(&gateway, &["token", "remove", "ci"]).code, Some(1));
}

#[test]
fn reload_health_and_the_log_level_go_through_the_api() {
    let (_upstream, gateway) = start();
    assert_eq!(portcullis(&gateway, &["health"]).out, "ready\n");
    assert!(portcullis(&gateway, &["reload"]).out.starts_with("generation 2"));
    gateway.write("routes: { a: { path: /a, to: nobody } }");
    let refused = portcullis(&gateway, &["reload"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("E0412") && refused.err.contains("gateway.yaml"), "{}", refused.err);
    assert!(portcullis(&gateway, &["log-level", "debug", "--for", "1m"]).out.starts_with("debug until"));
    assert_eq!(portcullis(&gateway, &["log-level", "--json"]).json()["level"], "debug");
    assert_eq!(portcullis(&gateway, &["log-level", "loud"]).code, Some(2));
    assert_eq!(portcullis(&gateway, &["log-level", "start"]).code, Some(0));
}

#[test]
fn stop_ends_the_gateway_as_a_signal_would() {
    let (_upstream, gateway) = start();
    let stopped = portcullis(&gateway, &["stop", "--grace", "5s"]);
    assert_eq!(stopped.code, Some(0), "{}", stopped.err);
    let admin = gateway.admin;
    let ended = gateway.ended();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    let folder = tempfile::tempdir().unwrap();
    let mut health = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    health.args(["health", "--admin", &format!("http://{admin}")]).env("PORTCULLIS_STATE_DIR", folder.path());
    assert_eq!(finished(&mut health).code, Some(1));
}

#[test]
fn endpoints_are_printed_again_when_something_changed() {
    let (upstream, gateway) = start();
    let mut watch = Running::start(command(&gateway, &["endpoints", "--watch", "--json"]));
    let mut next = || serde_json::from_str::<Value>(&watch.lines().next().unwrap()).unwrap();
    assert_eq!(next()["items"][0]["draining"], false);
    assert_eq!(portcullis(&gateway, &["drain", &upstream.address.to_string()]).code, Some(0));
    assert_eq!(next()["items"][0]["draining"], true);
}

#[test]
fn every_verb_has_an_example_and_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        finished(Command::new(env!("CARGO_BIN_EXE_portcullis")).args(arguments).current_dir(folder.path()))
    };
    for verb in [
        "status",
        "routes",
        "endpoints",
        "services",
        "tap",
        "events",
        "reset",
        "diff",
        "apply",
        "confirm",
        "revert",
        "rollback",
        "history",
        "reload",
        "drain",
        "undrain",
        "stop",
        "log-level",
        "token",
    ] {
        let help = run(&[verb, "--help"]);
        assert!(help.out.contains("Example"), "{verb}: {}", help.out);
    }
    assert_eq!(run(&["man", "."]).code, Some(0));
    for page in ["portcullis-apply.1", "portcullis-tap.1", "portcullis-token-add.1"] {
        assert!(folder.path().join(page).exists(), "{page}");
    }
    assert!(run(&["completions", "bash"]).out.contains("undrain"));
}
