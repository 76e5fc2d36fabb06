//! The process itself through the admin API: its log, its end, its socket, its patience, and the page about all of it.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::support::{Act, Answer, Client, Gateway, PATIENCE, Upstream, timed, until};

fn start() -> Gateway {
    Gateway::start("routes: { all: { path: /**, to: \"http://127.0.0.1:1\" } }")
}

/// One request over the socket, with these header lines; its whole reply.
fn over_socket(gateway: &Gateway, method: &str, path: &str, headers: &str) -> String {
    let mut stream = UnixStream::connect(gateway.path("admin.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")
        .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn the_level_of_the_log_is_set_for_a_while_and_ends_by_itself() {
    let gateway = start();
    let set = gateway.admin("PUT", "/api/v1/log-level", r#"{"level": "error", "for": "900ms"}"#);
    assert_eq!((set.status, set.json()["level"].as_str()), (200, Some("error")), "{}", set.text());
    assert!(set.json()["until"].is_string());
    let lines = || gateway.log().matches("\"admin request\"").count();
    let before = lines();
    assert_eq!(gateway.admin("POST", "/api/v1/reload", "").status, 200);
    until("the start's level holds again", || {
        gateway.admin("GET", "/api/v1/log-level", "").json()["level"] == "start"
    });
    assert_eq!(lines(), before, "an error log has no information in it");
    assert_eq!(gateway.admin("POST", "/api/v1/reload", "").status, 200);
    until("information is written again", || lines() == before + 1);
    for bad in
        [r#"{"level": "loud"}"#, r#"{"level": "debug", "for": "2d"}"#, r#"{"level": "debug", "for": "soon"}"#]
    {
        assert_eq!(gateway.admin("PUT", "/api/v1/log-level", bad).status, 422, "{bad}");
    }
    assert_eq!(gateway.admin("PUT", "/api/v1/log-level", r#"{"level": "debug"}"#).status, 200);
    assert_eq!(gateway.admin("PUT", "/api/v1/log-level", r#"{"level": "start"}"#).json()["level"], "start");
}

#[test]
fn a_gateway_told_to_drain_finishes_what_it_has_and_ends() {
    let upstream =
        Upstream::start(|_| Act::Late(Duration::from_millis(700), Answer::new(200, "late but whole")));
    let gateway =
        Gateway::start(&format!("routes: {{ all: {{ path: /**, to: \"http://{}\" }} }}", upstream.address));
    let web = gateway.web;
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    until("the request is in progress", || upstream.count() == 1);
    let drained = gateway.admin("POST", "/api/v1/drain", "");
    assert_eq!(
        (drained.status, drained.json()["phase"].as_str()),
        (202, Some("draining")),
        "{}",
        drained.text()
    );
    until("new connections are refused", || Client::try_connect(web).is_err());
    assert_eq!(client.reply().text(), "late but whole");
    let stopped = gateway.ended();
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.log);
}

#[test]
fn a_drain_waits_no_longer_than_it_is_told() {
    let upstream = Upstream::start(|_| Act::Hang);
    let gateway =
        Gateway::start(&format!("routes: {{ all: {{ path: /**, to: \"http://{}\" }} }}", upstream.address));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    until("the request is in progress", || upstream.count() == 1);
    assert_eq!(gateway.admin("POST", "/api/v1/drain", r#"{"grace": "eternal"}"#).status, 422);
    assert_eq!(gateway.admin("POST", "/api/v1/drain", r#"{"grace": "300ms"}"#).status, 202);
    let (took, stopped) = timed(|| gateway.ended());
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.log);
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn the_socket_knows_its_clients_by_their_user() {
    let config = "version: 1\nadmin: { address: \"127.0.0.1:0\", socket: admin.sock }\n\
                  metrics: { address: \"127.0.0.1:0\" }\nlisteners: { web: { address: \"127.0.0.1:0\" } }\n\
                  routes: { all: { path: /**, to: \"http://127.0.0.1:1\" } }\n";
    let gateway = Gateway::start_whole(config);
    let mode = std::fs::metadata(gateway.path("admin.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let answer = over_socket(&gateway, "GET", "/api/v1/status", "");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // Same user, so admin; and a token that is sent counts for what it is.
    let answer = over_socket(&gateway, "GET", "/api/v1/tokens", "");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let viewer = gateway.token_of("viewer");
    let answer =
        over_socket(&gateway, "GET", "/api/v1/tokens", &format!("Authorization: Bearer {viewer}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let answer = over_socket(&gateway, "GET", "/api/v1/status", "Authorization: Bearer wrong\r\n");
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    let path = gateway.path("admin.sock");
    assert_eq!(gateway.admin("POST", "/api/v1/drain", "").status, 202);
    until("the socket goes with the process", || !path.exists());
}

#[test]
fn a_head_that_does_not_come_ends_the_connection_on_both_doors() {
    let gateway = start();
    let mut slow = [gateway.admin, gateway.metrics].map(|door| {
        let mut client = Client::connect(door);
        client.send("GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: ");
        client
    });
    for client in &mut slow {
        assert!(client.is_closed(), "a head was waited for too long");
    }
    assert_eq!(gateway.probe("/livez").status, 200);
}

#[test]
fn the_page_about_the_api_needs_no_token_and_nothing_from_elsewhere() {
    let gateway = start();
    let ask = |method: &str, path: &str, host: &str| {
        Client::connect(gateway.admin).ask(method, path, &[("Host", host)], "")
    };
    let page = ask("GET", "/docs", "localhost");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(
        page.header("content-security-policy").unwrap().starts_with("default-src 'none'; style-src 'self'")
    );
    let text = page.text();
    assert!(!text.contains("<script") && !text.contains(" src="), "{text}");
    let mut links = text.split(" href=\"").skip(1);
    assert!(links.all(|link| link.starts_with(['/', '#'])), "{text}");
    let document = gateway.admin("GET", "/api/v1/openapi.json", "").json();
    for path in document["paths"].as_object().unwrap().keys() {
        assert!(text.contains(path), "{path}");
    }
    assert_eq!(ask("GET", "/docs/style.css", "localhost").status, 200);
    assert_eq!(ask("GET", "/docs", "rebound.test").status, 403);
    assert_eq!(ask("POST", "/docs", "localhost").status, 401);
    assert_eq!(ask("GET", "/docs/more", "localhost").status, 401);
}
