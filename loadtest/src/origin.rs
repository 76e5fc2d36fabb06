//! A small server to stand behind a proxy: the same bytes for every path, as fast as hyper goes on
//! one thread; slow or failing on request. Speaks HTTP/1.1 with keep-alive and HTTP/2 with prior knowledge.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

/// Where a JWKS is served, when there is one.
pub const JWKS_PATH: &str = "/.well-known/jwks.json";
/// Says which instance answered.
pub const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");
/// How long to wait after a failed accept, so that a lack of file descriptors is not a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// How it answers.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The body of every answer.
    pub body: Bytes,
    /// What `x-served-by` says.
    pub served_by: HeaderValue,
    /// Time before every answer.
    pub delay: Duration,
    /// Every so-manieth answer is 503; 0 for none.
    pub fail_every: u64,
    /// Answered at [`JWKS_PATH`].
    pub jwks: Option<Bytes>,
}

impl Default for Origin {
    fn default() -> Self {
        Self {
            body: fixed_body(1024),
            served_by: HeaderValue::from_static("origin"),
            delay: Duration::ZERO,
            fail_every: 0,
            jwks: None,
        }
    }
}

/// So many bytes of readable text, the same every time.
#[must_use]
pub fn fixed_body(bytes: usize) -> Bytes {
    b"0123456789abcdef".iter().copied().cycle().take(bytes).collect::<Vec<u8>>().into()
}

impl Origin {
    /// Serves until the future is dropped; connections end with the runtime.
    #[expect(clippy::disallowed_methods, reason = "a connection's task ends with its client or the process")]
    pub async fn serve(self, listener: TcpListener) {
        let shared = Arc::new((self, AtomicU64::new(0)));
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            // Without it the kernel may hold small answers back; with an error it is only slower.
            let _ = stream.set_nodelay(true);
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(Arc::clone(&shared), request));
                let builder = auto::Builder::new(TokioExecutor::new());
                // A client that breaks off is no news here.
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }

    fn reply(&self, path: &str, number: u64) -> Response<Full<Bytes>> {
        let jwks = self.jwks.as_ref().filter(|_| path == JWKS_PATH);
        let body = jwks.unwrap_or(&self.body).clone();
        let fails = self.fail_every != 0 && number.is_multiple_of(self.fail_every) && jwks.is_none();
        let kind = if jwks.is_some() { "application/json" } else { "text/plain" };
        let length = body.len();
        let mut response = Response::new(Full::new(body));
        if fails {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        response.headers_mut().insert(SERVED_BY, self.served_by.clone());
        response
    }
}

async fn answer(
    shared: Arc<(Origin, AtomicU64)>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (origin, count) = &*shared;
    let (head, mut body) = request.into_parts();
    // The request's body is read and forgotten, so that the connection can carry the next one.
    while let Some(Ok(_)) = body.frame().await {}
    if !origin.delay.is_zero() {
        tokio::time::sleep(origin.delay).await;
    }
    let number = count.fetch_add(1, Ordering::Relaxed) + 1;
    Ok(origin.reply(head.uri.path(), number))
}
