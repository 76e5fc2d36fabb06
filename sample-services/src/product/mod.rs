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
use reqwest::Client;
use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::problem::Problem;
use crate::server::StartError;
use crate::settings::Settings;
use crate::store::{Store, StoreError};

/// Products on a page unless the client asks for fewer, and the most it gets.
const PAGE_MAX: u32 = 100;

/// The catalogue begins with these; a shop would load its own.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE products (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        price_cents INTEGER NOT NULL CHECK (price_cents > 0),
        stock INTEGER NOT NULL CHECK (stock >= 0)
    ) STRICT;
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
pub fn build(settings: &Settings, _: &Client) -> Result<Router, StartError> {
    Ok(with_store(Store::open(&settings.data_dir, "product", MIGRATIONS)?))
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
    let items = store
        .transact(move |tx| {
            let query = "SELECT id, name, price_cents, stock FROM products WHERE id > ? ORDER BY id LIMIT ?";
            let mut statement = tx.prepare_cached(query)?;
            let rows = statement.query_map(params![after.unwrap_or(0), limit], product)?;
            Ok::<_, StoreError>(rows.collect::<Result<Vec<_>, _>>()?)
        })
        .await?;
    let next = (items.len() == limit as usize).then(|| items.last().map(|product| product.id)).flatten();
    Ok(Json(json!({ "items": items, "next": next })))
}

async fn one(State(store): Shared, id: Result<Path<i64>, PathRejection>) -> Result<Json<Product>, Problem> {
    let Path(id) = id?;
    store.transact(move |tx| find(tx, id)).await?.map(Json).ok_or_else(|| no_such(id))
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
    let bought = store.transact(move |tx| take(tx, id, quantity)).await?;
    Ok((StatusCode::CREATED, Json(bought)))
}

fn take(tx: &rusqlite::Transaction<'_>, id: i64, quantity: i64) -> Result<Product, Problem> {
    let update = "UPDATE products SET stock = stock - ?2 WHERE id = ?1 AND stock >= ?2";
    let taken = tx.execute(update, params![id, quantity]).map_err(StoreError::from)?;
    let product = find(tx, id)?.ok_or_else(|| no_such(id))?;
    if taken == 0 {
        let detail = format!("only {} of `{}` left", product.stock, product.name);
        return Err(Problem::new(StatusCode::CONFLICT, "out_of_stock", detail));
    }
    Ok(product)
}

fn find(tx: &rusqlite::Transaction<'_>, id: i64) -> Result<Option<Product>, StoreError> {
    let query = "SELECT id, name, price_cents, stock FROM products WHERE id = ?";
    Ok(tx.query_row(query, [id], product).optional()?)
}

fn product(row: &Row<'_>) -> rusqlite::Result<Product> {
    Ok(Product { id: row.get(0)?, name: row.get(1)?, price_cents: row.get(2)?, stock: row.get(3)? })
}

fn no_such(id: i64) -> Problem {
    Problem::not_found(format!("no product has the id {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_piece_is_sold_once() {
        let store = Store::in_memory(MIGRATIONS).unwrap();
        assert_eq!(store.transact(|tx| take(tx, 1, 3)).await.unwrap().stock, 0);
        let refused = store.transact(|tx| take(tx, 1, 1)).await.unwrap_err();
        assert_eq!(refused.code, "out_of_stock");
        assert_eq!(refused.detail, "only 0 of `Portcullis, cast iron` left");
    }

    #[tokio::test]
    async fn an_unknown_product_is_not_out_of_stock() {
        let store = Store::in_memory(MIGRATIONS).unwrap();
        assert_eq!(store.transact(|tx| take(tx, 99, 1)).await.unwrap_err().code, "not_found");
    }
}
