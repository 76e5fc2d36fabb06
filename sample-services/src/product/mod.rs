//! The product service: the catalogue and its stock.
//!
//! `GET /products`, `GET /products/{id}`, `POST /products/{id}/purchases`. Stock is taken in one
//! transaction: two buyers of the last piece are told apart by the database.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::problem::Problem;
use crate::server::{Service, Start, StartError};
use crate::store::{Store, Tx};

/// Products on a page unless the client asks for fewer, and the most it gets.
const PAGE_MAX: u32 = 100;

/// The catalogue begins with these; a shop would load its own.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE products (
        id BIGINT PRIMARY KEY,
        name TEXT NOT NULL,
        price_cents BIGINT NOT NULL CHECK (price_cents > 0),
        stock BIGINT NOT NULL CHECK (stock >= 0)
    );
    INSERT INTO products VALUES
        (1, 'Portcullis, cast iron', 1499900, 3),
        (2, 'Drawbridge chain, 5 m', 18900, 40),
        (3, 'Murder hole cover', 7950, 25),
        (4, 'Arrow slit shutter', 4400, 120),
        (5, 'Gatehouse lantern', 2350, 400),
        (6, 'Winch oil, 1 l', 1290, 100000);
"];

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Product {
    id: i64,
    name: String,
    price_cents: i64,
    stock: i64,
}

type Shared = State<Arc<Store>>;

/// The service's routes.
///
/// # Errors
/// When the database cannot be used.
pub async fn build(start: &Start) -> Result<Service, StartError> {
    let store = Store::open(&start.settings.database("product"), MIGRATIONS).await?;
    Ok(Service::new(with_store(store)))
}

fn with_store(store: Store) -> Router {
    Router::new()
        .route("/products", get(list))
        .route("/products/{id}", get(one))
        .route("/products/{id}/purchases", post(purchase))
        .with_state(Arc::new(store))
}

#[derive(Deserialize)]
struct Page {
    /// At most this many, 1 to 100.
    limit: Option<u32>,
    /// Only products after this id.
    after: Option<i64>,
}

async fn list(
    State(store): Shared,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(Page { limit, after }) = page?;
    let limit = limit.unwrap_or(PAGE_MAX);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Problem::invalid(format!("`limit` is 1 to {PAGE_MAX}")));
    }
    let query = "SELECT id, name, price_cents, stock FROM products WHERE id > $1 ORDER BY id LIMIT $2";
    let mut tx = store.read().await?;
    let query = sqlx::query(query).bind(after.unwrap_or(0)).bind(i64::from(limit));
    let rows = query.fetch_all(&mut *tx).await?;
    let items = rows.iter().map(product).collect::<Result<Vec<_>, _>>()?;
    let next = (items.len() == limit as usize).then(|| items.last().map(|product| product.id)).flatten();
    Ok(Json(json!({ "items": items, "next": next })))
}

async fn one(State(store): Shared, id: Result<Path<i64>, PathRejection>) -> Result<Json<Product>, Problem> {
    let Path(id) = id?;
    let mut tx = store.read().await?;
    find(&mut tx, id).await?.map(Json).ok_or_else(|| no_such(id))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Purchase {
    quantity: i64,
}

async fn purchase(
    State(store): Shared,
    id: Result<Path<i64>, PathRejection>,
    body: Result<Json<Purchase>, JsonRejection>,
) -> Result<(StatusCode, Json<Product>), Problem> {
    let (Path(id), Json(Purchase { quantity })) = (id?, body?);
    if quantity < 1 {
        return Err(Problem::invalid("`quantity` is at least 1"));
    }
    let mut tx = store.begin().await?;
    let bought = take(&mut tx, id, quantity).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(bought)))
}

async fn take(tx: &mut Tx, id: i64, quantity: i64) -> Result<Product, Problem> {
    let update = "UPDATE products SET stock = stock - $2 WHERE id = $1 AND stock >= $2";
    let taken = sqlx::query(update).bind(id).bind(quantity).execute(&mut **tx).await?.rows_affected();
    let product = find(tx, id).await?.ok_or_else(|| no_such(id))?;
    if taken == 0 {
        let detail = format!("only {} of `{}` left", product.stock, product.name);
        return Err(Problem::new(StatusCode::CONFLICT, "out_of_stock", detail));
    }
    Ok(product)
}

async fn find(tx: &mut Tx, id: i64) -> Result<Option<Product>, sqlx::Error> {
    let query = "SELECT id, name, price_cents, stock FROM products WHERE id = $1";
    let row = sqlx::query(query).bind(id).fetch_optional(&mut **tx).await?;
    row.as_ref().map(product).transpose()
}

fn product(row: &AnyRow) -> Result<Product, sqlx::Error> {
    Ok(Product {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        price_cents: row.try_get(2)?,
        stock: row.try_get(3)?,
    })
}

fn no_such(id: i64) -> Problem {
    Problem::not_found(format!("no product has the id {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::databases;

    #[tokio::test]
    async fn the_last_piece_is_sold_once() {
        for database in databases::each().await {
            let store = database.open(MIGRATIONS).await;
            let mut tx = store.begin().await.unwrap();
            assert_eq!(take(&mut tx, 1, 3).await.unwrap().stock, 0);
            let refused = take(&mut tx, 1, 1).await.unwrap_err();
            assert_eq!(refused.code, "out_of_stock");
            assert_eq!(refused.detail, "only 0 of `Portcullis, cast iron` left");
        }
    }

    #[tokio::test]
    async fn an_unknown_product_is_not_out_of_stock() {
        for database in databases::each().await {
            let mut tx = database.open(MIGRATIONS).await.begin().await.unwrap();
            assert_eq!(take(&mut tx, 99, 1).await.unwrap_err().code, "not_found");
        }
    }
}
