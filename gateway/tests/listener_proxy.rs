//! The guard in front of Pingora's own proxy: what the guard relies on in Pingora, held by tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod listener_support;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use listener_support::{Recorder, plain, read_reply, read_to_end, soon, until};
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session};
use portcullis::listener::{ListenerService, ListenerSet};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

struct PassOn(SocketAddr);

#[async_trait]
impl ProxyHttp for PassOn {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn early_request_filter(&self, session: &mut Session, (): &mut ()) -> pingora_core::Result<()> {
        session.set_keepalive(Some(75));
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, (): &mut ()) -> pingora_core::Result<bool> {
        if session.req_header().uri.path() == "/refuse" {
            return pingora_core::Error::e_explain(pingora_core::HTTPStatus(413), "too large");
        }
        Ok(false)
    }

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora_core::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }
}

/// An origin that answers what it was sent: `ok` at the end of each request, 101 and an echo to an upgrade.
struct Origin {
    address: SocketAddr,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Origin {
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    async fn start() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let record = received.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = socket.accept().await {
                tokio::spawn(answer(tcp, record.clone()));
            }
        });
        Self { address, received }
    }

    fn received(&self) -> String {
        String::from_utf8_lossy(&self.received.lock().unwrap()).into_owned()
    }
}

async fn answer(mut tcp: TcpStream, record: Arc<Mutex<Vec<u8>>>) {
    let mut request = Vec::new();
    let mut part = [0; 4096];
    while let Ok(read @ 1..) = tcp.read(&mut part).await {
        record.lock().unwrap().extend_from_slice(&part[..read]);
        request.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&request).to_lowercase();
        if text.contains("upgrade: websocket") {
            tcp.write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            )
            .await
            .unwrap();
            while let Ok(read @ 1..) = tcp.read(&mut part).await {
                tcp.write_all(&part[..read]).await.unwrap();
            }
            return;
        }
        let whole = text.ends_with("0\r\n\r\n")
            || (text.ends_with("\r\n\r\n") && !text.contains("transfer-encoding"));
        if whole {
            request.clear();
            tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        }
    }
}

/// The origin, the address of a gateway before it, and what keeps that running.
#[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
async fn start() -> (Origin, SocketAddr, watch::Sender<bool>) {
    let origin = Origin::start().await;
    let set = ListenerSet::new(Arc::new(Recorder::default()));
    set.apply(vec![plain("web")]).unwrap();
    let address = set.listening().first().unwrap().address;
    let conf = ServerConf { max_retries: 1, ..ServerConf::default() };
    let proxy = pingora_proxy::http_proxy(&Arc::new(conf), PassOn(origin.address));
    let service = ListenerService::new(Arc::new(proxy), set);
    let (stop, watch) = watch::channel(false);
    tokio::spawn(async move { service.run(watch).await });
    (origin, address, stop)
}

#[tokio::test]
async fn pipelined_requests_are_proxied_in_order_on_one_connection() {
    let (origin, address, _stop) = start().await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let requests = "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n".repeat(3);
    client.write_all(requests.as_bytes()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(read_reply(&mut client).await.1, "ok");
    }
    assert_eq!(origin.received().matches("GET /1 ").count(), 3);
}

#[tokio::test]
async fn a_broken_chunk_never_completes_a_request_at_the_origin() {
    let (origin, address, _stop) = start().await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client
        .write_all(b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        .await
        .unwrap();
    until(|| origin.received().contains("abc")).await;
    client.write_all(b"3\r\nabcX\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let reply = read_to_end(&mut client).await;
    assert!(!reply.starts_with("HTTP/1.1 200"), "{reply}");
    let received = origin.received();
    assert!(!received.contains("0\r\n\r\n") && !received.contains("/admin"), "{received}");
}

#[tokio::test]
async fn a_websocket_is_tunnelled_with_the_bytes_that_came_early() {
    let (_origin, address, _stop) = start().await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client
        .write_all(
            b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n\x81\x01a",
        )
        .await
        .unwrap();
    let (head, _) = read_reply(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    let mut echoed = [0; 3];
    soon(client.read_exact(&mut echoed)).await.unwrap();
    assert_eq!(&echoed, b"\x81\x01a");
}

#[tokio::test]
async fn an_upload_that_is_refused_half_way_still_sees_its_answer() {
    let (_origin, address, _stop) = start().await;
    for _ in 0..20 {
        let mut client = TcpStream::connect(address).await.unwrap();
        client
            .write_all(b"POST /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n")
            .await
            .unwrap();
        client.write_all(&[b'x'; 100_000]).await.unwrap();
        let mut reply = String::new();
        soon(client.read_to_string(&mut reply)).await.expect("reset instead of closed");
        assert!(reply.starts_with("HTTP/1.1 413"), "{reply:?}");
    }
}
