//! Asking over HTTP: one request, one answer that is kept whole, with the time it took.

use std::time::Duration;

use http::{HeaderMap, Method};
use reqwest::Client;
use serde_json::Value;

use super::broken::{Broken, ensure};
use crate::clock;

/// Longest wait for one answer.
const ANSWER_WAIT: Duration = Duration::from_secs(15);
/// Characters of a body that are shown when it is not the one expected.
const BODY_SHOWN_CHARS_MAX: usize = 300;

/// A server, and how to be known to it.
#[derive(Debug, Clone)]
pub(super) struct Http {
    client: Client,
    base: String,
}

/// An answer.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    request: String,
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
    pub(super) took: Duration,
}

impl Http {
    pub(super) fn new(base: impl Into<String>) -> Result<Self, Broken> {
        // No connection is kept: one that the server is just closing would be the demo's trouble, not its subject.
        let client = Client::builder().no_proxy().timeout(ANSWER_WAIT).pool_max_idle_per_host(0).build();
        let client = client.map_err(|error| Broken::new(format!("no HTTP client: {error}")))?;
        Ok(Self { client, base: base.into() })
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) async fn get(&self, path: &str, token: Option<&str>) -> Result<Seen, Broken> {
        self.send(Method::GET, path, token, &[], None).await
    }

    pub(super) async fn post(&self, path: &str, token: Option<&str>, body: &Value) -> Result<Seen, Broken> {
        self.send(Method::POST, path, token, &[], Some(body)).await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Seen, Broken> {
        self.send(Method::PUT, path, None, &[], Some(body)).await
    }

    /// With header fields beside those that every request has.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        fields: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Seen, Broken> {
        let began = clock::now();
        let name = format!("{method} {path}");
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let broken = |error: reqwest::Error| Broken::new(format!("{name}: no answer: {}", causes(&error)));
        let answer = request.send().await.map_err(broken)?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.text().await.map_err(broken)?;
        Ok(Seen { request: name, status, headers, body, took: clock::now().saturating_since(began) })
    }
}

impl Seen {
    /// The answer, if its status is this one.
    pub(super) fn expect(self, status: u16) -> Result<Self, Broken> {
        ensure(self.status == status, || self.instead_of(&status.to_string()))?;
        Ok(self)
    }

    /// What was seen, in a sentence, when something else was expected.
    pub(super) fn instead_of(&self, expected: &str) -> String {
        let body: String = self.body.chars().take(BODY_SHOWN_CHARS_MAX).collect();
        format!("{} answered {} instead of {expected}: {}", self.request, self.status, body.trim_end())
    }

    /// A header's value; empty if it is missing.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The header's value, which must be there.
    pub(super) fn expect_header(&self, name: &str) -> Result<String, Broken> {
        let value = self.header(name);
        ensure(!value.is_empty(), || format!("{} has no {name} header", self.request))?;
        Ok(value.to_owned())
    }

    /// The body as JSON; null if it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The text at a JSON pointer, which must be there.
    pub(super) fn text(&self, pointer: &str) -> Result<String, Broken> {
        let found = self.json().pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        found.ok_or_else(|| Broken::new(self.instead_of(&format!("a text at {pointer}"))))
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
