//! One request, one answer, both in JSON. Every failure to get an answer is a sentence.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// Longest wait for an answer. The gateway gives up before.
const ANSWER_WAIT: Duration = Duration::from_secs(15);
/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Characters of an answer that are shown.
const SHOWN_CHARS: usize = 300;

/// A client of everything on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Http(Client<HttpConnector, Full<Bytes>>);

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Null if it was no JSON.
    pub(crate) body: Value,
}

/// A request to be.
#[derive(Debug, Clone)]
pub(crate) struct Ask<'a> {
    method: Method,
    address: SocketAddr,
    path: &'a str,
    headers: Vec<(&'static str, String)>,
    body: Option<Value>,
}

impl<'a> Ask<'a> {
    pub(crate) fn get(address: SocketAddr, path: &'a str) -> Self {
        Self { method: Method::GET, address, path, headers: Vec::new(), body: None }
    }

    pub(crate) fn post(address: SocketAddr, path: &'a str, body: Value) -> Self {
        Self { method: Method::POST, body: Some(body), ..Self::get(address, path) }
    }

    pub(crate) fn put(address: SocketAddr, path: &'a str, body: Value) -> Self {
        Self { method: Method::PUT, body: Some(body), ..Self::get(address, path) }
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// The `Idempotency-Key`: asked again with it, nothing happens twice.
    pub(crate) fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key.to_owned())
    }

    pub(crate) fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, String> {
        let body = self.body.as_ref().map(Value::to_string).unwrap_or_default();
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(format!("http://{}{}", self.address, self.path))
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        let mut set = |name: HeaderName, value: String| {
            let value = HeaderValue::from_str(&value).map_err(|error| error.to_string())?;
            request.headers_mut().insert(name, value);
            Ok::<_, String>(())
        };
        if self.body.is_some() {
            set(header::CONTENT_TYPE, "application/json".to_owned())?;
        }
        for (name, value) in &self.headers {
            set(HeaderName::from_static(name), value.clone())?;
        }
        Ok(request)
    }
}

impl Http {
    /// Keeps no connection: one to a process that was killed would be this program's trouble, not its subject.
    pub(crate) fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http())
    }

    pub(crate) async fn send(&self, ask: Ask<'_>) -> Result<Answer, String> {
        let request = ask.request()?;
        let exchange = async {
            let answer = self.0.request(request).await.map_err(|error| causes(&error))?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            Ok::<_, String>(Answer { status, body: serde_json::from_slice(&body).unwrap_or_default() })
        };
        match tokio::time::timeout(ANSWER_WAIT, exchange).await {
            Ok(answered) => answered,
            Err(_) => Err(format!("no answer within {ANSWER_WAIT:?}")),
        }
        .map_err(|why| format!("{} {}: {why}", ask.method, ask.path))
    }

    /// The answer, if its status is this one.
    pub(crate) async fn expect(&self, status: u16, ask: Ask<'_>) -> Result<Value, String> {
        let name = format!("{} {}", ask.method, ask.path);
        let answer = self.send(ask).await?;
        if answer.status == status {
            return Ok(answer.body);
        }
        let body: String = answer.body.to_string().chars().take(SHOWN_CHARS).collect();
        Err(format!("{name} answered {} instead of {status}: {body}", answer.status))
    }
}

/// An error with all that caused it, outermost first.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
