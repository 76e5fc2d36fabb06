//! Asking the other services, by name, through the gateway.
//!
//! Retries, breakers and fallbacks are the gateway's: here is one call with one deadline. The
//! trace and the request id of the caller go along, so one id tells the whole story.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use reqwest::{Client, RequestBuilder};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::problem::Problem;

/// Longest wait for a partner, all of the gateway's retries included.
const ANSWER_WAIT: Duration = Duration::from_secs(8);
/// What is passed on from the request that caused the call.
const TRACE_FIELDS: [HeaderName; 3] = [
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

/// What ties a call to the request that caused it.
#[derive(Debug, Clone, Default)]
pub(super) struct Trace(HeaderMap);

impl Trace {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let known = TRACE_FIELDS.into_iter().filter_map(|name| {
            let value: HeaderValue = headers.get(&name)?.clone();
            Some((name, value))
        });
        Self(known.collect())
    }
}

pub(super) struct Partners {
    client: Client,
    gateway: String,
}

#[derive(Deserialize)]
struct Product {
    price_cents: i64,
}

impl Partners {
    pub(super) fn new(client: Client, gateway: &str) -> Self {
        Self { client, gateway: gateway.to_owned() }
    }

    /// Sets pieces of a product aside and answers what one costs.
    pub(super) async fn take_stock(
        &self,
        product: i64,
        quantity: i64,
        trace: &Trace,
    ) -> Result<i64, Problem> {
        let request =
            self.post(&format!("/products/{product}/purchases"), &json!({ "quantity": quantity }), trace);
        let answer = request.send().await.map_err(|error| unreachable("the product service", &error))?;
        match answer.status() {
            StatusCode::CREATED => {
                let product: Product =
                    answer.json().await.map_err(|error| unreachable("the product service", &error))?;
                Ok(product.price_cents)
            }
            status @ (StatusCode::NOT_FOUND | StatusCode::CONFLICT) => {
                let detail = detail(answer).await;
                Err(Problem::new(status, "product_unavailable", detail))
            }
            status => Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "products_unavailable",
                format!("the product service answered {}; try again", status.as_u16()),
            )),
        }
    }

    /// Charges an order. An error is a sentence for the customer: the order itself is safe.
    pub(super) async fn charge(&self, order: &str, amount_cents: i64, trace: &Trace) -> Result<(), String> {
        let body = json!({ "order_id": order, "amount_cents": amount_cents });
        // The payment service charges an order once: with this key the gateway may repeat the call.
        let request = self.post("/payments", &body, trace).header("idempotency-key", order);
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(detail(answer).await),
            Err(error) => Err(unreachable("the payment service", &error).detail),
        }
    }

    fn post(&self, path: &str, body: &Value, trace: &Trace) -> RequestBuilder {
        let url = format!("{}{path}", self.gateway);
        self.client.post(url).timeout(ANSWER_WAIT).headers(trace.0.clone()).json(body)
    }
}

/// What a problem says, for people.
async fn detail(answer: reqwest::Response) -> String {
    let status = answer.status();
    let problem: Value = answer.json().await.unwrap_or_default();
    let text = problem.get("detail").or_else(|| problem.get("title")).and_then(Value::as_str);
    text.map_or_else(|| format!("answered {}", status.as_u16()), str::to_owned)
}

fn unreachable(whom: &str, error: &reqwest::Error) -> Problem {
    tracing::warn!(%error, "a partner cannot be reached");
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Problem::new(status, "partner_unreachable", format!("{whom} cannot be reached; try again"))
}
