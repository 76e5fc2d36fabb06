//! Orders in the database: how they are placed once, found, listed, and moved.
//!
//! Moves are decided by [`state`](super::state); here they are made to stick: an update that names
//! the state it moves from, in one transaction with the event that tells of it.

use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use thiserror::Error;
use utoipa::ToSchema;
use uuid::Uuid;

use super::reason::Reason;
use super::state::{Forbidden, News, PaidBy, State};
use crate::clock;
use crate::events::outbox::Outbox;
use crate::events::{Event, kind};
use crate::store::{Store, StoreError, Tx};
use crate::trace::Trace;

pub(super) const MIGRATION: &str = "
    CREATE TABLE orders (
        id TEXT PRIMARY KEY,
        customer TEXT NOT NULL,
        idempotency_key TEXT,
        product_id BIGINT NOT NULL,
        quantity BIGINT NOT NULL CHECK (quantity > 0),
        amount_cents BIGINT CHECK (amount_cents > 0),
        state TEXT NOT NULL CHECK (state IN ('placed', 'reserved', 'paid', 'cancelling', 'cancelled')),
        reason TEXT,
        paid_by TEXT NOT NULL CHECK (paid_by IN ('rest', 'event')),
        placed_at_ms BIGINT NOT NULL,
        next_at_ms BIGINT NOT NULL,
        tries BIGINT NOT NULL DEFAULT 0,
        request_id TEXT NOT NULL,
        traceparent TEXT NOT NULL,
        UNIQUE (customer, idempotency_key)
    );
    CREATE INDEX orders_of_customer ON orders (customer, id);
    CREATE INDEX orders_unsettled ON orders (next_at_ms) WHERE state IN ('placed', 'reserved', 'cancelling');
";

/// How long an order is left to whoever moved it last, before a sweep drives it, in milliseconds.
pub(super) const LEFT_ALONE_MS: i64 = 5_000;

/// In the order of [`order`]'s arguments.
const COLUMNS: &str = "id, customer, product_id, quantity, amount_cents, state, reason, paid_by, placed_at_ms, \
                       request_id, traceparent";

/// One order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Order {
    pub(super) id: String,
    #[serde(skip)]
    pub(super) customer: String,
    pub(super) product_id: i64,
    pub(super) quantity: i64,
    /// What it costs; known once its stock is reserved.
    pub(super) amount_cents: Option<i64>,
    pub(super) state: State,
    /// Why it is, or is being, cancelled.
    pub(super) reason: Option<Reason>,
    pub(super) paid_by: PaidBy,
    /// When it was placed, in milliseconds since 1970.
    pub(super) placed_at_ms: i64,
    /// The request that placed it, and its trace.
    #[serde(skip)]
    pub(super) request_id: String,
    #[serde(skip)]
    pub(super) traceparent: String,
}

/// An order that a customer wants to place.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) customer: String,
    pub(super) key: Option<String>,
    pub(super) product_id: i64,
    pub(super) quantity: i64,
    pub(super) paid_by: PaidBy,
    pub(super) trace: Trace,
}

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Placed {
    /// A new order.
    New(Order),
    /// The order that the same key placed before.
    Before(Order),
}

/// News of an order, with what comes along.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word {
    pub(super) news: News,
    pub(super) amount_cents: Option<i64>,
    pub(super) reason: Option<Reason>,
}

/// What news made of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// It moved.
    Moved(Order),
    /// The news was stale; the order is as it was.
    Stale(Order),
}

