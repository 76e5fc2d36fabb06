//! Start, stop, and what is said when neither works.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Act, Answer, Client, Gateway, Upstream, run_to_end, timed, until};

const QUIET: &str = "version: 1\n\
    admin: { address: \"127.0.0.1:0\" }\n\
    metrics: { address: \"127.0.0.1:0\" }\n\
    listeners: { web: { address: \"127.0.0.1:0\" } }\n\
    routes: { a: { path: /a, to: \"http://127.0.0.1:1\" } }\n";

#[test]
fn a_request_in_progress_finishes_when_the_gateway_is_told_to_stop() {
    let upstream =
        Upstream::start(|_| Act::Late(Duration::from_millis(800), Answer::new(200, "late but whole")));
    let gateway = Gateway::start_with(
        &format!("routes: {{ all: {{ path: /**, to: \"http://{}\" }} }}", upstream.address),
        &["--grace", "10s"],
    );
    let web = gateway.web;
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    until("the request is in progress", || upstream.count() == 1);
    gateway.signal(Signal::TERM);
    until("new connections are refused", || Client::try_connect(web).is_err());
    let reply = client.reply();
    assert_eq!((reply.status, reply.text().as_str()), (200, "late but whole"));
    let (took, stopped) = timed(|| gateway.ended());
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.log);
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn an_idle_gateway_stops_at_once_even_with_open_connections() {
    let gateway = Gateway::start("routes: { a: { path: /a, to: \"http://127.0.0.1:1\" } }");
    let mut idle = gateway.client();
    assert_eq!(idle.ask("GET", "/none", &[], "").status, 404);
    gateway.signal(Signal::INT);
    let (took, stopped) = timed(|| gateway.ended());
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.log);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(idle.is_closed());
}

#[test]
fn what_does_not_end_within_the_grace_is_broken_off() {
    let upstream = Upstream::start(|_| Act::Hang);
    let gateway = Gateway::start_with(
        &format!("routes: {{ all: {{ path: /**, to: \"http://{}\" }} }}", upstream.address),
        &["--grace", "300ms"],
    );
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    until("the request is in progress", || upstream.count() == 1);
    gateway.signal(Signal::TERM);
    let (took, stopped) = timed(|| gateway.ended());
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.log);
    assert!(took < Duration::from_secs(6), "{took:?}");
}

#[test]
fn a_configuration_that_cannot_be_used_ends_with_2_and_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let missing = run_to_end(folder.path(), &["run", "-c", "nowhere.yaml", "--state-dir", "state"]);
    assert_eq!(missing.status.code(), Some(2), "{}", missing.log);
    assert!(missing.log.contains("nowhere.yaml"), "{}", missing.log);
    std::fs::write(folder.path().join("bad.yaml"), "version: 1\nroutes:\n  a: { path: a, too: x }\n")
        .unwrap();
    let bad = run_to_end(folder.path(), &["run", "-c", "bad.yaml", "--state-dir", "state"]);
    assert_eq!(bad.status.code(), Some(2), "{}", bad.log);
    assert!(bad.log.contains("bad.yaml:3") && bad.log.contains("too"), "{}", bad.log);
    let usage = run_to_end(folder.path(), &["run", "--no-such-flag"]);
    assert_eq!(usage.status.code(), Some(2), "{}", usage.log);
}

#[test]
fn a_port_that_is_taken_ends_with_1_and_names_the_key() {
    let taken = Upstream::answering("I was here first");
    let folder = tempfile::tempdir().unwrap();
    for (key, line) in [("admin", "admin"), ("metrics", "metrics"), ("web", "listeners: { web")] {
        let config = QUIET.replace(
            &format!("{line}: {{ address: \"127.0.0.1:0\""),
            &format!("{line}: {{ address: \"{}\"", taken.address),
        );
        assert_ne!(config, QUIET);
        std::fs::write(folder.path().join("gateway.yaml"), config).unwrap();
        let ended = run_to_end(folder.path(), &["run", "-c", "gateway.yaml", "--state-dir", "state"]);
        assert_eq!(ended.status.code(), Some(1), "{key}: {}", ended.log);
        assert!(
            ended.log.contains(key) && ended.log.contains(&taken.address.to_string()),
            "{key}: {}",
            ended.log
        );
    }
}

#[test]
fn a_state_folder_that_cannot_be_used_ends_with_1_and_says_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("gateway.yaml"), QUIET).unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let ended = run_to_end(folder.path(), &["run", "-c", "gateway.yaml", "--state-dir", "file/state"]);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    assert!(ended.log.contains("--state-dir"), "{}", ended.log);
    std::fs::create_dir(folder.path().join("weak")).unwrap();
    std::fs::write(folder.path().join("weak/admin-token"), "short").unwrap();
    let ended = run_to_end(folder.path(), &["run", "-c", "gateway.yaml", "--state-dir", "weak"]);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    assert!(ended.log.contains("admin-token"), "{}", ended.log);
}

#[test]
fn a_gateway_that_is_told_to_stop_the_moment_it_is_ready_drains() {
    let upstream = Upstream::answering("hello");
    for _ in 0..10 {
        let gateway = Gateway::start(&format!(
            "routes: {{ all: {{ path: /**, to: \"http://{}\" }} }}",
            upstream.address
        ));
        gateway.signal(Signal::TERM);
        let stopped = gateway.ended();
        assert_eq!(stopped.status.code(), Some(0), "{}", stopped.log);
    }
}
