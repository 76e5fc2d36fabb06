//! Pieces set aside for orders: held until they are sold, released, or have been held too long.
//!
//! The order service asks here, and only over the gateway's internal listener. Every move of a piece is one
//! transaction, and says where the piece went; asking twice moves it once.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State as Service};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Shared;
use super::catalogue::{self, Product, no_such};
use super::event::{Happened, Move, decide};
use crate::mischief::reached;
use crate::problem::{BodyProblems, Problem, ProblemBody, QueryProblems};
use crate::store::{Store, StoreError, Tx};
use crate::whole;

/// Pieces in one reservation.
const QUANTITY_MAX: i64 = 1_000_000;
/// Characters of an order's id.
const ORDER_ID_CHARS_MAX: usize = 64;
/// Reservations that one sweep gives back.
const EXPIRED_AT_ONCE: i64 = 100;

/// Where the pieces are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// Set aside until `expires_at_ms`.
    Held,
    /// Gone with the order.
    Sold,
    /// Back in the stock; the order gets none any more.
    Released,
    /// Back in the stock, because they were held too long.
    Expired,
}

impl State {
    const ALL: [Self; 4] = [Self::Held, Self::Sold, Self::Released, Self::Expired];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Sold => "sold",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }
}

/// What is set aside for one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Reservation {
    order_id: String,
    /// Null for an order that was cancelled before it reserved anything
    #[schema(required)]
    product_id: Option<i64>,
    quantity: i64,
    /// What one piece costs this order, whatever the catalogue says later
    price_cents: i64,
    pub(super) state: State,
    expires_at_ms: i64,
}

/// What is to be set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[schema(minimum = 1)]
    #[serde(deserialize_with = "whole::number")]
    pub(super) product_id: i64,
    #[schema(minimum = 1, maximum = 1_000_000)]
    #[serde(deserialize_with = "whole::number")]
    pub(super) quantity: i64,
}

/// Sets pieces aside for an order; the same again changes nothing. Internal
#[utoipa::path(put, path = "/reservations/{order_id}", operation_id = "reserve", request_body = Wanted,
    params(("order_id" = String, Path, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]{1,64}$")),
    responses(
    (status = 201, body = Reservation, description = "they are set aside"),
    (status = 200, body = Reservation, description = "they were already, or are again"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such product"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json",
     description = "`out_of_stock`, `different_reservation`, or `cancelled`"),
    BodyProblems,
))]
pub(super) async fn reserve(
    Service(products): Shared,
    order_id: Result<Path<String>, PathRejection>,
    body: Result<Json<Wanted>, JsonRejection>,
) -> Result<(StatusCode, Json<Reservation>), Problem> {
    let (Path(order_id), Json(wanted)) = (order_id?, body?);
    require_order_id(&order_id)?;
    require_quantity(wanted.quantity)?;
    let expires_at_ms = products.clock.now_ms().saturating_add(products.ttl_ms);
    let mut tx = products.store.begin().await?;
    let (status, reservation) = set_aside(&mut tx, &order_id, wanted, expires_at_ms).await?;
    reached("product.reserve_before_commit");
    tx.commit().await?;
    reached("product.reserve_committed");
    Ok((status, Json(reservation)))
}

/// What is set aside for an order. Internal
#[utoipa::path(get, path = "/reservations/{order_id}", operation_id = "get_reservation",
    params(("order_id" = String, Path, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]{1,64}$")),
    responses(
    (status = 200, body = Reservation),
    (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "the order is unknown here"),
    QueryProblems,
))]
pub(super) async fn one(
    Service(products): Shared,
    order_id: Result<Path<String>, PathRejection>,
) -> Result<Json<Reservation>, Problem> {
    let Path(order_id) = order_id?;
    require_order_id(&order_id)?;
    let mut tx = products.store.read().await?;
    let found = sqlx::query(FIND).bind(order_id).fetch_optional(&mut *tx).await?;
    let found = found.as_ref().map(reservation).transpose()?;
    found.map(Json).ok_or_else(|| Problem::not_found("nothing was ever set aside for this order"))
}

