//! The order service: takes an order, takes the stock, and has it paid.
//!
//! `POST /orders`, `GET /orders`, `GET /orders/{id}`, `POST /orders/{id}/payment`. It asks the other
//! services by name, through the gateway's internal listener, and knows no address of theirs. An
//! order whose payment fails is kept and can be paid later: the pieces stay set aside for it.

mod partners;
mod records;

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::problem::Problem;
use crate::server::{Service, Start, StartError};
use crate::store::Store;
use crate::trace::Trace;
use partners::Partners;
use records::{Order, Records};

/// Pieces in one order.
const QUANTITY_MAX: i64 = 1000;

struct Orders {
    records: Records,
    partners: Partners,
}

type Shared = State<Arc<Orders>>;

/// The service's routes.
///
/// # Errors
/// When the database cannot be used.
pub async fn build(start: &Start) -> Result<Service, StartError> {
    let store = Store::open(&start.settings.database("order"), records::MIGRATIONS).await?;
    let partners = Partners::new(start.client.clone(), &start.settings.gateway);
    let router = Router::new()
        .route("/orders", post(create).get(list))
        .route("/orders/{id}", get(one))
        .route("/orders/{id}/payment", post(pay_again))
        .with_state(Arc::new(Orders { records: Records::new(store), partners }));
    Ok(Service::new(router))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewOrder {
    product_id: i64,
    quantity: i64,
}

/// 201 if the order is paid, 202 if it is kept and waits for its payment.
async fn create(
    State(orders): Shared,
    trace: Trace,
    headers: HeaderMap,
    body: Result<Json<NewOrder>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let Json(NewOrder { product_id, quantity }) = body?;
    if !(1..=QUANTITY_MAX).contains(&quantity) {
        return Err(Problem::invalid(format!("`quantity` is 1 to {QUANTITY_MAX}")));
    }
    let customer = customer(&headers)?;
    let price_cents = orders.partners.take_stock(product_id, quantity, &trace).await?;
    let order = orders.records.create(customer, product_id, quantity, price_cents * quantity).await?;
    settle(&orders, order, &trace).await
}

/// Tries to have an order paid that is not; 201 or 202 as for a new one.
async fn pay_again(
    State(orders): Shared,
    trace: Trace,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let Path(id) = id?;
    let order = find(&orders, id, customer(&headers)?).await?;
    settle(&orders, order, &trace).await
}

async fn settle(
    orders: &Orders,
    mut order: Order,
    trace: &Trace,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let note = match orders.partners.charge(&order.id, order.amount_cents, trace).await {
        Ok(()) => {
            orders.records.mark_paid(order.id.clone()).await?;
            order.is_paid = true;
            return Ok((StatusCode::CREATED, Json(json!(order))));
        }
        Err(note) => note,
    };
    tracing::warn!(order = %order.id, %note, "not paid yet");
    let mut answer = json!(order);
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("note".to_owned(), Value::String(note));
    }
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

async fn list(State(orders): Shared, headers: HeaderMap) -> Result<Json<Value>, Problem> {
    let items = orders.records.of_customer(customer(&headers)?).await?;
    Ok(Json(json!({ "items": items })))
}

async fn one(
    State(orders): Shared,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Order>, Problem> {
    let Path(id) = id?;
    find(&orders, id, customer(&headers)?).await.map(Json)
}

/// An order of this customer; somebody else's is as unknown as one that does not exist.
async fn find(orders: &Orders, id: String, customer: String) -> Result<Order, Problem> {
    let found = orders.records.find(id).await?.filter(|order| order.customer == customer);
    found.ok_or_else(|| Problem::not_found("no such order"))
}

/// The customer, as the gateway established.
fn customer(headers: &HeaderMap) -> Result<String, Problem> {
    let id = headers.get("x-user-id").and_then(|value| value.to_str().ok()).filter(|id| !id.is_empty());
    id.map(str::to_owned).ok_or_else(|| {
        Problem::new(StatusCode::UNAUTHORIZED, "no_identity", "the gateway names the customer in X-User-Id")
    })
}
