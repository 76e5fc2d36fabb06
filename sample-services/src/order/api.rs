//! What customers and operators ask of the order service.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::drive::{Driven, Driver};
use super::reason::Reason;
use super::records::{NotHeard, Order, Placed, Wish, Word};
use super::state::{self, News, PaidBy};
use crate::identity::Identity;
use crate::mischief::reached;
use crate::page::{Page, Window};
use crate::problem::{BodyProblems, IdentityProblems, Problem, ProblemBody, QueryProblems};
use crate::trace::Trace;
use crate::whole;

/// Pieces in one order.
const QUANTITY_MAX: i64 = 1000;
/// Characters of an idempotency key.
const KEY_CHARS_MAX: usize = 128;

pub(super) struct Orders {
    pub(super) driver: Arc<Driver>,
    pub(super) paid_by: PaidBy,
}

type Shared = State<Arc<Orders>>;

/// An order to be placed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewOrder {
    #[serde(deserialize_with = "whole::number")]
    #[schema(minimum = 1)]
    product_id: i64,
    #[serde(deserialize_with = "whole::number")]
    #[schema(minimum = 1, maximum = 1000)]
    quantity: i64,
}

/// An order, and what there is to say about it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Told {
    #[serde(flatten)]
    order: Order,
    /// Why it is not further yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Place an order
///
/// It is paid (201), or it is kept and on its way (202). With an `Idempotency-Key` the same request may be sent any
/// number of times: the first places the order, the others answer how it is (200).
#[utoipa::path(
    post, path = "/orders", operation_id = "place_order", request_body = NewOrder,
    params(("Idempotency-Key" = Option<String>, Header, description = "visible characters; yours alone", pattern = "^[!-~]{1,128}$")),
    responses(
        (status = 201, description = "Placed and paid", body = Told),
        (status = 202, description = "Placed; `note` says what it waits for", body = Told),
        (status = 200, description = "Placed before with this key", body = Told),
        (status = 402, description = "Payment declined; the order is cancelled", content_type = "application/problem+json", body = ProblemBody),
        (status = 404, description = "No such product; the order is cancelled", content_type = "application/problem+json", body = ProblemBody),
        (status = 409, description = "`out_of_stock`, and the order is cancelled; or `idempotency_key_reused`, with another content", content_type = "application/problem+json", body = ProblemBody),
        BodyProblems, IdentityProblems
    )
)]
pub(super) async fn place(
    State(orders): Shared,
    customer: Identity,
    trace: Trace,
    headers: HeaderMap,
    body: Result<Json<NewOrder>, JsonRejection>,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    let Json(NewOrder { product_id, quantity }) = body?;
    if product_id < 1 {
        return Err(Problem::invalid("`product_id` is at least 1"));
    }
    if !(1..=QUANTITY_MAX).contains(&quantity) {
        return Err(Problem::invalid(format!("`quantity` is 1 to {QUANTITY_MAX}")));
    }
    let wish = Wish { customer: customer.user, key, product_id, quantity, paid_by: orders.paid_by, trace };
    match orders.driver.records().place(&wish).await? {
        Placed::New(order) => {
            reached("order.placed");
            let driven = orders.driver.drive(&order.id).await?;
            settled(driven, StatusCode::CREATED)
        }
        Placed::Before(order) if (order.product_id, order.quantity) != (product_id, quantity) => {
            let detail = format!("this key placed order {} with another content; take a new key", order.id);
            Err(Problem::conflict("idempotency_key_reused", detail))
        }
        // Whoever placed it may be gone: it is driven on, so that the answer says how it ends.
        Placed::Before(order) => {
            let Driven { order, note } = orders.driver.drive(&order.id).await?;
            Ok((StatusCode::OK, Json(Told { order, note })).into_response())
        }
    }
}

/// `paid` for an order that is paid, 202 for one that is on its way, a problem for one that came to nothing.
fn settled(Driven { order, note }: Driven, paid: StatusCode) -> Result<Response, Problem> {
    let status = match (order.state, order.reason) {
        (state::State::Paid, _) => paid,
        (state::State::Cancelled, reason) => {
            let reason = reason.unwrap_or(Reason::Customer);
            let why = note.unwrap_or_else(|| reason.sentence().to_owned());
            let detail = format!("order {} is cancelled: {why}", order.id);
            return Err(Problem::new(reason.status(), reason.name(), detail));
        }
        (state::State::Placed | state::State::Reserved | state::State::Cancelling, _) => StatusCode::ACCEPTED,
    };
    Ok((status, Json(Told { order, note })).into_response())
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| {
        (1..=KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    });
    match key {
        Some(key) => Ok(Some(key.to_owned())),
        None => {
            Err(Problem::invalid(format!("`Idempotency-Key` is 1 to {KEY_CHARS_MAX} visible characters")))
        }
    }
}

/// Which of the customer's orders.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only those in this state.
    state: Option<state::State>,
    /// At most so many.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// The `next` of the page before.
    #[param(pattern = "^[0-9a-f]{32}$")]
    cursor: Option<String>,
}

