//! Asking the other services, by name, through the gateway.

use axum::http::{Method, StatusCode};
use reqwest::Client;
use serde::Deserialize;
use serde_json::json;

use crate::call::{Call, Gateway, NoAnswer};
use crate::problem::Problem;
use crate::trace::Trace;

pub(super) struct Partners(Gateway);

#[derive(Deserialize)]
struct Product {
    price_cents: i64,
}

impl Partners {
    pub(super) fn new(client: Client, gateway: &str) -> Self {
        Self(Gateway::new(client, gateway.to_owned()))
    }

    /// Sets pieces of a product aside and answers what one costs.
    pub(super) async fn take_stock(
        &self,
        product: i64,
        quantity: i64,
        trace: &Trace,
    ) -> Result<i64, Problem> {
        let path = format!("/products/{product}/purchases");
        let body = json!({ "quantity": quantity });
        let call = Call { method: Method::POST, path: &path, body, idempotency_key: None };
        let answer =
            self.0.send(call, trace).await.map_err(|error| unreachable("the product service", &error))?;
        match (answer.status, answer.read::<Product>()) {
            (StatusCode::CREATED, Some(product)) => Ok(product.price_cents),
            (status @ (StatusCode::NOT_FOUND | StatusCode::CONFLICT), _) => {
                Err(Problem::new(status, "product_unavailable", answer.detail()))
            }
            (status, _) => Err(Problem::new(
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
        let call = Call { method: Method::POST, path: "/payments", body, idempotency_key: Some(order) };
        match self.0.send(call, trace).await {
            Ok(answer) if answer.status.is_success() => Ok(()),
            Ok(answer) => Err(answer.detail()),
            Err(error) => Err(unreachable("the payment service", &error).detail),
        }
    }
}

fn unreachable(whom: &str, error: &NoAnswer) -> Problem {
    tracing::warn!(%error, "a partner cannot be reached");
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Problem::new(status, "partner_unreachable", format!("{whom} cannot be reached; try again"))
}
