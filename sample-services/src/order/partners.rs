//! Asking the product and the payment service, by name, through the gateway.
//!
//! Each answer is news or it is nothing: a partner that is away, slow or broken leaves the order as
//! it is, and whoever drives it next asks again. Every question may be asked any number of times.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::reason::Reason;
use super::records::Order;
use crate::call::{Answer, Call, Gateway, NoAnswer};

/// What the product service says about the stock of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stock {
    /// It is reserved, at this price for a piece.
    Reserved { price_cents: i64 },
    /// It never will be.
    Refused { reason: Reason, detail: String },
    /// Nobody knows; in the words for the customer.
    Unknown(String),
}

/// What the payment service says about a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Charge {
    /// The order is charged.
    Charged,
    /// It never will be.
    Declined(String),
    /// Nobody knows.
    Unknown(String),
}

pub(super) struct Partners {
    gateway: Gateway,
}

impl Partners {
    pub(super) const fn new(gateway: Gateway) -> Self {
        Self { gateway }
    }

    pub(super) async fn reserve(&self, order: &Order) -> Stock {
        let body = json!({ "product_id": order.product_id, "quantity": order.quantity });
        let path = format!("/reservations/{}", order.id);
        let call = Call { method: Method::PUT, path: &path, body, idempotency_key: None };
        stock(&self.gateway.send(call, &order.trace()).await)
    }

    pub(super) async fn charge(&self, order: &Order, amount_cents: i64) -> Charge {
        let body = json!({ "order_id": order.id, "amount_cents": amount_cents });
        // The payment service charges an order once: with this key the gateway may repeat the call.
        let idempotency_key = Some(&*order.id);
        let call = Call { method: Method::POST, path: "/payments", body, idempotency_key };
        charge(&self.gateway.send(call, &order.trace()).await)
    }

    /// Pays back what was charged, or sees to it that nothing ever is. An error is a sentence for the customer.
    pub(super) async fn undo(&self, order: &Order) -> Result<(), String> {
        let path = format!("/payments/{}/refund", order.id);
        let idempotency_key = Some(&*order.id);
        let call = Call { method: Method::POST, path: &path, body: Value::Null, idempotency_key };
        match self.gateway.send(call, &order.trace()).await {
            Ok(answer) if answer.status.is_success() => Ok(()),
            other => Err(words("the payment service", &other)),
        }
    }
}

type Said = Result<Answer, NoAnswer>;

fn stock(said: &Said) -> Stock {
    const WHOM: &str = "the product service";
    let Ok(answer) = said else { return Stock::Unknown(words(WHOM, said)) };
    let price_cents = answer.body.get("price_cents").and_then(Value::as_i64);
    // A status alone may be the gateway's own; the slug is the product service's.
    match (answer.status, answer.code(), price_cents) {
        (StatusCode::OK | StatusCode::CREATED, _, Some(price_cents)) => Stock::Reserved { price_cents },
        (StatusCode::CONFLICT, "out_of_stock" | "cancelled", _) => {
            Stock::Refused { reason: Reason::OutOfStock, detail: answer.detail() }
        }
        (StatusCode::NOT_FOUND, "not_found", _) => {
            Stock::Refused { reason: Reason::NoSuchProduct, detail: answer.detail() }
        }
        _ => Stock::Unknown(words(WHOM, said)),
    }
}

fn charge(said: &Said) -> Charge {
    const WHOM: &str = "the payment service";
    let Ok(answer) = said else { return Charge::Unknown(words(WHOM, said)) };
    match (answer.status, answer.code()) {
        (StatusCode::OK | StatusCode::CREATED, _) => Charge::Charged,
        (StatusCode::PAYMENT_REQUIRED, "declined") => Charge::Declined(answer.detail()),
        _ => Charge::Unknown(words(WHOM, said)),
    }
}

/// What a customer is told when a partner is of no help.
fn words(whom: &str, said: &Said) -> String {
    match said {
        Ok(answer) => answer.detail(),
        Err(error) => {
            tracing::warn!(%error, whom, "a partner does not answer");
            format!("{whom} does not answer; it is asked again")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: Value) -> Said {
        Ok(Answer { status: StatusCode::from_u16(status).unwrap(), body })
    }

    #[test]
    fn only_the_product_service_itself_refuses_stock() {
        let refused = stock(&answer(409, json!({ "code": "out_of_stock", "detail": "only 0 left" })));
        assert_eq!(refused, Stock::Refused { reason: Reason::OutOfStock, detail: "only 0 left".to_owned() });
        // The gateway knows no route, or nobody is there: the order waits.
        for (status, code) in
            [(404, "no_route"), (503, "no_endpoint"), (502, ""), (409, "different_reservation")]
        {
            let said = stock(&answer(status, json!({ "code": code })));
            assert!(matches!(said, Stock::Unknown(_)), "{status} {code}: {said:?}");
        }
        assert!(matches!(stock(&Err(NoAnswer::TooLong)), Stock::Unknown(_)));
    }

    #[test]
    fn a_reservation_without_a_price_is_none() {
        assert_eq!(stock(&answer(201, json!({ "price_cents": 7 }))), Stock::Reserved { price_cents: 7 });
        assert!(matches!(stock(&answer(200, json!({}))), Stock::Unknown(_)));
    }

    #[test]
    fn only_a_402_that_says_so_declines() {
        assert_eq!(charge(&answer(200, json!({}))), Charge::Charged);
        assert!(matches!(charge(&answer(402, json!({ "code": "declined" }))), Charge::Declined(_)));
        for status in [402, 404, 409, 429, 500, 503] {
            assert!(matches!(charge(&answer(status, json!({ "code": "other" }))), Charge::Unknown(_)));
        }
    }
}
