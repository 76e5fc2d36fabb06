//! Where one message ends and the next begins, on both sides of the gateway.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    Act, Answer, Gateway, Http2Client, Issuer, Upstream, closed_address, request, timed, until,
};
use rustix::process::Signal;

fn to(upstream: &Upstream, policies: &str) -> Gateway {
    Gateway::start(&format!(
        "routes: {{ all: {{ path: /**, to: \"http://{}\"{policies} }} }}",
        upstream.address
    ))
}

/// CVE-2025-4366 class (2-17).
#[test]
fn the_rest_of_a_body_that_was_refused_is_no_request() {
    let upstream = Upstream::answering("hello");
    let gateway = to(&upstream, ", rate_limit: { rate: 1/h, by: ip }");
    assert_eq!(gateway.get("/").status, 200);
    let mut client = gateway.client();
    client.send("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 60\r\n\r\nGET /smug");
    assert_eq!(client.reply().status, 429);
    client.send("gled HTTP/1.1\r\nHost: h\r\n\r\n");
    client.send(" ".repeat(60 - 9 - 27));
    client.send(request("GET", "/b", &[], ""));
    // Either the rest is read away and the next request is answered, or the connection is over.
    if let Some(second) = client.reply_to("GET") {
        assert_eq!(second.status, 429);
        client.send(request("GET", "/c", &[("Connection", "close")], ""));
        assert_eq!(client.reply().status, 429);
        assert!(client.is_closed(), "more replies than requests");
    }
    assert_eq!(upstream.count(), 1);
}

/// A client that is not told sends its next request into a connection that is being closed.
#[test]
fn an_answer_says_so_if_its_connection_is_closed() {
    let upstream = Upstream::answering("hello");
    let gateway = Gateway::start(&format!(
        "routes:\n  dead: {{ path: /dead, to: \"http://{}\" }}\n  tripped: {{ path: /tripped, to: \"http://{}\", \
         circuit_breaker: {{ consecutive: 1 }}, fallback: {{ status: 503, json: {{}} }} }}\n  \
         well: {{ path: /**, to: \"http://{}\", max_body: 1KiB }}",
        closed_address(),
        closed_address(),
        upstream.address
    ));
    for (method, target, body, status) in [
        ("GET", "/dead", "", 502),
        ("POST", "/dead", "abc", 502),
        ("GET", "/tripped", "", 503),
        ("GET", "/tripped", "", 503),
        ("GET", "/", "", 200),
        ("PATCH", "/", &"x".repeat(2048), 413),
    ] {
        let mut client = gateway.client();
        let reply = client.ask(method, target, &[], body);
        assert_eq!(reply.status, status, "{target}");
        if reply.header("connection") == Some("close") {
            assert!(client.is_closed(), "{target}");
        } else {
            client.send(request("GET", "/", &[], ""));
            let next = client.reply_to("GET").map(|next| next.status);
            assert_eq!(next, Some(200), "{method} {target} promised to go on");
        }
    }
}

#[test]
fn trailers_of_a_request_never_become_fields() {
    let upstream = Upstream::answering("hello");
    let gateway = to(&upstream, "");
    let body = "5\r\nhello\r\n0\r\nX-Trailer: 1\r\nContent-Length: 9\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";
    let reply = gateway.ask("POST", "/", &[("Transfer-Encoding", "chunked"), ("Trailer", "X-Trailer")], body);
    assert!(matches!(reply.status, 200 | 400), "{reply:?}");
    for seen in upstream.seen() {
        assert_eq!((seen.header("x-trailer"), seen.header("content-length")), (None, None), "{seen:?}");
        assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    }
}

#[test]
fn a_method_in_a_header_changes_nothing() {
    let upstream = Upstream::answering("hello");
    let gateway = to(&upstream, ", methods: [POST]");
    assert_eq!(gateway.ask("POST", "/", &[("X-HTTP-Method-Override", "DELETE")], "x").status, 200);
    assert_eq!(upstream.only().method, "POST");
    assert_eq!(gateway.ask("DELETE", "/", &[("X-HTTP-Method-Override", "POST")], "").status, 405);
}

#[test]
fn a_large_body_is_not_repeated_because_it_is_no_longer_there() {
    let upstream = Upstream::start(|_| Act::status(503));
    let gateway = to(&upstream, ", max_body: 4MiB, retry: { attempts: 3, statuses: [503] }");
    let body = "x".repeat(1 << 20);
    let reply = gateway.ask("PUT", "/", &[], &body);
    assert_eq!((reply.status, upstream.count()), (503, 1));
    assert_eq!(upstream.only().body.len(), 1 << 20);
    assert_eq!(gateway.ask("PUT", "/", &[], "small").status, 503);
    assert_eq!(upstream.count(), 4);
}

#[test]
fn weights_of_hosts_are_kept() {
    let (one, three) = (Upstream::answering("one"), Upstream::answering("three"));
    let gateway = Gateway::start(&format!(
        "upstreams: {{ app: {{ hosts: [\"{}\", {{ address: \"{}\", weight: 3 }}] }} }}\n\
         routes: {{ all: {{ path: /**, to: app }} }}",
        one.address, three.address
    ));
    let mut client = gateway.client();
    for _ in 0..40 {
        assert_eq!(client.ask("GET", "/", &[], "").status, 200);
    }
    assert_eq!((one.count(), three.count()), (10, 30));
}