/// News that an order did not take.
#[derive(Debug, Error)]
pub(super) enum NotHeard {
    #[error("there is no order {0}")]
    Unknown(String),
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("the order moved in the meantime")]
    Overtaken,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for NotHeard {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// An order that nobody has driven for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) id: String,
    pub(super) next_at_ms: i64,
    pub(super) tries: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Records {
    store: Store,
    outbox: Outbox,
}

impl Word {
    pub(super) const fn of(news: News) -> Self {
        Self { news, amount_cents: None, reason: None }
    }

    pub(super) const fn because(news: News, reason: Reason) -> Self {
        Self { news, amount_cents: None, reason: Some(reason) }
    }
}

impl Order {
    /// Goes on with the request that placed it, however much later.
    pub(super) fn trace(&self) -> Trace {
        Trace::resume(Some(&self.request_id), Some(&self.traceparent))
    }
}

impl Records {
    pub(super) const fn new(store: Store, outbox: Outbox) -> Self {
        Self { store, outbox }
    }

    pub(super) const fn store(&self) -> &Store {
        &self.store
    }

    /// What was committed is published without waiting for the relay's next look.
    pub(super) fn wake(&self) {
        self.outbox.wake();
    }

    /// Places an order, or finds the one that this customer's key placed before.
    pub(super) async fn place(&self, wish: &Wish) -> Result<Placed, StoreError> {
        let now_ms = clock::now_ms();
        let id = Uuid::now_v7().to_string();
        let insert = "INSERT INTO orders (id, customer, idempotency_key, product_id, quantity, state, paid_by, \
            placed_at_ms, next_at_ms, request_id, traceparent) \
            VALUES ($1, $2, $3, $4, $5, 'placed', $6, $7, $8, $9, $10) \
            ON CONFLICT (customer, idempotency_key) DO NOTHING";
        let mut tx = self.store.begin().await?;
        let placed = sqlx::query(insert)
            .bind(&id)
            .bind(&wish.customer)
            .bind(&wish.key)
            .bind(wish.product_id)
            .bind(wish.quantity)
            .bind(wish.paid_by.name())
            .bind(now_ms)
            .bind(now_ms + LEFT_ALONE_MS)
            .bind(wish.trace.request_id())
            .bind(wish.trace.traceparent())
            .execute(&mut *tx)
            .await?;
        let is_new = placed.rows_affected() == 1;
        let found = if is_new {
            find(&mut tx, &id).await?
        } else {
            let query = format!("SELECT {COLUMNS} FROM orders WHERE customer = $1 AND idempotency_key = $2");
            let query = sqlx::query(AssertSqlSafe(query)).bind(&wish.customer).bind(&wish.key);
            query.fetch_optional(&mut *tx).await?.as_ref().map(order).transpose()?
        };
        tx.commit().await?;
        let order = found.ok_or(sqlx::Error::RowNotFound)?;
        Ok(if is_new { Placed::New(order) } else { Placed::Before(order) })
    }

    pub(super) async fn find(&self, id: &str) -> Result<Option<Order>, StoreError> {
        let mut tx = self.store.read().await?;
        Ok(find(&mut tx, id).await?)
    }

    /// Makes news take effect within `tx`, and appends the event that tells of it.
    pub(super) async fn hear(
        &self,
        tx: &mut Tx,
        id: &str,
        word: Word,
        trace: &Trace,
    ) -> Result<Heard, NotHeard> {
        let Some(order) = find(tx, id).await? else { return Err(NotHeard::Unknown(id.to_owned())) };
        let Some(made) = order.state.hear(word.news, order.paid_by)? else { return Ok(Heard::Stale(order)) };
        let moved = Order {
            state: made.to,
            amount_cents: word.amount_cents.or(order.amount_cents),
            reason: word.reason.or(order.reason),
            ..order.clone()
        };
        let update = "UPDATE orders SET state = $1, amount_cents = $2, reason = $3, tries = 0, next_at_ms = $4 \
            WHERE id = $5 AND state = $6";
        let updated = sqlx::query(update)
            .bind(moved.state.name())
            .bind(moved.amount_cents)
            .bind(moved.reason.map(Reason::name))
            .bind(clock::now_ms() + LEFT_ALONE_MS)
            .bind(&moved.id)
            .bind(order.state.name())
            .execute(&mut **tx)
            .await?;
        if updated.rows_affected() == 0 {
            return Err(NotHeard::Overtaken);
        }
        if let Some(kind) = made.event {
            self.outbox.append(tx, &event(kind, &moved, trace)).await?;
        }
        Ok(Heard::Moved(moved))
    }

    /// Orders of a customer, latest first, older than the one called `before`.
    pub(super) async fn of_customer(
        &self,
        customer: &str,
        state: Option<State>,
        before: Option<&str>,
        n_max: i64,
    ) -> Result<Vec<Order>, StoreError> {
        // Ids are made in the order of time; no id begins with a tilde.
        let before = before.unwrap_or("~");
        let query = format!(
            "SELECT {COLUMNS} FROM orders WHERE customer = $1 AND id < $2 AND ($3 = '' OR state = $3) \
             ORDER BY id DESC LIMIT $4"
        );
        let mut tx = self.store.read().await?;
        let query = sqlx::query(AssertSqlSafe(query))
            .bind(customer)
            .bind(before)
            .bind(state.map_or("", State::name))
            .bind(n_max);
        Ok(query.fetch_all(&mut *tx).await?.iter().map(order).collect::<Result<_, _>>()?)
    }

    /// Unsettled orders that are due, the longest waiting first.
    pub(super) async fn due(&self, now_ms: i64, n_max: i64) -> Result<Vec<Due>, StoreError> {
        let select = "SELECT id, next_at_ms, tries FROM orders \
            WHERE state IN ('placed', 'reserved', 'cancelling') AND next_at_ms <= $1 ORDER BY next_at_ms LIMIT $2";
        let mut tx = self.store.read().await?;
        let rows: Vec<(String, i64, i64)> =
            sqlx::query_as(select).bind(now_ms).bind(n_max).fetch_all(&mut *tx).await?;
        let due =
            |(id, next_at_ms, tries)| Due { id, next_at_ms, tries: u32::try_from(tries).unwrap_or(u32::MAX) };
        Ok(rows.into_iter().map(due).collect())
    }

    /// Takes a due order for this instance; false if another was faster.
    pub(super) async fn claim(&self, due: &Due, next_at_ms: i64) -> Result<bool, StoreError> {
        let update = "UPDATE orders SET tries = tries + 1, next_at_ms = $1 WHERE id = $2 AND next_at_ms = $3";
        let mut tx = self.store.begin().await?;
        let claim = sqlx::query(update).bind(next_at_ms).bind(&due.id).bind(due.next_at_ms);
        let claimed = claim.execute(&mut *tx).await?.rows_affected() == 1;
        tx.commit().await?;
        Ok(claimed)
    }

    /// Orders, pieces and cents by state.
    pub(super) async fn report(&self) -> Result<Vec<(String, i64, i64, i64)>, StoreError> {
        let select = "SELECT state, count(*), CAST(sum(quantity) AS BIGINT), \
            CAST(COALESCE(sum(amount_cents), 0) AS BIGINT) FROM orders GROUP BY state ORDER BY state";
        let mut tx = self.store.read().await?;
        Ok(sqlx::query_as(select).fetch_all(&mut *tx).await?)
    }
}

/// The event that tells of a move.
fn event(what: &str, order: &Order, trace: &Trace) -> Event {
    let data = match what {
        kind::ORDER_CREATED => serde_json::json!({ "amount_cents": order.amount_cents }),
        kind::ORDER_PAID => serde_json::json!({ "product_id": order.product_id, "quantity": order.quantity }),
        kind::ORDER_CANCELLED => serde_json::json!({ "reason": order.reason }),
        _ => serde_json::json!({}),
    };
    Event::new(what, &order.id, clock::now_ms(), trace, data)
}

async fn find(tx: &mut Tx, id: &str) -> Result<Option<Order>, sqlx::Error> {
    let query = AssertSqlSafe(format!("SELECT {COLUMNS} FROM orders WHERE id = $1"));
    sqlx::query(query).bind(id.to_owned()).fetch_optional(&mut **tx).await?.as_ref().map(order).transpose()
}

fn order(row: &AnyRow) -> Result<Order, sqlx::Error> {
    let read = |name: String| name.parse::<Reason>().map_err(|error| sqlx::Error::Decode(error.into()));
    let decoded = |error: super::state::UnknownName| sqlx::Error::Decode(error.into());
    Ok(Order {
        id: row.try_get(0)?,
        customer: row.try_get(1)?,
        product_id: row.try_get(2)?,
        quantity: row.try_get(3)?,
        amount_cents: row.try_get(4)?,
        state: row.try_get::<String, _>(5)?.parse().map_err(decoded)?,
        reason: row.try_get::<Option<String>, _>(6)?.map(read).transpose()?,
        paid_by: row.try_get::<String, _>(7)?.parse().map_err(decoded)?,
        placed_at_ms: row.try_get(8)?,
        request_id: row.try_get(9)?,
        traceparent: row.try_get(10)?,
    })
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
