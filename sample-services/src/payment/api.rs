//! What the order service and the staff ask of the payment service.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::Payments;
use super::ledger::{self, Report};
use super::records::{self, Payment};
use super::rules::OnCharge;
use crate::events::NAME_BYTES_MAX;
use crate::identity::Identity;
use crate::mischief::reached;
use crate::page::{Page, Window};
use crate::problem::{BodyProblems, IdentityProblems, Problem, ProblemBody, QueryProblems};
use crate::whole;

type Shared = State<Arc<Payments>>;

/// A charge that is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPayment {
    /// The order's id; an order is charged once.
    #[schema(min_length = 1, max_length = 64, pattern = "^[!-~]+$")]
    order_id: String,
    #[serde(deserialize_with = "whole::number")]
    #[schema(minimum = 1)]
    amount_cents: i64,
}

/// Charge an order
///
/// Once, however often it is asked: 201 the first time, 200 after that. A decline is for good. The order's id is the key:
/// an `Idempotency-Key` only tells the gateway that it may repeat the call.
#[utoipa::path(
    post, path = "/payments", operation_id = "charge_order", request_body = NewPayment,
    responses(
        (status = 201, description = "Charged", body = Payment), (status = 200, description = "Charged before", body = Payment),
        (status = 402, description = "Declined, for good", content_type = "application/problem+json", body = ProblemBody),
        (status = 409, description = "Charged before with another amount, or cancelled", content_type = "application/problem+json", body = ProblemBody),
        BodyProblems
    )
)]
pub(super) async fn charge(
    State(payments): Shared,
    body: Result<Json<NewPayment>, JsonRejection>,
) -> Result<(StatusCode, Json<Payment>), Problem> {
    let Json(NewPayment { order_id, amount_cents }) = body?;
    if !is_order_id(&order_id) {
        return Err(Problem::invalid(format!(
            "`order_id` is 1 to {NAME_BYTES_MAX} visible characters of ASCII"
        )));
    }
    if amount_cents < 1 {
        return Err(Problem::invalid("`amount_cents` is at least 1"));
    }
    let mut tx = payments.store.begin().await?;
    let decision = records::charge(&mut tx, payments.judge(), &order_id, amount_cents).await?;
    reached("payment.charge_before_commit");
    tx.commit().await?;
    reached("payment.charge_committed");
    let status = answer(decision, &order_id)?;
    let payment = records::find(&payments.store, &order_id).await?;
    payment.map(|payment| (status, Json(payment))).ok_or_else(no_such)
}

fn answer(decision: OnCharge, order_id: &str) -> Result<StatusCode, Problem> {
    let declined = |why: String| {
        Err(Problem::new(StatusCode::PAYMENT_REQUIRED, "declined", format!("order {order_id}: {why}")))
    };
    match decision {
        OnCharge::Charge => Ok(StatusCode::CREATED),
        OnCharge::Replay => Ok(StatusCode::OK),
        OnCharge::Decline(why) => declined(why.to_string()),
        OnCharge::StillDeclined => declined("it was declined before".to_owned()),
        OnCharge::Undone(state) => {
            let detail = format!("the payment of order {order_id} is {}: it is cancelled", state.name());
            Err(Problem::conflict(state.name(), detail))
        }
        OnCharge::OtherAmount(before) => {
            let detail = format!("order {order_id} was about {before} cents before");
            Err(Problem::conflict("other_amount", detail))
        }
    }
}

fn is_order_id(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Undo the payment of an order
///
/// Pays back what was charged; an order that was not charged never will be. As often as it is asked, the same answer.
#[utoipa::path(
    post, path = "/payments/{order_id}/refund", operation_id = "undo_payment",
    params(("order_id" = String, Path, description = "the order's id", min_length = 1, max_length = 64, pattern = "^[!-~]+$")),
    responses((status = 200, description = "`refunded` or `voided`", body = Payment), QueryProblems)
)]
pub(super) async fn refund(
    State(payments): Shared,
    order_id: Result<Path<String>, PathRejection>,
) -> Result<Json<Payment>, Problem> {
    let Path(order_id) = order_id?;
    if !is_order_id(&order_id) {
        return Err(Problem::invalid(format!(
            "the order's id is 1 to {NAME_BYTES_MAX} visible characters of ASCII"
        )));
    }
    let mut tx = payments.store.begin().await?;
    records::undo(&mut tx, &order_id).await?;
    tx.commit().await?;
    records::find(&payments.store, &order_id).await?.map(Json).ok_or_else(no_such)
}

/// How the payment of an order stands
#[utoipa::path(
    get, path = "/payments/{order_id}", operation_id = "get_payment", params(("order_id" = String, Path, description = "the order's id")),
    responses((status = 200, description = "It", body = Payment), (status = 404, description = "Nothing is known of a payment of this order", content_type = "application/problem+json", body = ProblemBody), QueryProblems)
)]
pub(super) async fn one(
    State(payments): Shared,
    order_id: Result<Path<String>, PathRejection>,
) -> Result<Json<Payment>, Problem> {
    let Path(order_id) = order_id?;
    if !is_order_id(&order_id) {
        return Err(no_such());
    }
    records::find(&payments.store, &order_id).await?.map(Json).ok_or_else(no_such)
}

fn no_such() -> Problem {
    Problem::not_found("nothing is known of a payment of this order")
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// At most so many.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// The `next` of the page before.
    #[param(pattern = "^[0-7][0-9a-f]{15}$")]
    cursor: Option<String>,
}

/// All payments, for staff with the scope `payments:read`, oldest first
#[utoipa::path(
    get, path = "/payments", operation_id = "list_payments", params(Paging),
    responses((status = 200, description = "A page of them", body = Page<Payment>), QueryProblems, IdentityProblems)
)]
pub(super) async fn list(
    State(payments): Shared,
    who: Identity,
    paging: Result<Query<Paging>, QueryRejection>,
) -> Result<Page<Payment>, Problem> {
    who.require_staff("payments:read")?;
    let Query(Paging { limit, cursor }) = paging?;
    let window = Window::<i64>::new(limit, cursor.as_deref())?;
    let items = records::list(&payments.store, window.after.unwrap_or(0), window.rows()).await?;
    Ok(window.page(items, |payment| payment.seq, &[]))
}

/// The books, summed up, to hold against the other services' reports
#[utoipa::path(get, path = "/ledger-report", operation_id = "report_ledger", responses((status = 200, description = "The report", body = Report), QueryProblems))]
pub(super) async fn report(State(payments): Shared) -> Result<Json<Report>, Problem> {
    Ok(Json(ledger::report(&payments.store).await?))
}
