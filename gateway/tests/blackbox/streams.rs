//! Upgrades, HTTP/2 and gRPC: what is not one request and one reply.

use crate::support::{Act, Answer, GRPC, Gateway, GrpcUpstream, Http2Client, Upstream, request};
use sha2::{Digest, Sha256};

const UPGRADE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
];

fn to(upstream: std::net::SocketAddr, extra: &str) -> Gateway {
    Gateway::start(&format!("{extra}routes: {{ all: {{ path: /**, to: \"http://{upstream}\" }} }}"))
}

#[test]
fn a_websocket_passes_bytes_both_ways() {
    let upstream = Upstream::start(|_| Act::Switch);
    let gateway = to(upstream.address, "");
    let mut client = gateway.client();
    let reply = client.ask("GET", "/socket", &UPGRADE, "");
    assert_eq!((reply.status, reply.header("upgrade")), (101, Some("websocket")));
    let seen = upstream.only();
    assert_eq!(seen.header("upgrade"), Some("websocket"));
    assert_eq!(seen.header("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    for frame in [&b"\x81\x05hello"[..], b"\x00\xff\r\n\r\nGET / HTTP/1.1\r\n\r\n", &[7; 70_000]] {
        client.send(frame);
        assert_eq!(client.exact(frame.len()), frame);
    }
    drop(client);
    assert_eq!(upstream.count(), 1);
}

#[test]
fn gates_are_asked_before_an_upgrade() {
    let upstream = Upstream::start(|_| Act::Switch);
    let hash = hex::encode(Sha256::digest(b"key"));
    let gateway = Gateway::start(&format!(
        "consumers: {{ robot: {{ api_keys: [{{ sha256: {hash} }}] }} }}\n\
         routes: {{ all: {{ path: /**, to: \"http://{}\", api_key: X-Api-Key, rate_limit: {{ rate: 2/h, by: ip }} }} }}",
        upstream.address
    ));
    let refused = gateway.client().ask("GET", "/", &UPGRADE, "");
    assert_eq!((refused.status, refused.code().as_str()), (401, "unauthenticated"));
    let mut with_key = UPGRADE.to_vec();
    with_key.push(("X-Api-Key", "key"));
    assert_eq!(gateway.client().ask("GET", "/", &with_key, "").status, 101);
    assert_eq!(gateway.client().ask("GET", "/", &with_key, "").status, 429);
    assert_eq!(upstream.count(), 1);
}

/// CVE-2026-2833 (H11).
#[test]
fn what_is_pipelined_behind_an_upgrade_is_no_tunnel_until_the_upstream_says_so() {
    let open = Upstream::answering("open");
    let closed = Upstream::answering("closed");
    let gateway = Gateway::start(&format!(
        "consumers: {{ robot: {{ api_keys: [{{ sha256: {} }}] }} }}\n\
         routes:\n  open: {{ path: /**, to: \"http://{}\" }}\n  \
           admin: {{ path: /admin/**, api_key: X-Api-Key, to: \"http://{}\" }}\n",
        "0".repeat(64),
        open.address,
        closed.address
    ));
    let mut client = gateway.client();
    client.send(request("GET", "/a", &[("Connection", "Upgrade"), ("Upgrade", "foo")], ""));
    client.send(request("GET", "/admin/s", &[], ""));
    let first = client.reply();
    assert!(matches!(first.status, 200 | 400), "{first:?}");
    if let Some(second) = client.reply_to("GET") {
        assert_eq!(second.status, 401, "{second:?}");
    }
    assert!(open.seen().iter().all(|seen| seen.target == "/a"), "{:#?}", open.seen());
    assert_eq!(closed.count(), 0);
}

/// CVE-2024-23326 (H12).
#[test]
fn an_upstream_that_answers_200_to_an_upgrade_opens_no_tunnel() {
    let upstream = Upstream::start(|seen| Act::Reply(Answer::new(200, &seen.target)));
    let gateway = to(upstream.address, "");
    let mut client = gateway.client();
    let reply = client.ask("GET", "/a", &UPGRADE, "");
    assert_eq!((reply.status, reply.text().as_str()), (200, "/a"));
    client.send("\x01\x02 not a request\r\n\r\n");
    let after = client.reply_to("GET");
    assert!(after.is_none_or(|reply| reply.status == 400));
    assert!(upstream.seen().iter().all(|seen| seen.target == "/a"), "{:#?}", upstream.seen());
}

#[tokio::test]
async fn http2_requests_are_forwarded_and_meet_the_same_gates() {
    let upstream = Upstream::answering("hello");
    let gateway = Gateway::start(&format!(
        "routes:\n  all: {{ path: /**, to: \"http://{0}\" }}\n  \
           few: {{ path: /few, to: \"http://{0}\", rate_limit: {{ rate: 1/h, by: ip }} }}\n  \
           put: {{ path: /put, methods: [PUT], to: \"http://{0}\", max_body: 4B }}\n",
        upstream.address
    ));
    let mut client = Http2Client::connect(gateway.web).await;
    let spoofed = [("x-forwarded-for", "6.6.6.6"), ("cookie", "a=1"), ("cookie", "b=2")];
    let reply = client.ask("GET", "/a/../b?q=1", &spoofed, "").await;
    assert_eq!((reply.status, &reply.body[..]), (200, &b"hello"[..]));
    let seen = upstream.only();
    assert_eq!((seen.target.as_str(), seen.header("host")), ("/b?q=1", Some("shop.test")));
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("cookie"), Some("a=1; b=2"));
    assert!(seen.header("via").is_some_and(|via| via.starts_with("2 portcullis-")), "{seen:?}");
    assert_eq!(client.ask("GET", "/few", &[], "").await.status, 200);
    let refused = client.ask("GET", "/%66ew", &[], "").await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.headers["content-type"], "application/problem+json");
    assert_eq!(client.ask("PUT", "/put", &[], "1234").await.status, 200);
    assert_eq!(client.ask("PUT", "/put", &[], "12345").await.status, 413);
    assert_eq!(client.ask("GET", "/a%00", &[], "").await.status, 400);
    assert_eq!(client.ask("HEAD", "/a", &[], "").await.body.len(), 0);
}

