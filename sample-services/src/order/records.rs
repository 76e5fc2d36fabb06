//! Orders in the database.

use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;
use uuid::Uuid;

use crate::store::{Store, StoreError};

pub(super) const MIGRATIONS: &[&str] = &["
    CREATE TABLE orders (
        id TEXT PRIMARY KEY,
        customer TEXT NOT NULL,
        product_id INTEGER NOT NULL,
        quantity INTEGER NOT NULL CHECK (quantity > 0),
        amount_cents INTEGER NOT NULL CHECK (amount_cents > 0),
        is_paid INTEGER NOT NULL DEFAULT 0 CHECK (is_paid IN (0, 1))
    ) STRICT;
    CREATE INDEX orders_of_customer ON orders (customer, id);
"];

/// Orders in one answer: the latest ones.
const LISTED_MAX: u32 = 100;

const COLUMNS: &str = "id, customer, product_id, quantity, amount_cents, is_paid";

/// One order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Order {
    pub(super) id: String,
    #[serde(skip)]
    pub(super) customer: String,
    pub(super) product_id: i64,
    pub(super) quantity: i64,
    pub(super) amount_cents: i64,
    pub(super) is_paid: bool,
}

pub(super) struct Records {
    store: Store,
}

impl Records {
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }

    pub(super) async fn create(
        &self,
        customer: String,
        product_id: i64,
        quantity: i64,
        amount_cents: i64,
    ) -> Result<Order, StoreError> {
        let order = Order {
            id: Uuid::now_v7().to_string(),
            customer,
            product_id,
            quantity,
            amount_cents,
            is_paid: false,
        };
        let row = order.clone();
        let insert =
            "INSERT INTO orders (id, customer, product_id, quantity, amount_cents) VALUES (?, ?, ?, ?, ?)";
        self.store
            .transact(move |tx| {
                tx.execute(
                    insert,
                    params![row.id, row.customer, row.product_id, row.quantity, row.amount_cents],
                )?;
                Ok::<_, StoreError>(())
            })
            .await?;
        Ok(order)
    }

    pub(super) async fn mark_paid(&self, id: String) -> Result<(), StoreError> {
        let update = "UPDATE orders SET is_paid = 1 WHERE id = ?";
        self.store.transact(move |tx| Ok::<_, StoreError>(tx.execute(update, [id])?)).await.map(|_| ())
    }

    pub(super) async fn find(&self, id: String) -> Result<Option<Order>, StoreError> {
        let query = format!("SELECT {COLUMNS} FROM orders WHERE id = ?");
        self.store.transact(move |tx| Ok(tx.query_row(&query, [id], order).optional()?)).await
    }

    pub(super) async fn of_customer(&self, customer: String) -> Result<Vec<Order>, StoreError> {
        let query =
            format!("SELECT {COLUMNS} FROM orders WHERE customer = ? ORDER BY id DESC LIMIT {LISTED_MAX}");
        self.store
            .transact(move |tx| {
                let mut statement = tx.prepare_cached(&query)?;
                let rows = statement.query_map([customer], order)?;
                Ok(rows.collect::<Result<Vec<_>, _>>()?)
            })
            .await
    }
}

fn order(row: &Row<'_>) -> rusqlite::Result<Order> {
    Ok(Order {
        id: row.get(0)?,
        customer: row.get(1)?,
        product_id: row.get(2)?,
        quantity: row.get(3)?,
        amount_cents: row.get(4)?,
        is_paid: row.get(5)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_customer_sees_their_own_orders_latest_first() {
        let records = Records::new(Store::in_memory(MIGRATIONS).unwrap());
        let first = records.create("ada".to_owned(), 1, 1, 100).await.unwrap();
        let second = records.create("ada".to_owned(), 2, 1, 200).await.unwrap();
        records.create("bob".to_owned(), 3, 1, 300).await.unwrap();
        records.mark_paid(first.id.clone()).await.unwrap();
        let orders = records.of_customer("ada".to_owned()).await.unwrap();
        assert_eq!(orders, [second, Order { is_paid: true, ..first }]);
    }
}
