//! Orders in the database.

use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::store::{Store, StoreError};

pub(super) const MIGRATIONS: &[&str] = &["
    CREATE TABLE orders (
        id TEXT PRIMARY KEY,
        customer TEXT NOT NULL,
        product_id BIGINT NOT NULL,
        quantity BIGINT NOT NULL CHECK (quantity > 0),
        amount_cents BIGINT NOT NULL CHECK (amount_cents > 0),
        is_paid BIGINT NOT NULL DEFAULT 0 CHECK (is_paid IN (0, 1))
    );
    CREATE INDEX orders_of_customer ON orders (customer, id);
"];

/// Orders in one answer: the latest ones.
const LISTED_MAX: i64 = 100;

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
        let insert = "INSERT INTO orders (id, customer, product_id, quantity, amount_cents) \
                      VALUES ($1, $2, $3, $4, $5)";
        let insert = sqlx::query(insert)
            .bind(&order.id)
            .bind(&order.customer)
            .bind(product_id)
            .bind(quantity)
            .bind(amount_cents);
        let mut tx = self.store.begin().await?;
        insert.execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(order)
    }

    pub(super) async fn mark_paid(&self, id: String) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        sqlx::query("UPDATE orders SET is_paid = 1 WHERE id = $1").bind(id).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    pub(super) async fn find(&self, id: String) -> Result<Option<Order>, StoreError> {
        let query = AssertSqlSafe(format!("SELECT {COLUMNS} FROM orders WHERE id = $1"));
        let mut tx = self.store.read().await?;
        let row = sqlx::query(query).bind(id).fetch_optional(&mut *tx).await?;
        Ok(row.as_ref().map(order).transpose()?)
    }

    pub(super) async fn of_customer(&self, customer: String) -> Result<Vec<Order>, StoreError> {
        let query = format!("SELECT {COLUMNS} FROM orders WHERE customer = $1 ORDER BY id DESC LIMIT $2");
        let mut tx = self.store.read().await?;
        let query = sqlx::query(AssertSqlSafe(query)).bind(customer).bind(LISTED_MAX);
        Ok(query.fetch_all(&mut *tx).await?.iter().map(order).collect::<Result<_, _>>()?)
    }
}

fn order(row: &AnyRow) -> Result<Order, sqlx::Error> {
    Ok(Order {
        id: row.try_get(0)?,
        customer: row.try_get(1)?,
        product_id: row.try_get(2)?,
        quantity: row.try_get(3)?,
        amount_cents: row.try_get(4)?,
        is_paid: row.try_get::<i64, _>(5)? != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::databases;

    #[tokio::test]
    async fn a_customer_sees_their_own_orders_latest_first() {
        for database in databases::each().await {
            let records = Records::new(database.open(MIGRATIONS).await);
            let first = records.create("ada".to_owned(), 1, 1, 100).await.unwrap();
            let second = records.create("ada".to_owned(), 2, 1, 200).await.unwrap();
            records.create("bob".to_owned(), 3, 1, 300).await.unwrap();
            records.mark_paid(first.id.clone()).await.unwrap();
            let orders = records.of_customer("ada".to_owned()).await.unwrap();
            assert_eq!(orders, [second, Order { is_paid: true, ..first }]);
        }
    }
}
