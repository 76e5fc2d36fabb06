//! HTTP/1 through a real listener: what is passed on, what is refused, and when patience ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod listener_support;

use std::time::Duration;

use listener_support::{Gateway, field, plain, read_reply, read_to_end, soon, talk, until};
use portcullis::listener::{Limits, ListenerSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn hurried(limits: Limits) -> Vec<ListenerSpec> {
    vec![ListenerSpec { limits, ..plain("web") }]
}

/// Sends `request` on a fresh connection and expects a problem answer, nothing at the app, one report.
async fn check_refused(request: &[u8], status: u16, words: &str) {
    let gateway = Gateway::start(vec![plain("web")]);
    let reply = talk(gateway.address("web"), request).await;
    let shown = String::from_utf8_lossy(request);
    assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{shown:?} -> {reply:?}");
    assert!(reply.contains("content-type: application/problem+json"), "{shown:?} -> {reply:?}");
    assert!(reply.contains("x-request-id: id-1"), "{reply:?}");
    assert!(reply.contains("connection: close"), "{reply:?}");
    assert!(reply.contains(words), "{shown:?} -> {reply:?}");
    assert_eq!(gateway.seen(), Vec::<String>::new(), "{shown:?}");
    assert_eq!(gateway.refused().len(), 1, "{shown:?}");
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let gateway = Gateway::start(vec![plain("web")]);
    let mut client = TcpStream::connect(gateway.address("web")).await.unwrap();
    for n in 0..3 {
        let request = format!("POST /{n} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok");
        client.write_all(request.as_bytes()).await.unwrap();
        let (head, body) = read_reply(&mut client).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(body, format!("POST /{n} [ok]"));
        assert_eq!(field(&head, "x-listener"), Some("web"));
        let local = client.local_addr().unwrap().to_string();
        assert_eq!(field(&head, "x-client"), Some(local.as_str()));
        assert_eq!(field(&head, "x-peer"), Some(local.as_str()));
    }
}

#[tokio::test]
async fn a_request_shorter_than_the_http2_preface_is_answered() {
    let gateway = Gateway::start(vec![plain("web")]);
    let mut client = TcpStream::connect(gateway.address("web")).await.unwrap();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let reply = read_to_end(&mut client).await;
    assert!(reply.starts_with("HTTP/1.1 200") || reply.starts_with("HTTP/1.1 400"), "{reply}");
}

#[tokio::test]
async fn a_request_that_arrives_byte_by_byte_is_whole_in_the_end() {
    let gateway = Gateway::start(vec![plain("web")]);
    let mut client = TcpStream::connect(gateway.address("web")).await.unwrap();
    client.set_nodelay(true).unwrap();
    for byte in b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n" {
        client.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(read_reply(&mut client).await.1, "POST /x [abcde]");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_on_one_connection() {
    let gateway = Gateway::start(vec![plain("web")]);
    let mut client = TcpStream::connect(gateway.address("web")).await.unwrap();
    let requests = "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n\
                    POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc\
                    GET /3 HTTP/1.1\r\nHost: h\r\n\r\n";
    client.write_all(requests.as_bytes()).await.unwrap();
    for expected in ["GET /1 []", "POST /2 [abc]", "GET /3 []"] {
        assert_eq!(read_reply(&mut client).await.1, expected);
    }
}

#[tokio::test]
async fn a_bad_request_behind_a_good_one_is_refused_after_the_good_ones_answer() {
    let gateway = Gateway::start(vec![plain("web")]);
    let reply =
        talk(gateway.address("web"), b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\nHost: h\r\n\r\n")
            .await;
    let (first, second) = reply.split_at(reply.rfind("HTTP/1.1 400").unwrap());
    assert!(first.starts_with("HTTP/1.1 200"), "{reply}");
    assert!(second.contains("problem+json"), "{reply}");
    assert_eq!(gateway.seen(), ["GET /1"]);
    assert_eq!(gateway.refused(), ["web request 400 malformed_request"]);
}

#[tokio::test]
async fn a_large_body_passes_whole() {
    let gateway = Gateway::start(vec![plain("web")]);
    let body = "0123456789abcdef".repeat(64 * 1024);
    let mut client = TcpStream::connect(gateway.address("web")).await.unwrap();
    let head = format!("PUT /big HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len());
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(body.as_bytes()).await.unwrap();
    let (_, echoed) = read_reply(&mut client).await;
    assert!(echoed == format!("PUT /big [{body}]"), "{} bytes came back", echoed.len());
}

#[tokio::test]
async fn heads_with_more_than_one_interpretation_never_reach_the_app() {
    check_refused(b"GET / HTTP/1.1\nHost: h\r\n\r\n", 400, "malformed_request").await;
    check_refused(b"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", 400, "malformed_request").await;
    check_refused(b"GET / HTTP/1.1\r\n\r\n", 400, "malformed_request").await;
    check_refused(
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "malformed_request",
    )
    .await;
    check_refused(b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", 405, "connect_refused").await;
    check_refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", 505, "version_refused").await;
}

#[tokio::test]
async fn heads_over_the_limits_are_refused_by_their_own_statuses() {
    let long_target = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(9000));
    check_refused(long_target.as_bytes(), 414, "uri_too_long").await;
    let big_field = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "a".repeat(200_000));
    check_refused(big_field.as_bytes(), 431, "head_too_large").await;
}

#[tokio::test]
async fn a_head_request_that_is_refused_gets_no_body() {
    let gateway = Gateway::start(vec![plain("web")]);
    let reply = talk(gateway.address("web"), b"HEAD / HTTP/1.1\r\nHost: a@b\r\n\r\n").await;
    assert!(reply.starts_with("HTTP/1.1 400"), "{reply}");
    assert!(reply.ends_with("\r\n\r\n"), "{reply}");
}

#[tokio::test]
async fn a_broken_chunk_fails_the_body_and_nothing_behind_it_is_read() {
    for (body, words) in [
        ("5\r\nhello!!\r\n0\r\n\r\n", "chunk"),
        ("0x5\r\nhello\r\n0\r\n\r\n", "chunk"),
        ("5\nhello\r\n0\r\n\r\n", "line feed"),
    ] {
        let gateway = Gateway::start(vec![plain("web")]);
        let request = format!(
            "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{body}GET /admin HTTP/1.1\r\nHost: h\r\n\r\n"
        );
        talk(gateway.address("web"), request.as_bytes()).await;
        assert_eq!(gateway.seen(), ["POST /c"], "{body:?}");
        let failures = gateway.app.failures.lock().unwrap().clone();
        assert!(matches!(failures.as_slice(), [one] if one.contains(words)), "{body:?}: {failures:?}");
    }
}

#[tokio::test]
async fn a_head_that_drips_in_is_answered_408_at_its_deadline() {
    let limits = Limits { head_timeout: Duration::from_millis(300), ..Limits::default() };
    let gateway = Gateway::start(hurried(limits));
    let client = TcpStream::connect(gateway.address("web")).await.unwrap();
    let (mut from, mut to) = client.into_split();
    let drip = async {
        // One byte within every deadline a per-read timer would grant; ends when the gateway has closed.
        loop {
            if to.write_all(b"a").await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    to_and(&mut from, drip).await;
    assert_eq!(gateway.seen(), Vec::<String>::new());
    assert_eq!(gateway.refused(), ["web request 408 request_timeout"]);
}

async fn to_and(from: &mut tokio::net::tcp::OwnedReadHalf, drip: impl Future<Output = ()>) {
    let read = async {
        let reply = read_to_end(from).await;
        assert!(reply.starts_with("HTTP/1.1 408"), "{reply}");
    };
    tokio::select! {
        () = read => {}
        () = async { drip.await; std::future::pending().await } => {}
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_without_a_word() {
    let limits = Limits { head_timeout: Duration::from_millis(100), ..Limits::default() };
    let gateway = Gateway::start(hurried(limits));
    let mut client = TcpStream::connect(gateway.address("web")).await.unwrap();
    assert_eq!(read_to_end(&mut client).await, "");
    assert_eq!(gateway.refused(), Vec::<String>::new());
}

#[tokio::test]
async fn a_kept_alive_connection_is_closed_after_its_idle_time_only() {
    let limits = Limits {
        head_timeout: Duration::from_millis(100),
        idle_timeout: Duration::from_millis(500),
        ..Limits::default()
    };
    let gateway = Gateway::start(hurried(limits));
    let mut client = TcpStream::connect(gateway.address("web")).await.unwrap();
    client.write_all(b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    read_reply(&mut client).await;
    let early = tokio::time::timeout(Duration::from_millis(250), client.read_u8()).await;
    assert!(early.is_err(), "closed by the head deadline, not the idle one");
    client.write_all(b"GET /2 HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    read_reply(&mut client).await;
    assert_eq!(read_to_end(&mut client).await, "");
}

#[tokio::test]
async fn bytes_behind_an_upgrade_are_held_until_the_answer_then_tunnelled() {
    let gateway = Gateway::start(vec![plain("web")]);
    let mut client = TcpStream::connect(gateway.address("web")).await.unwrap();
    client
        .write_all(
            b"GET /switch HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\nearly\n",
        )
        .await
        .unwrap();
    until(|| gateway.seen() == ["GET /switch"]).await;
    gateway.app.gate.notify_one();
    let (head, _) = read_reply(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    let mut echoed = [0; 6];
    soon(client.read_exact(&mut echoed)).await.unwrap();
    assert_eq!(&echoed, b"early\n");
    client.write_all(b"\0\n\rlate!").await.unwrap();
    let mut echoed = [0; 8];
    soon(client.read_exact(&mut echoed)).await.unwrap();
    assert_eq!(&echoed, b"\0\n\rlate!");
}

#[tokio::test]
async fn a_refused_upload_still_sees_its_answer() {
    let gateway = Gateway::start(vec![plain("web")]);
    let mut client = TcpStream::connect(gateway.address("web")).await.unwrap();
    let mut request = b"POST / HTTP/1.1\nHost: h\r\nContent-Length: 100000\r\n\r\n".to_vec();
    request.resize(100_000, b'x');
    client.write_all(&request).await.unwrap();
    let reply = read_to_end(&mut client).await;
    assert!(reply.starts_with("HTTP/1.1 400") && reply.ends_with('}'), "{reply}");
}

#[tokio::test]
async fn a_client_that_keeps_a_closed_connection_open_holds_no_seat() {
    for body in ["", "Content-Length: 2\r\n\r\nok"] {
        let gateway = Gateway::start(vec![plain("web")]);
        let mut client = TcpStream::connect(gateway.address("web")).await.unwrap();
        let end = if body.is_empty() { "\r\n" } else { "" };
        let request = format!("POST /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{body}{end}");
        client.write_all(request.as_bytes()).await.unwrap();
        read_reply(&mut client).await;
        let freed = async {
            while gateway.set.in_flight().count() > 0 {
                tokio::task::yield_now().await
            }
        };
        tokio::time::timeout(Duration::from_secs(1), freed).await.expect("the seat waits for the client");
    }
}
