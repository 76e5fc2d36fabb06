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
use serde::{Deserialize, Serialize};
use sqlx::Row;

use crate::problem::Problem;
use crate::server::{Service, Start, StartError};
use crate::store::{Store, Tx};
use mischief::Switches;

const MIGRATIONS: &[&str] = &["
    CREATE TABLE payments (
        order_id TEXT PRIMARY KEY,
        amount_cents BIGINT NOT NULL CHECK (amount_cents > 0)
    );
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
pub async fn build(start: &Start) -> Result<Service, StartError> {
    let store = Store::open(&start.settings.database("payment"), MIGRATIONS).await?;
    let switches = Switches::default();
    let payments = Router::new()
        .route("/payments", post(charge))
        .route("/payments/{order}", get(one))
        .with_state(Arc::new(store))
        .layer(middleware::from_fn_with_state(switches.clone(), mischief::act));
    let mischief =
        Router::new().route("/mischief", get(mischief::show).put(mischief::set)).with_state(switches);
    Ok(Service::new(payments.merge(mischief)))
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
    let mut tx = store.begin().await?;
    let status = record(&mut tx, &payment).await?;
    tx.commit().await?;
    Ok((status, Json(payment)))
}

/// 201 for the first charge of an order, 200 for the same again, 409 for another amount.
async fn record(tx: &mut Tx, payment: &Payment) -> Result<StatusCode, Problem> {
    // Inserting first tells two charges at the same time apart on every database.
    let insert =
        "INSERT INTO payments (order_id, amount_cents) VALUES ($1, $2) ON CONFLICT (order_id) DO NOTHING";
    let insert = sqlx::query(insert).bind(&payment.order_id).bind(payment.amount_cents);
    if insert.execute(&mut **tx).await?.rows_affected() == 1 {
        return Ok(StatusCode::CREATED);
    }
    match find(tx, &payment.order_id).await? {
        Some(known) if known == *payment => Ok(StatusCode::OK),
        Some(known) => Err(Problem::new(
            StatusCode::CONFLICT,
            "already_charged",
            format!("order {} was charged {} cents before", known.order_id, known.amount_cents),
        )),
        None => Err(Problem::new(
            StatusCode::CONFLICT,
            "busy",
            "another charge of this order is under way; try again",
        )),
    }
}

async fn one(
    State(store): Shared,
    order: Result<Path<String>, PathRejection>,
) -> Result<Json<Payment>, Problem> {
    let Path(order) = order?;
    let mut tx = store.read().await?;
    find(&mut tx, &order).await?.map(Json).ok_or_else(|| Problem::not_found("this order was not charged"))
}

async fn find(tx: &mut Tx, order_id: &str) -> Result<Option<Payment>, sqlx::Error> {
    let query = sqlx::query("SELECT order_id, amount_cents FROM payments WHERE order_id = $1").bind(order_id);
    let row = query.fetch_optional(&mut **tx).await?;
    row.map(|row| Ok(Payment { order_id: row.try_get(0)?, amount_cents: row.try_get(1)? })).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::databases;

    #[tokio::test]
    async fn an_order_is_charged_once_and_never_another_amount() {
        for database in databases::each().await {
            let store = database.open(MIGRATIONS).await;
            let charge = async |amount_cents| {
                let payment = Payment { order_id: "o1".to_owned(), amount_cents };
                let mut tx = store.begin().await.unwrap();
                let outcome = record(&mut tx, &payment).await;
                tx.commit().await.unwrap();
                outcome
            };
            assert_eq!(charge(500).await.unwrap(), StatusCode::CREATED);
            assert_eq!(charge(500).await.unwrap(), StatusCode::OK);
            assert_eq!(charge(501).await.unwrap_err().code, "already_charged");
        }
    }
}