/// Gives back what is set aside for an order, for good. Internal
#[utoipa::path(delete, path = "/reservations/{order_id}", operation_id = "release",
    params(("order_id" = String, Path, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]{1,64}$")),
    responses(
    (status = 204, description = "nothing is set aside any more, and nothing will be"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`sold`"),
    QueryProblems,
))]
pub(super) async fn release(
    Service(products): Shared,
    order_id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path(order_id) = order_id?;
    require_order_id(&order_id)?;
    let mut tx = products.store.begin().await?;
    if lock(&mut tx, &order_id).await?.is_some_and(|found| found.state == State::Sold) {
        return Err(Problem::conflict("sold", "the pieces are sold; cancel the order to have them back"));
    }
    settle(&mut tx, &order_id, Happened::Cancelled).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How many pieces.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Purchase {
    #[schema(minimum = 1, maximum = 1_000_000)]
    #[serde(deserialize_with = "whole::number")]
    quantity: i64,
}

/// Sells pieces at once, for no order in particular. Internal
#[utoipa::path(post, path = "/products/{id}/purchases", operation_id = "purchase", params(("id" = i64, Path, minimum = 1)), request_body = Purchase,
    responses(
    (status = 201, body = Product, description = "the product as it is now"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such product"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`out_of_stock`"),
    BodyProblems,
))]
pub(super) async fn purchase(
    Service(products): Shared,
    id: Result<Path<i64>, PathRejection>,
    body: Result<Json<Purchase>, JsonRejection>,
) -> Result<(StatusCode, Json<Product>), Problem> {
    let (Path(id), Json(Purchase { quantity })) = (id?, body?);
    require_quantity(quantity)?;
    let mut tx = products.store.begin().await?;
    let wanted = Wanted { product_id: id, quantity };
    let order_id = format!("purchase-{}", Uuid::now_v7());
    set_aside(&mut tx, &order_id, wanted, products.clock.now_ms()).await?;
    settle(&mut tx, &order_id, Happened::Paid).await?;
    let product = catalogue::find(&mut tx, id).await?.ok_or_else(|| no_such(id))?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(product)))
}

fn require_order_id(id: &str) -> Result<(), Problem> {
    let is_usable = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if (1..=ORDER_ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(is_usable) {
        return Ok(());
    }
    let rule = "letters, digits, `.`, `_` and `-`";
    Err(Problem::invalid(format!("an order's id is 1 to {ORDER_ID_CHARS_MAX} {rule}")))
}

fn require_quantity(quantity: i64) -> Result<(), Problem> {
    if (1..=QUANTITY_MAX).contains(&quantity) {
        return Ok(());
    }
    Err(Problem::invalid(format!("`quantity` is 1 to {QUANTITY_MAX}")))
}

const FIND: &str = "SELECT order_id, product_id, quantity, price_cents, state, expires_at_ms FROM reservations \
                    WHERE order_id = $1";
/// Changes nothing, but nobody else changes the row before this transaction has ended.
const LOCK: &str = "UPDATE reservations SET state = state WHERE order_id = $1 \
                    RETURNING order_id, product_id, quantity, price_cents, state, expires_at_ms";

pub(super) async fn lock(tx: &mut Tx, order_id: &str) -> Result<Option<Reservation>, sqlx::Error> {
    let found = sqlx::query(LOCK).bind(order_id).fetch_optional(&mut **tx).await?;
    found.as_ref().map(reservation).transpose()
}

/// Sets pieces aside. The reservation is written before the stock is touched, always in this order, so that two
/// transactions never wait for each other.
pub(super) async fn set_aside(
    tx: &mut Tx,
    order_id: &str,
    wanted: Wanted,
    expires_at_ms: i64,
) -> Result<(StatusCode, Reservation), Problem> {
    let Wanted { product_id, quantity } = wanted;
    let product = catalogue::find(tx, product_id).await?.ok_or_else(|| no_such(product_id))?;
    let insert = "INSERT INTO reservations (order_id, product_id, quantity, price_cents, state, expires_at_ms) \
                  VALUES ($1, $2, $3, $4, 'held', $5) ON CONFLICT (order_id) DO NOTHING";
    let insert = sqlx::query(insert)
        .bind(order_id)
        .bind(product_id)
        .bind(quantity)
        .bind(product.price_cents)
        .bind(expires_at_ms);
    if insert.execute(&mut **tx).await?.rows_affected() == 1 {
        take_or_refuse(tx, &product, quantity).await?;
        let price_cents = product.price_cents;
        let reservation = Reservation {
            order_id: order_id.to_owned(),
            product_id: Some(product_id),
            quantity,
            price_cents,
            state: State::Held,
            expires_at_ms,
        };
        return Ok((StatusCode::CREATED, reservation));
    }
    let known =
        lock(tx, order_id).await?.ok_or_else(|| Problem::not_found("the reservation is gone; try again"))?;
    let reservation = again(tx, known, &product, wanted, expires_at_ms).await?;
    Ok((StatusCode::OK, reservation))
}

/// The same order asks again.
async fn again(
    tx: &mut Tx,
    known: Reservation,
    product: &Product,
    wanted: Wanted,
    expires_at_ms: i64,
) -> Result<Reservation, Problem> {
    if known.state == State::Released {
        return Err(Problem::conflict(
            "cancelled",
            "this order was cancelled; nothing is set aside for it any more",
        ));
    }
    if (known.product_id, known.quantity) != (Some(wanted.product_id), wanted.quantity) {
        let detail = "something else is set aside for this order";
        return Err(Problem::conflict("different_reservation", detail));
    }
    if known.state != State::Expired {
        return Ok(known);
    }
    take_or_refuse(tx, product, wanted.quantity).await?;
    let update = "UPDATE reservations SET state = 'held', expires_at_ms = $2 WHERE order_id = $1";
    sqlx::query(update).bind(&known.order_id).bind(expires_at_ms).execute(&mut **tx).await?;
    Ok(Reservation { state: State::Held, expires_at_ms, ..known })
}

async fn take_or_refuse(tx: &mut Tx, product: &Product, quantity: i64) -> Result<(), Problem> {
    if take(tx, product.id, quantity).await? {
        return Ok(());
    }
    let left = catalogue::find(tx, product.id).await?.map_or(0, |product| product.stock);
    Err(Problem::conflict("out_of_stock", format!("only {left} of `{}` left", product.name)))
}

/// Takes pieces out of the stock, if there are enough.
async fn take(tx: &mut Tx, product_id: i64, quantity: i64) -> Result<bool, sqlx::Error> {
    let update = "UPDATE products SET stock = stock - $2 WHERE id = $1 AND stock >= $2";
    let update = sqlx::query(update).bind(product_id).bind(quantity);
    Ok(update.execute(&mut **tx).await?.rows_affected() == 1)
}

async fn give_back(tx: &mut Tx, reservation: &Reservation) -> Result<(), sqlx::Error> {
    let update = sqlx::query("UPDATE products SET stock = stock + $2 WHERE id = $1");
    update.bind(reservation.product_id).bind(reservation.quantity).execute(&mut **tx).await.map(|_| ())
}

async fn put(tx: &mut Tx, order_id: &str, state: State) -> Result<(), sqlx::Error> {
    let update = sqlx::query("UPDATE reservations SET state = $2 WHERE order_id = $1");
    update.bind(order_id).bind(state.as_str()).execute(&mut **tx).await.map(|_| ())
}

/// How a payment or a cancellation came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// The pieces are where they belong.
    Done,
    /// The order is paid, and there are no pieces for it.
    Lost,
}