#[test]
fn an_old_client_gets_its_reply_and_a_close() {
    let upstream = Upstream::answering("hello");
    let gateway = to(&upstream, "");
    let mut client = gateway.client();
    client.send("GET /a HTTP/1.0\r\nHost: h\r\n\r\n");
    let reply = client.reply();
    assert_eq!((reply.status, reply.text().as_str()), (200, "hello"));
    assert!(client.is_closed());
    let seen = upstream.only();
    assert!(seen.header("via").is_some_and(|via| via.starts_with("1.0 ")), "{seen:?}");
}

/// 2-16: an ambiguous reply must not be cut in two by whoever reads it next.
#[test]
fn a_reply_with_a_length_and_a_coding_does_not_poison_the_connection() {
    let upstream = Upstream::start(|seen| {
        match seen.idx {
        0 => Act::Verbatim(
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_vec(),
        ),
        _ => Act::ok("clean"),
    }
    });
    let gateway = to(&upstream, "");
    let mut client = gateway.client();
    client.send(request("GET", "/", &[], ""));
    if let Some(first) = client.reply_to("GET") {
        assert!(first.status == 502 || first.text() == "abc" || !first.whole, "{first:?}");
    }
    assert_eq!(gateway.get("/").text(), "clean");
}

#[test]
fn a_websocket_needs_its_token_and_outlives_a_reload() {
    let (issuer, upstream) = (Issuer::new("k1"), Upstream::start(|_| Act::Switch));
    let keys = issuer.serve();
    let config = format!(
        "routes:\n  socket:\n    path: /**\n    to: \"http://{}\"\n    \
           jwt: {{ issuer: \"https://issuer.test\", audience: shop, jwks: \"http://{}/keys\", algorithms: [ES256] }}\n",
        upstream.address, keys.address
    );
    let gateway = Gateway::start(&config);
    let mut ask = vec![
        ("Connection", "keep-alive, Upgrade"),
        ("Upgrade", "WebSocket"),
        ("Sec-WebSocket-Version", "13"),
    ];
    assert_eq!(gateway.client().ask("GET", "/", &ask, "").status, 401);
    assert_eq!(upstream.count(), 0);
    let token = format!("Bearer {}", issuer.token(&json!({ "sub": "u1" })));
    ask.push(("Authorization", &token));
    let mut client = gateway.client();
    assert_eq!(client.ask("GET", "/", &ask, "").status, 101);
    client.send("before");
    assert_eq!(client.exact(6), b"before");
    let other = format!("{config}  more: {{ path: /more, to: \"http://{}\" }}\n", upstream.address);
    assert_eq!(gateway.reload(&other).status, 200);
    client.send("after");
    assert_eq!(client.exact(5), b"after");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_streams_in_progress_finish_when_the_gateway_is_told_to_stop() {
    let upstream =
        Upstream::start(|_| Act::Late(Duration::from_millis(700), Answer::new(200, "late but whole")));
    let gateway = to(&upstream, "");
    let mut client = Http2Client::connect(gateway.web).await;
    let stop = async {
        tokio::task::block_in_place(|| until("the request is in progress", || upstream.count() == 1));
        gateway.signal(Signal::TERM);
    };
    let (reply, ()) = futures_util::future::join(client.ask("GET", "/", &[], ""), stop).await;
    assert_eq!((reply.status, &reply.body[..]), (200, &b"late but whole"[..]));
    assert_eq!(gateway.ended().status.code(), Some(0));
}

#[test]
fn all_tries_together_stay_within_the_time_of_the_request() {
    let upstream = Upstream::start(|_| Act::Hang);
    let gateway = to(
        &upstream,
        ", timeout: 700ms, retry: { attempts: 5, per_try: 300ms, errors: [timeout], budget: 100% }",
    );
    let (took, reply) = timed(|| gateway.get("/"));
    assert_eq!(reply.status, 504);
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!((2..=3).contains(&upstream.count()), "{}", upstream.count());
}

#[test]
fn clients_behind_a_trusted_proxy_are_limited_one_by_one() {
    let upstream = Upstream::answering("hello");
    let gateway = Gateway::start(&format!(
        "trusted_proxies: [127.0.0.0/8]\n\
         routes: {{ all: {{ path: /**, to: \"http://{}\", rate_limit: {{ rate: 1/h, by: ip }} }} }}",
        upstream.address
    ));
    let from = |client: &str| gateway.ask("GET", "/", &[("X-Forwarded-For", client)], "").status;
    assert_eq!([from("9.9.9.1"), from("9.9.9.1"), from("9.9.9.2")], [200, 429, 200]);
    // What a client puts in front of its own address does not count, and a /64 is one client.
    assert_eq!(from("1.2.3.4, 9.9.9.1"), 429);
    assert_eq!([from("2001:db8::1"), from("2001:db8::2"), from("2001:db8:0:1::1")], [200, 429, 200]);
}

#[tokio::test]
async fn own_answers_over_http2_are_whole() {
    let nobody = closed_address();
    let gateway = Gateway::start(&format!(
        "routes:\n  down: {{ path: /down, to: \"http://{nobody}\" }}\n  \
           fixed: {{ path: /fixed, to: \"http://{nobody}\", fallback: {{ status: 203, text: busy }} }}\n"
    ));
    let mut client = Http2Client::connect(gateway.web).await;
    for (method, path, status) in [
        ("GET", "/down", 502),
        ("POST", "/down", 502),
        ("GET", "/none", 404),
        ("HEAD", "/none", 404),
        ("HEAD", "/down", 502),
        ("GET", "/fixed", 203),
        ("HEAD", "/fixed", 203),
    ] {
        let reply = client.ask(method, path, &[], if method == "POST" { "body" } else { "" }).await;
        assert_eq!((reply.status, reply.body.is_empty()), (status, method == "HEAD"), "{method} {path}");
    }
}
