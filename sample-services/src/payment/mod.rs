//! The payment service: charges an order once, however often it is asked.
//!
//! `POST /payments`, `GET /payments/{order}`; `GET` and `PUT /mischief` switch latency, errors and
//! hangs on, so that the gateway's answers to them can be seen.

mod mischief;

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::{get, post};
use axum::{Json, Router};
use reqwest::Client;
use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use crate::problem::Problem;
use crate::server::StartError;
use crate::settings::Settings;
use crate::store::{Store, StoreError};
use mischief::Switches;

const MIGRATIONS: &[&str] = &["
    CREATE TABLE payments (
        order_id TEXT PRIMARY KEY,
        amount_cents INTEGER NOT NULL CHECK (amount_cents > 0)
    ) STRICT;
"];

/// Bytes of an order's id.
const ORDER_ID_BYTES_MAX: usize = 64;

/// A charge that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payment {
    order_id: String,
    amount_cents: i64,
}

type Shared = State<Arc<Store>>;

/// The service's routes.
///
/// # Errors
/// When the database cannot be used.
pub fn build(settings: &Settings, _: &Client) -> Result<Router, StartError> {
    let store = Store::open(&settings.data_dir, "payment", MIGRATIONS)?;
    let switches = Switches::default();
    let payments = Router::new()
        .route("/payments", post(charge))
        .route("/payments/{order}", get(one))
        .with_state(Arc::new(store))
        .layer(middleware::from_fn_with_state(switches.clone(), mischief::act));
    let mischief =
        Router::new().route("/mischief", get(mischief::show).put(mischief::set)).with_state(switches);
    Ok(payments.merge(mischief))
}

async fn charge(
    State(store): Shared,
    body: Result<Json<Payment>, JsonRejection>,
) -> Result<(StatusCode, Json<Payment>), Problem> {
    let Json(payment) = body?;
    if payment.order_id.is_empty() || payment.order_id.len() > ORDER_ID_BYTES_MAX {
        return Err(Problem::invalid(format!("`order_id` needs 1 to {ORDER_ID_BYTES_MAX} bytes")));
    }
    if payment.amount_cents < 1 {
        return Err(Problem::invalid("`amount_cents` is at least 1"));
    }
    let status = store
        .transact({
            let payment = payment.clone();
            move |tx| record(tx, &payment)
        })
        .await?;
    Ok((status, Json(payment)))
}

/// 201 for the first charge of an order, 200 for the same again, 409 for another amount.
fn record(tx: &rusqlite::Transaction<'_>, payment: &Payment) -> Result<StatusCode, Problem> {
    match find(tx, &payment.order_id)? {
        Some(known) if known == *payment => Ok(StatusCode::OK),
        Some(known) => Err(Problem::new(
            StatusCode::CONFLICT,
            "already_charged",
            format!("order {} was charged {} cents before", known.order_id, known.amount_cents),
        )),
        None => {
            tx.execute("INSERT INTO payments VALUES (?, ?)", params![payment.order_id, payment.amount_cents])
                .map_err(StoreError::from)?;
            Ok(StatusCode::CREATED)
        }
    }
}

async fn one(
    State(store): Shared,
    order: Result<Path<String>, PathRejection>,
) -> Result<Json<Payment>, Problem> {
    let Path(order) = order?;
    let found = store.transact(move |tx| find(tx, &order)).await?;
    found.map(Json).ok_or_else(|| Problem::not_found("this order was not charged"))
}

fn find(tx: &rusqlite::Transaction<'_>, order_id: &str) -> Result<Option<Payment>, StoreError> {
    let row = |row: &Row<'_>| Ok(Payment { order_id: row.get(0)?, amount_cents: row.get(1)? });
    let query = "SELECT order_id, amount_cents FROM payments WHERE order_id = ?";
    Ok(tx.query_row(query, [order_id], row).optional()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_order_is_charged_once_and_never_another_amount() {
        let store = Store::in_memory(MIGRATIONS).unwrap();
        let charge = |amount_cents| {
            let payment = Payment { order_id: "o1".to_owned(), amount_cents };
            store.transact(move |tx| record(tx, &payment))
        };
        assert_eq!(charge(500).await.unwrap(), StatusCode::CREATED);
        assert_eq!(charge(500).await.unwrap(), StatusCode::OK);
        assert_eq!(charge(501).await.unwrap_err().code, "already_charged");
    }
}
