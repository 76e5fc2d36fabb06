//! When a request is sent again, and when it never is.

use crate::support::{Act, Answer, Gateway, Upstream, closed_address, timed};
use std::time::Duration;

/// A route with this retry policy to these endpoints, tried in turn.
fn retrying(hosts: &[std::net::SocketAddr], retry: &str) -> Gateway {
    let hosts: Vec<String> = hosts.iter().map(|host| format!("\"{host}\"")).collect();
    Gateway::start_with(
        &format!(
            "upstreams: {{ app: {{ hosts: [{}] }} }}\n\
             routes: {{ all: {{ path: /**, to: app, timeout: 5s, retry: {retry} }} }}\n",
            hosts.join(", ")
        ),
        &["--reveal"],
    )
}

const POLICY: &str = "{ attempts: 3, statuses: [503], errors: [connect, reset, timeout], \
                       backoff: { base: 1ms, max: 2ms }, budget: { share: 100%, floor: 1000 } }";

#[test]
fn a_refused_connection_moves_even_a_post_to_the_next_endpoint() {
    let upstream = Upstream::answering("hello");
    let gateway = retrying(&[closed_address(), upstream.address], POLICY);
    for _ in 0..4 {
        let reply = gateway.ask("POST", "/", &[], "pay 5");
        assert_eq!((reply.status, reply.text().as_str()), (200, "hello"));
    }
    assert_eq!(upstream.count(), 4);
    assert!(upstream.seen().iter().all(|seen| seen.text() == "pay 5"));
    assert!(gateway.metric("gateway_retries_total") >= 2.0);
}

#[test]
fn without_a_policy_a_refused_connection_is_502() {
    let gateway = retrying(&[closed_address()], "none");
    let reply = gateway.get("/");
    assert_eq!((reply.status, reply.code().as_str()), (502, "connect_refused_by_endpoint"));
    let proxy_status = reply.header("proxy-status").unwrap();
    assert!(proxy_status.contains("error=connection_refused"), "{proxy_status}");
}

