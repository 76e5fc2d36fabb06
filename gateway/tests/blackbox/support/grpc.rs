//! HTTP/2 in clear text: a client, and an upstream that speaks enough gRPC to tell trailers from headers.
#![expect(clippy::disallowed_methods, reason = "its tasks end with the test's runtime")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

use super::PATIENCE;

/// The content type of gRPC.
pub(crate) const GRPC: &str = "application/grpc";

/// An HTTP/2 connection.
pub(crate) struct Http2Client(SendRequest<Full<Bytes>>);

/// A reply, read to its end.
#[derive(Debug)]
pub(crate) struct Http2Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

impl Http2Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(client)
    }

    /// Asks, and reads the whole reply.
    pub(crate) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &'static str,
    ) -> Http2Reply {
        let mut request = Request::builder().method(method).uri(format!("http://shop.test{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body)).unwrap();
        let reply = tokio::time::timeout(PATIENCE, self.0.send_request(request)).await.unwrap().unwrap();
        let (head, body) = reply.into_parts();
        let collected = tokio::time::timeout(PATIENCE, body.collect()).await.unwrap().unwrap();
        let trailers = collected.trailers().cloned().unwrap_or_default();
        let body = collected.to_bytes();
        Http2Reply { status: head.status.as_u16(), headers: head.headers, body, trailers }
    }
}

/// A gRPC server: every message comes back, with `grpc-status: 0` in the trailers.
pub(crate) struct GrpcUpstream {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Request<Bytes>>>>,
}

impl GrpcUpstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                let service = service_fn(move |request| echo(request, shared.clone()));
                let io = TokioIo::new(stream);
                tokio::spawn(async move {
                    http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await
                });
            }
        });
        Self { address, seen }
    }

    /// Every request so far, with its body.
    pub(crate) fn seen(&self) -> Vec<Request<Bytes>> {
        self.seen.lock().unwrap().clone()
    }
}

type Frames = futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>;

async fn echo(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<Request<Bytes>>>>,
) -> Result<Response<StreamBody<Frames>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let is_slow = head.uri.path().ends_with("/Slow");
    seen.lock().unwrap().push(Request::from_parts(head, body.clone()));
    if is_slow {
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers.insert("x-checksum", HeaderValue::from(body.len()));
    let frames = vec![Ok(Frame::data(body)), Ok(Frame::trailers(trailers))];
    let stream = StreamBody::new(futures_util::stream::iter(frames));
    Ok(Response::builder().header("content-type", GRPC).body(stream).unwrap())
}
