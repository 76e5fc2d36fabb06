//! One call to another service, by path, through the gateway's internal listener.
//!
//! One deadline, the ids of the request that causes it, and an answer of bounded size. Retries, breakers and
//! fallbacks are the gateway's; what an answer means is the caller's.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use reqwest::Client;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use crate::trace::Trace;

/// Longest wait for an answer, all of the gateway's retries included.
const ANSWER_WAIT: Duration = Duration::from_secs(8);
/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Where the other services are reached.
#[derive(Debug, Clone)]
pub struct Gateway {
    client: Client,
    base: String,
}

/// A call that is to be made.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// The method.
    pub method: Method,
    /// The path, such as `/payments`.
    pub path: &'a str,
    /// The body; none for null.
    pub body: Value,
    /// Makes a `POST` one that the gateway may repeat: the service does it once, however often it is asked.
    pub idempotency_key: Option<&'a str>,
}

/// An answer, whatever its status.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body; null if it is no JSON.
    pub body: Value,
}

/// No answer: the call may or may not have been heard.
#[derive(Debug, Error)]
pub enum NoAnswer {
    /// The connection failed, or the time was up.
    #[error("{0}")]
    Failed(#[from] reqwest::Error),
    /// More than is read.
    #[error("an answer of more than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
}

impl Gateway {
    /// The gateway at `base`.
    #[must_use]
    pub const fn new(client: Client, base: String) -> Self {
        Self { client, base }
    }

    /// Makes a call and waits for its answer.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn send(&self, call: Call<'_>, trace: &Trace) -> Result<Answer, NoAnswer> {
        let url = format!("{}{}", self.base, call.path);
        let mut request = self.client.request(call.method, url).timeout(ANSWER_WAIT).headers(trace.headers());
        if let Some(key) = call.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if !call.body.is_null() {
            request = request.json(&call.body);
        }
        let mut response = request.send().await?;
        let (status, mut bytes) = (response.status(), Vec::new());
        while let Some(chunk) = response.chunk().await? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(NoAnswer::TooLong);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body: serde_json::from_slice(&bytes).unwrap_or_default() })
    }
}

impl Answer {
    /// The body as `T`, if it is one.
    #[must_use]
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        T::deserialize(&self.body).ok()
    }

    /// The slug of a problem; empty if it is none.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body.get("code").and_then(Value::as_str).unwrap_or_default()
    }

    /// What a problem says, for people.
    #[must_use]
    pub fn detail(&self) -> String {
        let text = self.body.get("detail").or_else(|| self.body.get("title")).and_then(Value::as_str);
        text.map_or_else(|| format!("answered {}", self.status.as_u16()), str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use axum::extract::Request;
    use axum::{Json, Router};
    use serde_json::json;

    use super::*;
    use crate::problem::Problem;
    use crate::served;

    async fn echo(request: Request) -> Result<Json<Value>, Problem> {
        let text =
            |name| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        if request.uri().path() == "/long" {
            return Ok(Json(json!("x".repeat(ANSWER_BYTES_MAX))));
        }
        if request.uri().path() == "/no" {
            return Err(Problem::not_found("no such thing"));
        }
        let key = text("idempotency-key");
        Ok(Json(json!({ "request_id": text("x-request-id"), "key": key, "type": text("content-type") })))
    }

    async fn gateway() -> (Gateway, served::Served) {
        let served = served::serve(Router::new().fallback(echo)).await;
        (Gateway::new(served.client.clone(), served.url("")), served)
    }

    fn get(path: &str) -> Call<'_> {
        Call { method: Method::GET, path, body: Value::Null, idempotency_key: None }
    }

    #[tokio::test]
    async fn a_call_carries_the_ids_of_the_request_that_causes_it() {
        let (gateway, _served) = gateway().await;
        let trace = Trace::resume(Some("r-1"), None);
        let call =
            Call { method: Method::POST, body: json!({}), idempotency_key: Some("o-1"), ..get("/payments") };
        let answer = gateway.send(call, &trace).await.unwrap();
        assert_eq!(answer.body, json!({ "request_id": "r-1", "key": "o-1", "type": "application/json" }));
    }

    #[tokio::test]
    async fn a_problem_is_an_answer_and_no_answer_is_an_error() {
        let (gateway, _served) = gateway().await;
        let trace = Trace::resume(None, None);
        let answer = gateway.send(get("/no"), &trace).await.unwrap();
        assert_eq!(
            (answer.status.as_u16(), answer.code(), &*answer.detail()),
            (404, "not_found", "no such thing")
        );
        assert!(matches!(gateway.send(get("/long"), &trace).await, Err(NoAnswer::TooLong)));
        let nowhere = Gateway::new(gateway.client.clone(), "http://127.0.0.1:1".to_owned());
        assert!(matches!(nowhere.send(get("/"), &trace).await, Err(NoAnswer::Failed(_))));
    }
}
