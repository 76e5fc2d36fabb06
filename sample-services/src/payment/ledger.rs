//! The books: every movement of money is two entries that sum to zero.
//!
//! Written in the transaction that moves the money. An order, a movement and an account make an entry
//! unique, so that the database itself refuses to move the same money twice.

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock;
use crate::store::{Store, StoreError, Tx};

pub(super) const MIGRATION: &str = "
    CREATE TABLE ledger (
        seq {{serial}},
        order_id TEXT NOT NULL,
        movement TEXT NOT NULL CHECK (movement IN ('charge', 'refund')),
        account TEXT NOT NULL CHECK (account IN ('customers', 'shop')),
        amount_cents BIGINT NOT NULL,
        at_ms BIGINT NOT NULL,
        UNIQUE (order_id, movement, account)
    );
";

/// A way in which money moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Movement {
    /// From the customer to the shop.
    Charge,
    /// And back.
    Refund,
}

impl Movement {
    const fn name(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Refund => "refund",
        }
    }

    /// Which account changes by how much.
    const fn entries(self, amount_cents: i64) -> [(&'static str, i64); 2] {
        match self {
            Self::Charge => [("customers", -amount_cents), ("shop", amount_cents)],
            Self::Refund => [("customers", amount_cents), ("shop", -amount_cents)],
        }
    }
}

/// Enters a movement into the books.
pub(super) async fn enter(
    tx: &mut Tx,
    order_id: &str,
    movement: Movement,
    amount_cents: i64,
) -> Result<(), StoreError> {
    let insert =
        "INSERT INTO ledger (order_id, movement, account, amount_cents, at_ms) VALUES ($1, $2, $3, $4, $5)";
    for (account, change) in movement.entries(amount_cents) {
        sqlx::query(insert)
            .bind(order_id.to_owned())
            .bind(movement.name())
            .bind(account)
            .bind(change)
            .bind(clock::now_ms())
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// The books, summed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Report {
    /// Of all entries. Always 0.
    pub(super) sum_cents: i64,
    /// Taken from customers so far.
    pub(super) charged_cents: i64,
    /// Paid back so far.
    pub(super) refunded_cents: i64,
    /// Orders that are charged and not paid back.
    pub(super) orders_charged: i64,
    /// What is on each account.
    pub(super) accounts: Vec<Account>,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) balance_cents: i64,
}

pub(super) async fn report(store: &Store) -> Result<Report, StoreError> {
    let mut tx = store.read().await?;
    let select = "SELECT account, movement, CAST(sum(amount_cents) AS BIGINT), count(*) FROM ledger \
        GROUP BY account, movement ORDER BY account, movement";
    let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(select).fetch_all(&mut *tx).await?;
    let of = |account: &str, movement: Movement| {
        let row = rows.iter().find(|row| row.0 == account && row.1 == movement.name());
        row.map_or((0, 0), |row| (row.2, row.3))
    };
    let balance = |name: &str| of(name, Movement::Charge).0 + of(name, Movement::Refund).0;
    let accounts = ["customers", "shop"]
        .into_iter()
        .map(|name| Account { name: name.to_owned(), balance_cents: balance(name) })
        .collect();
    Ok(Report {
        sum_cents: rows.iter().map(|row| row.2).sum(),
        charged_cents: of("shop", Movement::Charge).0,
        refunded_cents: -of("shop", Movement::Refund).0,
        orders_charged: of("shop", Movement::Charge).1 - of("shop", Movement::Refund).1,
        accounts,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_movement_sums_to_zero_and_a_refund_is_a_charge_undone(amount in 1..i64::MAX) {
            for movement in [Movement::Charge, Movement::Refund] {
                prop_assert_eq!(movement.entries(amount).iter().map(|entry| entry.1).sum::<i64>(), 0);
            }
            for (charge, refund) in Movement::Charge.entries(amount).iter().zip(Movement::Refund.entries(amount)) {
                prop_assert_eq!((charge.0, charge.1 + refund.1), (refund.0, 0));
            }
        }
    }
}