#[test]
fn a_reset_after_the_request_was_sent_repeats_a_get() {
    let upstream = Upstream::in_turn(vec![|| Act::Reset, || Act::Reset, || Act::ok("third time")]);
    let gateway = retrying(&[upstream.address], POLICY);
    let reply = gateway.get("/");
    assert_eq!((reply.status, reply.text().as_str(), upstream.count()), (200, "third time", 3));
    let attempts = reply.header("x-gateway-attempts").unwrap();
    assert_eq!(attempts.matches("licence=idempotent_method").count(), 2, "{attempts}");
    let line = gateway.logged(reply.header("x-request-id").unwrap());
    let attempts = line["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 3, "{line}");
    assert_eq!(attempts[0]["failure"], "upstream_reset", "{line}");
}

#[test]
fn a_post_whose_bytes_were_sent_is_never_repeated() {
    for failing in [|| Act::Reset, || Act::status(503)] {
        let upstream = Upstream::in_turn(vec![failing, || Act::ok("twice")]);
        let gateway = retrying(&[upstream.address], POLICY);
        let reply = gateway.ask("POST", "/", &[], "pay 5");
        assert!(reply.status == 502 || reply.status == 503, "{reply:?}");
        assert_eq!(upstream.count(), 1);
        // A connection that was kept and is then reset gives no licence either.
        assert_eq!(gateway.get("/").status, 200);
    }
}

#[test]
fn a_post_with_an_idempotency_key_is_repeated_with_its_body() {
    let upstream = Upstream::in_turn(vec![|| Act::Reset, || Act::status(503), || Act::ok("paid")]);
    let gateway = retrying(&[upstream.address], POLICY);
    let reply = gateway.ask("POST", "/", &[("Idempotency-Key", "k1")], "pay 5");
    assert_eq!((reply.status, upstream.count()), (200, 3));
    assert!(upstream.seen().iter().all(|seen| seen.text() == "pay 5"), "{:#?}", upstream.seen());
}

#[test]
fn statuses_are_repeated_until_the_attempts_are_spent() {
    let upstream = Upstream::start(|_| Act::status(503));
    let gateway = retrying(&[upstream.address], POLICY);
    let reply = gateway.get("/");
    // Nothing is better than what the upstream says itself.
    assert_eq!((reply.status, reply.text().as_str(), upstream.count()), (503, "from the upstream", 3));
    let other = Upstream::start(|_| Act::status(500));
    let gateway = retrying(&[other.address], POLICY);
    assert_eq!((gateway.get("/").status, other.count()), (500, 1));
}

#[test]
fn each_try_has_its_own_time() {
    let upstream = Upstream::in_turn(vec![|| Act::Hang, || Act::ok("second")]);
    let policy = POLICY.replace("attempts: 3", "attempts: 2, per_try: 200ms");
    let gateway = retrying(&[upstream.address], &policy);
    let (took, reply) = timed(|| gateway.get("/"));
    assert_eq!((reply.status, reply.text().as_str()), (200, "second"));
    assert!((Duration::from_millis(190)..Duration::from_secs(3)).contains(&took), "{took:?}");
}

#[test]
fn a_spent_budget_ends_retries() {
    let upstream = Upstream::start(|_| Act::status(503));
    let policy = POLICY.replace("share: 100%, floor: 1000", "share: 1%, floor: 1");
    let gateway = retrying(&[upstream.address], &policy);
    for _ in 0..30 {
        assert_eq!(gateway.get("/").status, 503);
    }
    let retries = upstream.count() - 30;
    assert!(retries <= 15, "{retries} retries of 30 requests");
    assert!(gateway.metric("gateway_retry_budget_exhausted_total") >= 1.0);
}

#[test]
fn a_kept_connection_that_its_server_closed_costs_an_idempotent_request_nothing() {
    let upstream = Upstream::start(|_| Act::ReplyAndClose(Answer::new(200, "hello")));
    let gateway = retrying(&[upstream.address], "none");
    for n in 0..20 {
        assert_eq!(gateway.get("/").status, 200, "request {n}");
    }
    // A POST may meet the closing connection, but is not sent twice.
    for n in 0..5 {
        let before = upstream.count();
        let reply = gateway.ask("POST", "/", &[], "pay");
        assert!(reply.status == 200 || reply.status == 502, "request {n}: {reply:?}");
        assert!(upstream.count() <= before + 1, "request {n} was sent twice");
    }
}

#[test]
fn a_reply_that_breaks_off_in_its_body_is_passed_on_as_broken() {
    let upstream = Upstream::start(|_| Act::Cut(Answer::new(200, "hello")));
    let gateway = retrying(&[upstream.address], POLICY);
    let reply = gateway.get("/");
    assert_eq!((reply.status, reply.whole, upstream.count()), (200, false, 1));
}

#[test]
fn a_reply_that_is_no_http_is_502() {
    for (what, bytes) in [
        ("no status line", &b"hello there\r\n\r\n"[..]),
        ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
    ] {
        let upstream = Upstream::start(move |_| Act::Verbatim(bytes.to_vec()));
        let gateway = retrying(&[upstream.address], "none");
        assert_eq!(gateway.get("/").status, 502, "{what}");
    }
}

#[test]
fn an_upstream_that_says_nothing_is_504_in_time() {
    let upstream = Upstream::start(|_| Act::Hang);
    let gateway = Gateway::start(&format!(
        "routes: {{ all: {{ path: /**, timeout: 300ms, to: \"http://{}\" }} }}",
        upstream.address
    ));
    let (took, reply) = timed(|| gateway.get("/"));
    assert_eq!(reply.status, 504);
    assert!(matches!(reply.code().as_str(), "upstream_timeout" | "deadline_exceeded"), "{reply:?}");
    assert!((Duration::from_millis(290)..Duration::from_secs(3)).contains(&took), "{took:?}");
    let slow = Upstream::start(|_| Act::Late(Duration::from_millis(100), Answer::new(200, "late")));
    let reply = gateway
        .reload(&format!("routes: {{ all: {{ path: /**, timeout: 3s, to: \"http://{}\" }} }}", slow.address));
    assert_eq!(reply.status, 200);
    assert_eq!(gateway.get("/").text(), "late");
}

#[test]
fn a_slow_body_is_passed_on_as_it_comes() {
    let upstream = Upstream::start(|_| Act::Drip(Duration::from_millis(2), Answer::new(200, "drop by drop")));
    let gateway = retrying(&[upstream.address], "none");
    assert_eq!(gateway.get("/").text(), "drop by drop");
}