#[tokio::test]
async fn grpc_passes_with_its_trailers() {
    let upstream = GrpcUpstream::start().await;
    let gateway = Gateway::start(&format!(
        "upstreams: {{ rpc: {{ hosts: [\"{}\"], protocol: h2c }} }}\nroutes: {{ all: {{ path: /**, to: rpc }} }}",
        upstream.address
    ));
    let mut client = Http2Client::connect(gateway.web).await;
    let headers = [("content-type", GRPC), ("te", "trailers")];
    let reply = client.ask("POST", "/shop.Orders/Get", &headers, "\0\0\0\0\x05hello").await;
    assert_eq!((reply.status, &reply.body[..]), (200, &b"\0\0\0\0\x05hello"[..]));
    assert_eq!(reply.headers["content-type"], GRPC);
    assert_eq!(reply.trailers["grpc-status"], "0");
    assert_eq!(reply.trailers["x-checksum"], "10");
    let seen = upstream.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].headers()["te"], "trailers");
    assert_eq!(seen[0].headers()["x-forwarded-for"], "127.0.0.1");
}

#[tokio::test]
async fn grpc_clients_are_refused_in_their_own_words() {
    let gateway = Gateway::start(&format!(
        "upstreams: {{ rpc: {{ hosts: [\"{0}\"], protocol: h2c }}, keyed: {{ hosts: [\"{0}\"], protocol: h2c }} }}\n\
         consumers: {{ robot: {{ api_keys: [{{ sha256: {1} }}] }} }}\n\
         routes:\n  down: {{ path: /shop.Down/Get, to: rpc }}\n  \
           keyed: {{ path: /shop.Keyed/Get, to: keyed, api_key: X-Api-Key }}\n",
        crate::support::closed_address(),
        "0".repeat(64),
    ));
    let mut client = Http2Client::connect(gateway.web).await;
    for (path, status) in [("/shop.Down/Get", "14"), ("/shop.Keyed/Get", "16"), ("/shop.None/Get", "12")] {
        let reply =
            client.ask("POST", path, &[("content-type", GRPC), ("te", "trailers")], "\0\0\0\0\0").await;
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.headers["content-type"], GRPC, "{path}");
        assert_eq!(reply.headers["grpc-status"], status, "{path}: {reply:?}");
        assert!(reply.headers.contains_key("grpc-message") && reply.body.is_empty(), "{path}");
    }
}
