//! Payments in the database. What to do is decided by [`rules`](super::rules); here it is made to stick.

use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use utoipa::ToSchema;

use super::ledger::{self, Movement};
use super::rules::{self, Judge, Known, OnCharge, OnUndo, State, UnknownState};
use crate::clock;
use crate::store::{Store, StoreError, Tx};

pub(super) const MIGRATION: &str = "
    CREATE TABLE payments (
        seq {{serial}},
        order_id TEXT NOT NULL UNIQUE,
        amount_cents BIGINT NOT NULL CHECK (amount_cents >= 0),
        state TEXT NOT NULL CHECK (state IN ('charged', 'declined', 'voided', 'refunded')),
        at_ms BIGINT NOT NULL
    );
";

/// Times a decision is made anew because another transaction was faster. One is enough; a bound is better.
const RACES_MAX: usize = 8;

/// The payment of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Payment {
    #[serde(skip)]
    pub(super) seq: i64,
    pub(super) order_id: String,
    /// What was asked for; 0 if it was voided before that.
    pub(super) amount_cents: i64,
    pub(super) state: State,
    /// When it came to be as it is, in milliseconds since 1970.
    pub(super) at_ms: i64,
}

/// Charges an order, as far as the rules allow it, and enters it into the books.
pub(super) async fn charge(
    tx: &mut Tx,
    judge: Judge,
    order_id: &str,
    amount_cents: i64,
) -> Result<OnCharge, StoreError> {
    for _ in 0..RACES_MAX {
        let decision = judge.charge(known(tx, order_id).await?, amount_cents);
        let state = match decision {
            OnCharge::Charge => State::Charged,
            OnCharge::Decline(_) => State::Declined,
            OnCharge::Replay | OnCharge::StillDeclined | OnCharge::Undone(_) | OnCharge::OtherAmount(_) => {
                return Ok(decision);
            }
        };
        if insert(tx, order_id, amount_cents, state).await? {
            if state == State::Charged {
                ledger::enter(tx, order_id, Movement::Charge, amount_cents).await?;
            }
            return Ok(decision);
        }
    }
    Err(overtaken())
}

/// Undoes the payment of an order: pays back what was charged, or sees to it that nothing ever is.
pub(super) async fn undo(tx: &mut Tx, order_id: &str) -> Result<State, StoreError> {
    for _ in 0..RACES_MAX {
        let known = known(tx, order_id).await?;
        let (is_done, state) = match (rules::undo(known), known) {
            (OnUndo::Before(state), _) => return Ok(state),
            (OnUndo::Void, None) => (insert(tx, order_id, 0, State::Voided).await?, State::Voided),
            (OnUndo::Void, Some(known)) => {
                (moved(tx, order_id, known.state, State::Voided).await?, State::Voided)
            }
            (OnUndo::Refund(amount_cents), _) => {
                let is_done = moved(tx, order_id, State::Charged, State::Refunded).await?;
                if is_done {
                    ledger::enter(tx, order_id, Movement::Refund, amount_cents).await?;
                }
                (is_done, State::Refunded)
            }
        };
        if is_done {
            return Ok(state);
        }
    }
    Err(overtaken())
}

fn overtaken() -> StoreError {
    StoreError::Database(sqlx::Error::PoolTimedOut)
}

async fn insert(tx: &mut Tx, order_id: &str, amount_cents: i64, state: State) -> Result<bool, StoreError> {
    let insert = "INSERT INTO payments (order_id, amount_cents, state, at_ms) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (order_id) DO NOTHING";
    let inserted = sqlx::query(insert)
        .bind(order_id.to_owned())
        .bind(amount_cents)
        .bind(state.name())
        .bind(clock::now_ms())
        .execute(&mut **tx)
        .await?;
    Ok(inserted.rows_affected() == 1)
}

async fn moved(tx: &mut Tx, order_id: &str, from: State, to: State) -> Result<bool, StoreError> {
    let update = "UPDATE payments SET state = $1, at_ms = $2 WHERE order_id = $3 AND state = $4";
    let updated = sqlx::query(update)
        .bind(to.name())
        .bind(clock::now_ms())
        .bind(order_id.to_owned())
        .bind(from.name())
        .execute(&mut **tx)
        .await?;
    Ok(updated.rows_affected() == 1)
}

async fn known(tx: &mut Tx, order_id: &str) -> Result<Option<Known>, StoreError> {
    let payment = find_in(tx, order_id).await?;
    Ok(payment.map(|payment| Known { state: payment.state, amount_cents: payment.amount_cents }))
}

pub(super) async fn find(store: &Store, order_id: &str) -> Result<Option<Payment>, StoreError> {
    let mut tx = store.read().await?;
    find_in(&mut tx, order_id).await
}

/// In the order of [`payment`].
const COLUMNS: &str = "seq, order_id, amount_cents, state, at_ms";

async fn find_in(tx: &mut Tx, order_id: &str) -> Result<Option<Payment>, StoreError> {
    let query = AssertSqlSafe(format!("SELECT {COLUMNS} FROM payments WHERE order_id = $1"));
    let row = sqlx::query(query).bind(order_id.to_owned()).fetch_optional(&mut **tx).await?;
    Ok(row.as_ref().map(payment).transpose()?)
}

/// Payments after the place `after`, in the order in which they were first asked for.
pub(super) async fn list(store: &Store, after: i64, n_max: i64) -> Result<Vec<Payment>, StoreError> {
    let query = AssertSqlSafe(format!("SELECT {COLUMNS} FROM payments WHERE seq > $1 ORDER BY seq LIMIT $2"));
    let mut tx = store.read().await?;
    let rows = sqlx::query(query).bind(after).bind(n_max).fetch_all(&mut *tx).await?;
    Ok(rows.iter().map(payment).collect::<Result<_, _>>()?)
}

fn payment(row: &AnyRow) -> Result<Payment, sqlx::Error> {
    let decoded = |error: UnknownState| sqlx::Error::Decode(error.into());
    Ok(Payment {
        seq: row.try_get(0)?,
        order_id: row.try_get(1)?,
        amount_cents: row.try_get(2)?,
        state: row.try_get::<String, _>(3)?.parse().map_err(decoded)?,
        at_ms: row.try_get(4)?,
    })
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
