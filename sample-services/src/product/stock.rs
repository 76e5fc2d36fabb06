//! Where every piece is: the books of the stock, for operators and tests.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use sqlx::Row;
use utoipa::ToSchema;

use super::Shared;
use crate::problem::{Problem, QueryProblems};

/// Products in one report.
const PRODUCTS_MAX: i64 = 10_000;

/// Where the pieces of one product are. `initial + added = available + held + sold`, at every moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Pieces {
    /// What there was at the beginning
    pub(super) initial: i64,
    /// What staff have added since, less what they have taken out
    pub(super) added: i64,
    /// What can be bought now
    pub(super) available: i64,
    /// What is set aside for orders
    pub(super) held: i64,
    /// What is sold
    pub(super) sold: i64,
}

impl Pieces {
    /// Whether every piece is somewhere, and only there.
    pub(super) const fn add_up(&self) -> bool {
        self.initial as i128 + self.added as i128
            == self.available as i128 + self.held as i128 + self.sold as i128
    }
}

/// One product's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Line {
    product_id: i64,
    #[serde(flatten)]
    pieces: Pieces,
}

/// The books.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct StockReport {
    /// Whether every product's pieces add up
    adds_up: bool,
    /// All products together
    total: Pieces,
    /// Each product, by its id
    items: Vec<Line>,
}

/// Where every piece is, all of it at one moment. Internal
#[utoipa::path(get, path = "/stock-report", operation_id = "stock_report", responses((status = 200, body = StockReport), QueryProblems))]
pub(super) async fn report(State(products): Shared) -> Result<Json<StockReport>, Problem> {
    let mut tx = products.store.read().await?;
    let lines = "SELECT id, initial, added, stock FROM products ORDER BY id LIMIT $1";
    let mut books = BTreeMap::new();
    for row in sqlx::query(lines).bind(PRODUCTS_MAX).fetch_all(&mut *tx).await? {
        let (initial, added, available) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        books.insert(row.try_get::<i64, _>(0)?, Pieces { initial, added, available, held: 0, sold: 0 });
    }
    let moved = "SELECT product_id, state, CAST(SUM(quantity) AS BIGINT) FROM reservations \
                 WHERE state IN ('held', 'sold') GROUP BY product_id, state";
    for row in sqlx::query(moved).fetch_all(&mut *tx).await? {
        let (state, quantity): (String, i64) = (row.try_get(1)?, row.try_get(2)?);
        if let Some(pieces) = books.get_mut(&row.try_get::<i64, _>(0)?) {
            *(if state == "held" { &mut pieces.held } else { &mut pieces.sold }) += quantity;
        }
    }
    let total = books.values().fold(Pieces::default(), |sum, pieces| Pieces {
        initial: sum.initial.saturating_add(pieces.initial),
        added: sum.added.saturating_add(pieces.added),
        available: sum.available.saturating_add(pieces.available),
        held: sum.held.saturating_add(pieces.held),
        sold: sum.sold.saturating_add(pieces.sold),
    });
    let adds_up = books.values().all(Pieces::add_up);
    let items = books.into_iter().map(|(product_id, pieces)| Line { product_id, pieces }).collect();
    Ok(Json(StockReport { adds_up, total, items }))
}