/// The customer's own orders, latest first
#[utoipa::path(
    get, path = "/orders", operation_id = "list_orders", params(Filter),
    responses((status = 200, description = "A page of them", body = Page<Order>), QueryProblems, IdentityProblems)
)]
pub(super) async fn list(
    State(orders): Shared,
    customer: Identity,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Page<Order>, Problem> {
    let Query(Filter { state, limit, cursor }) = filter?;
    let window = Window::<Uuid>::new(limit, cursor.as_deref())?;
    let before = window.after.map(|id| id.to_string());
    let records = orders.driver.records();
    let items = records.of_customer(&customer.user, state, before.as_deref(), window.rows()).await?;
    let others: Vec<(&str, &str)> = state.map(|state| ("state", state.name())).into_iter().collect();
    Ok(window.page(items, |order| order.id.parse().unwrap_or_default(), &others))
}

/// One of the customer's own orders
#[utoipa::path(
    get, path = "/orders/{id}", operation_id = "get_order", params(("id" = String, Path, format = "uuid", description = "the order's id")),
    responses((status = 200, description = "It", body = Order), (status = 404, description = "This customer has no such order", content_type = "application/problem+json", body = ProblemBody), QueryProblems, IdentityProblems)
)]
pub(super) async fn one(
    State(orders): Shared,
    customer: Identity,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Order>, Problem> {
    own(&orders, id, &customer).await.map(Json)
}

/// Try again to have an order paid
///
/// Nobody has to: an order that is not paid yet is tried again by itself. 201 if it is paid by this, 200 if it was.
#[utoipa::path(
    post, path = "/orders/{id}/payment", operation_id = "pay_order", params(("id" = String, Path, format = "uuid", description = "the order's id")),
    responses(
        (status = 201, description = "Paid now", body = Told), (status = 202, description = "Not yet; `note` says why", body = Told),
        (status = 200, description = "Paid before", body = Told),
        (status = 402, description = "Payment declined; the order is cancelled", content_type = "application/problem+json", body = ProblemBody),
        (status = 409, description = "It is, or is being, cancelled", content_type = "application/problem+json", body = ProblemBody),
        (status = 404, description = "This customer has no such order", content_type = "application/problem+json", body = ProblemBody), QueryProblems, IdentityProblems
    )
)]
pub(super) async fn pay(
    State(orders): Shared,
    customer: Identity,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let order = own(&orders, id, &customer).await?;
    match order.state {
        state::State::Paid => Ok((StatusCode::OK, Json(Told { order, note: None })).into_response()),
        state::State::Cancelling | state::State::Cancelled => {
            let detail = format!("order {} is {}; place a new one", order.id, order.state);
            Err(Problem::new(StatusCode::CONFLICT, "not_payable", detail))
        }
        state::State::Placed | state::State::Reserved => {
            settled(orders.driver.drive(&order.id).await?, StatusCode::CREATED)
        }
    }
}

/// Cancel an order, paid or not
///
/// 200 once it is cancelled, what was paid is paid back and its pieces are on sale again; 202 while that goes on.
#[utoipa::path(
    post, path = "/orders/{id}/cancel", operation_id = "cancel_order", params(("id" = String, Path, format = "uuid", description = "the order's id")),
    responses(
        (status = 200, description = "Cancelled", body = Told), (status = 202, description = "Being cancelled", body = Told),
        (status = 404, description = "This customer has no such order", content_type = "application/problem+json", body = ProblemBody), QueryProblems, IdentityProblems
    )
)]
pub(super) async fn cancel(
    State(orders): Shared,
    customer: Identity,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let order = own(&orders, id, &customer).await?;
    let word = Word::because(News::CancelAsked, Reason::Customer);
    orders.driver.tell(&order.id, word).await?;
    let Driven { order, note } = orders.driver.drive(&order.id).await?;
    let status = if order.state.is_final() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(Told { order, note })).into_response())
}

/// An order of this customer; somebody else's is as unknown as one that does not exist.
async fn own(
    orders: &Orders,
    id: Result<Path<String>, PathRejection>,
    customer: &Identity,
) -> Result<Order, Problem> {
    let Path(id) = id?;
    let no_such = || Problem::not_found("you have no such order");
    // Written as they are kept, so that one order has one id.
    let id = Uuid::try_parse(&id).map_err(|_| no_such())?.to_string();
    let found = orders.driver.records().find(&id).await?;
    found.filter(|order| order.customer == customer.user).ok_or_else(no_such)
}

/// How many orders are where.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Report {
    states: Vec<StateReport>,
}

/// The orders of one state.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StateReport {
    state: String,
    orders: i64,
    pieces: i64,
    amount_cents: i64,
}

/// Orders, pieces and cents by state, to hold against the other services' reports
#[utoipa::path(get, path = "/orders-report", operation_id = "report_orders", responses((status = 200, description = "The report", body = Report), QueryProblems))]
pub(super) async fn report(State(orders): Shared) -> Result<Json<Report>, Problem> {
    let rows = orders.driver.records().report().await?;
    let states = rows
        .into_iter()
        .map(|(state, orders, pieces, amount_cents)| StateReport { state, orders, pieces, amount_cents })
        .collect();
    Ok(Json(Report { states }))
}

impl From<NotHeard> for Problem {
    fn from(error: NotHeard) -> Self {
        match error {
            NotHeard::Unknown(_) => Self::not_found("you have no such order"),
            NotHeard::Forbidden(_) => Self::internal(&error),
            NotHeard::Overtaken => {
                let detail = "the order is being moved by others; try again";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail)
            }
            NotHeard::Store(error) => error.into(),
        }
    }
}