/// Moves an order's pieces where `happened` wants them.
pub(super) async fn settle(tx: &mut Tx, order_id: &str, happened: Happened) -> Result<Settled, sqlx::Error> {
    if happened == Happened::Cancelled {
        // Noted before it is looked at: a reservation that comes at the same time waits for this one, or goes first.
        let insert = "INSERT INTO reservations (order_id, product_id, quantity, price_cents, state, expires_at_ms) \
                      VALUES ($1, NULL, 0, 0, 'released', 0) ON CONFLICT (order_id) DO NOTHING";
        sqlx::query(insert).bind(order_id).execute(&mut **tx).await?;
    }
    let known = lock(tx, order_id).await?;
    match (decide(happened, known.as_ref().map(|known| known.state)), &known) {
        (Move::Nothing | Move::Remember, _) => Ok(Settled::Done),
        (Move::Sell, _) => put(tx, order_id, State::Sold).await.map(|()| Settled::Done),
        (Move::Close, _) => put(tx, order_id, State::Released).await.map(|()| Settled::Done),
        (Move::GiveBack, Some(known)) => {
            put(tx, order_id, State::Released).await?;
            give_back(tx, known).await.map(|()| Settled::Done)
        }
        (Move::SellAgain, Some(Reservation { product_id: Some(product_id), quantity, .. })) => {
            if !take(tx, *product_id, *quantity).await? {
                return Ok(Settled::Lost);
            }
            put(tx, order_id, State::Sold).await.map(|()| Settled::Done)
        }
        (Move::SellAgain | Move::Lose | Move::GiveBack, _) => Ok(Settled::Lost),
    }
}

/// Gives back what was held longer than it may be; a bounded number, each in its own transaction.
pub(super) async fn expire(store: &Store, now_ms: i64) -> Result<usize, StoreError> {
    let query = "SELECT order_id FROM reservations WHERE state = 'held' AND expires_at_ms <= $1 \
                 ORDER BY expires_at_ms LIMIT $2";
    let mut tx = store.read().await?;
    let due: Vec<String> =
        sqlx::query_scalar(query).bind(now_ms).bind(EXPIRED_AT_ONCE).fetch_all(&mut *tx).await?;
    drop(tx);
    let mut n_expired = 0;
    for order_id in due {
        let mut tx = store.begin().await?;
        // Looked at again under the lock: it may be sold by now, or held anew.
        let due = lock(&mut tx, &order_id).await?;
        let due = due.filter(|known| known.state == State::Held && known.expires_at_ms <= now_ms);
        if let Some(known) = due {
            put(&mut tx, &order_id, State::Expired).await?;
            give_back(&mut tx, &known).await?;
            tx.commit().await?;
            tracing::info!(order = order_id, "reservation expired");
            n_expired += 1;
        }
    }
    Ok(n_expired)
}

fn reservation(row: &AnyRow) -> Result<Reservation, sqlx::Error> {
    let state: String = row.try_get(4)?;
    let known = State::ALL.into_iter().find(|known| known.as_str() == state);
    Ok(Reservation {
        order_id: row.try_get(0)?,
        product_id: row.try_get(1)?,
        quantity: row.try_get(2)?,
        price_cents: row.try_get(3)?,
        state: known.ok_or_else(|| sqlx::Error::Decode(format!("a reservation is `{state}`").into()))?,
        expires_at_ms: row.try_get(5)?,
    })
}
