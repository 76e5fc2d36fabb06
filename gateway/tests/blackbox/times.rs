//! How long an endpoint may take: for the head of its reply, and between the pieces of its body.

use std::time::Duration;

use crate::support::{Act, Answer, Gateway, Http2Client, Upstream, request, timed, until};

fn to(upstream: &Upstream, policies: &str) -> Gateway {
    Gateway::start(&format!(
        "routes: {{ all: {{ path: /**, to: \"http://{}\", {policies} }} }}",
        upstream.address
    ))
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn a_pause_in_a_body_is_measured_by_the_idle_time_and_not_by_the_wait_for_the_head() {
    let upstream = Upstream::start(|_| Act::Pause(ms(900), Answer::new(200, "slow body")));
    let gateway = to(&upstream, "timeout: { request: 400ms, idle: 10s }, retry: { per_try: 300ms }");
    let reply = gateway.get("/");
    assert_eq!((reply.status, reply.whole, reply.text().as_str()), (200, true, "slow body"));
}

#[test]
fn a_body_that_is_silent_for_longer_than_the_idle_time_is_cut() {
    let upstream = Upstream::start(|_| Act::Pause(ms(3_000), Answer::new(200, "too late")));
    let gateway = to(&upstream, "timeout: { request: 10s, idle: 300ms }");
    let (took, reply) = timed(|| gateway.get("/"));
    assert_eq!((reply.status, reply.whole), (200, false), "{reply:?}");
    assert!((ms(290)..ms(2_500)).contains(&took), "{took:?}");
}

#[test]
fn a_head_that_comes_drop_by_drop_does_not_stretch_the_time_of_a_request() {
    let upstream = Upstream::start(|_| Act::Drip(ms(40), Answer::new(200, "x")));
    let gateway = to(&upstream, "timeout: 500ms");
    let (took, reply) = timed(|| gateway.get("/"));
    assert_eq!((reply.status, reply.code().as_str()), (504, "upstream_timeout"));
    assert!((ms(490)..ms(1_500)).contains(&took), "{took:?}");
    let line = gateway.logged(reply.header("x-request-id").unwrap());
    assert_eq!(line["attempts"][0]["failure"], "upstream_timeout", "{line}");
}

#[test]
fn a_try_whose_head_drips_is_given_up_for_another_endpoint() {
    let dripping = Upstream::start(|_| Act::Drip(ms(40), Answer::new(200, "never")));
    let well = Upstream::answering("well");
    let gateway = Gateway::start(&format!(
        "upstreams: {{ app: {{ hosts: [\"{}\", \"{}\"] }} }}\n\
         routes: {{ all: {{ path: /**, to: app, retry: {{ attempts: 2, per_try: 300ms, errors: [timeout], budget: 100% }} }} }}",
        dripping.address, well.address
    ));
    for _ in 0..2 {
        let (took, reply) = timed(|| gateway.get("/"));
        assert_eq!((reply.status, reply.text().as_str()), (200, "well"));
        assert!(took < ms(2_000), "{took:?}");
    }
    assert!(dripping.count() >= 1 && well.count() == 2, "{} and {}", dripping.count(), well.count());
}

#[test]
fn each_request_on_a_kept_connection_has_its_own_time_and_an_idle_one_has_none() {
    let upstream = Upstream::start(|_| Act::Late(ms(500), Answer::new(200, "late")));
    let other = Upstream::start(|_| Act::Late(ms(1_200), Answer::new(200, "other")));
    let gateway = Gateway::start(&format!(
        "routes:\n  all: {{ path: /**, to: \"http://{}\", timeout: 1s }}\n  \
           other: {{ path: /other, to: \"http://{}\", timeout: 10s }}\n",
        upstream.address, other.address
    ));
    for _ in 0..2 {
        assert_eq!(gateway.get("/").text(), "late");
        // Meanwhile the connection is idle, and the moment its head was due goes by.
        assert_eq!(gateway.get("/other").text(), "other");
    }
    assert_eq!((upstream.count(), upstream.connections()), (2, 1));
}

#[test]
fn a_connection_that_was_out_of_time_is_not_used_again() {
    let upstream = Upstream::in_turn(vec![|| Act::ok("one"), || Act::Hang, || Act::ok("three")]);
    let gateway = to(&upstream, "timeout: 300ms");
    assert_eq!(gateway.get("/").text(), "one");
    // Kept or not: what timed out is neither a reset nor a kept connection that closed, so it is not repeated.
    let reply = gateway.get("/");
    assert_eq!((reply.status, reply.code().as_str()), (504, "upstream_timeout"));
    assert_eq!(gateway.get("/").text(), "three");
    assert_eq!(upstream.count(), 3);
}

#[test]
fn a_websocket_handshake_that_nobody_answers_is_504() {
    let upstream = Upstream::start(|_| Act::Hang);
    let gateway = to(&upstream, "timeout: { request: 400ms, idle: 10s }");
    let headers = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")];
    let (took, reply) = timed(|| gateway.client().ask("GET", "/", &headers, ""));
    assert_eq!((reply.status, reply.code().as_str()), (504, "upstream_timeout"));
    assert!((ms(390)..ms(3_000)).contains(&took), "{took:?}");
    assert_eq!(upstream.only().header("upgrade"), Some("websocket"));
}

#[test]
fn a_tunnel_may_be_silent_for_longer_than_a_head_may_take() {
    let upstream = Upstream::start(|seen| {
        if seen.target == "/clock" { Act::Late(ms(900), Answer::new(200, "")) } else { Act::Switch }
    });
    let gateway = Gateway::start(&format!(
        "routes:\n  socket: {{ path: /socket, to: \"http://{0}\", timeout: {{ request: 400ms, idle: 10s }} }}\n  \
           clock: {{ path: /clock, to: \"http://{0}\" }}\n",
        upstream.address
    ));
    let headers = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")];
    let mut client = gateway.client();
    assert_eq!(client.ask("GET", "/socket", &headers, "").status, 101);
    assert_eq!(gateway.get("/clock").status, 200);
    client.send("still here");
    assert_eq!(client.exact(10), b"still here");
}

#[test]
fn the_time_of_an_endpoint_begins_when_it_has_the_whole_request() {
    let upstream = Upstream::start(|seen| match seen.target.as_str() {
        "/clock" => Act::Late(ms(900), Answer::new(200, "")),
        "/hangs" => Act::Hang,
        _ => Act::ok("thanks"),
    });
    let gateway = Gateway::start(&format!(
        "routes:\n  all: {{ path: /**, to: \"http://{0}\", timeout: 400ms }}\n  \
           clock: {{ path: /clock, to: \"http://{0}\", timeout: 10s }}\n",
        upstream.address
    ));
    for (target, status) in [("/answers", 200), ("/hangs", 504)] {
        let before = upstream.count();
        let mut client = gateway.client();
        client.send(request("POST", target, &[("Content-Length", "10")], "hello"));
        until("the upstream is asked", || upstream.count() > before);
        // A client that takes its time is no fault of the endpoint's.
        assert_eq!(gateway.get("/clock").status, 200);
        client.send("world");
        let (took, reply) = timed(|| client.reply());
        assert_eq!(reply.status, status, "{target}");
        assert!(took < ms(3_000), "{target}: {took:?}");
        assert!(status == 200 || took > ms(390), "{target}: {took:?}");
    }
}

#[tokio::test]
async fn one_stream_out_of_time_takes_nothing_from_the_others_of_its_client() {
    let upstream = Upstream::start(|seen| match seen.target.as_str() {
        "/drips" => Act::Drip(ms(40), Answer::new(200, "never")),
        _ => Act::Late(ms(200), Answer::new(200, "well")),
    });
    let gateway = to(&upstream, "timeout: 600ms");
    let mut client = Http2Client::connect(gateway.web).await;
    for (method, body) in [("GET", ""), ("POST", "hello")] {
        let late = client.ask(method, "/drips", &[], body).await;
        assert_eq!(late.status, 504, "{method}");
        assert_eq!(client.ask(method, "/", &[], body).await.status, 200, "{method}");
    }
}

#[test]
fn an_idle_time_below_that_of_the_request_leaves_the_wait_for_the_head_alone() {
    let upstream = Upstream::start(|_| Act::Late(ms(900), Answer::new(200, "late")));
    let gateway = to(&upstream, "timeout: { request: 10s, idle: 300ms }");
    assert_eq!(gateway.get("/").text(), "late");
}

#[test]
fn a_body_that_ends_with_its_connection_is_not_whole_if_the_gateway_ended_it() {
    let head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of it";
    let upstream = Upstream::start(|_| Act::Stall(head.to_vec()));
    let gateway = to(&upstream, "timeout: { request: 10s, idle: 300ms }");
    let reply = gateway.get("/");
    assert_eq!((reply.status, reply.whole), (200, false), "{reply:?}");
}

#[test]
fn a_request_after_a_rest_that_was_too_long_goes_on_a_fresh_connection() {
    let upstream = Upstream::start(|_| Act::Reply(Answer::new(204, "")));
    let gateway = to(&upstream, "timeout: { request: 10s, idle: 200ms }");
    assert_eq!(gateway.get("/").status, 204);
    until("the connection is closed", || upstream.open() == 0);
    assert_eq!(gateway.client().ask("POST", "/", &[], "once").status, 204);
    assert_eq!(upstream.count(), 2);
}
