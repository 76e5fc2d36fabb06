//! The catalogue: what there is and what it costs. Everybody reads it, staff edit it.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;
use utoipa::{IntoParams, ToSchema};

use super::Shared;
use crate::identity::Identity;
use crate::page::{Page, Window};
use crate::problem::{BodyProblems, IdentityProblems, Problem, ProblemBody, QueryProblems};
use crate::store::Tx;
use crate::{text, whole};

/// The scope of a token that may edit the catalogue.
const EDIT: &str = "products:write";
/// Characters of a name.
const NAME_CHARS_MAX: usize = 100;
/// The highest price. A thousand pieces of it are still a number.
pub(super) const PRICE_CENTS_MAX: i64 = 1_000_000_000;
/// The most pieces of one product.
pub(super) const STOCK_MAX: i64 = 1_000_000_000;

/// Something for sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Product {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) price_cents: i64,
    /// Pieces that can be bought now.
    pub(super) stock: i64,
}

/// Which part of the catalogue.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Listing {
    /// Products on the page
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// The `next` of the page before
    #[param(pattern = "^[0-7][0-9a-f]{15}$", min_length = 16, max_length = 16)]
    cursor: Option<String>,
    /// Only products with this in their name
    #[param(
        min_length = 1,
        max_length = 100,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
    )]
    search: Option<String>,
}

/// The catalogue, page by page
#[utoipa::path(get, path = "/products", operation_id = "list_products", params(Listing), responses(
    (status = 200, body = Page<Product>, headers(("link" = String, description = "the next page, if there is one"))),
    QueryProblems,
))]
pub(super) async fn list(
    State(products): Shared,
    listing: Result<Query<Listing>, QueryRejection>,
) -> Result<Page<Product>, Problem> {
    let Query(Listing { limit, cursor, search }) = listing?;
    let window = Window::<i64>::new(limit, cursor.as_deref())?;
    if let Some(search) = &search {
        text::require_line("search", search, NAME_CHARS_MAX)?;
    }
    let query = "SELECT id, name, price_cents, stock FROM products \
                 WHERE id > $1 AND name_lower LIKE $2 ESCAPE '\\' ORDER BY id LIMIT $3";
    let mut tx = products.store.read().await?;
    let query = sqlx::query(query)
        .bind(window.after.unwrap_or(0))
        .bind(containing(search.as_deref().unwrap_or_default()))
        .bind(window.rows());
    let rows = query.fetch_all(&mut *tx).await?;
    let items = rows.iter().map(product).collect::<Result<Vec<_>, _>>()?;
    let others: Vec<_> = search.iter().map(|search| ("search", &**search)).collect();
    Ok(window.page(items, |product| product.id, &others))
}

/// A pattern for all names with `text` in them, whatever its letters mean in a pattern.
fn containing(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// One product
#[utoipa::path(get, path = "/products/{id}", operation_id = "get_product", params(("id" = i64, Path, minimum = 1)), responses(
    (status = 200, body = Product),
    (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such product"),
    QueryProblems,
))]
pub(super) async fn one(
    State(products): Shared,
    id: Result<Path<i64>, PathRejection>,
) -> Result<Json<Product>, Problem> {
    let Path(id) = id?;
    let mut tx = products.store.read().await?;
    find(&mut tx, id).await?.map(Json).ok_or_else(|| no_such(id))
}

/// A product that is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewProduct {
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
    )]
    name: String,
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    #[serde(deserialize_with = "whole::number")]
    price_cents: i64,
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    #[serde(deserialize_with = "whole::number")]
    stock: i64,
}

/// Adds a product; staff with the scope `products:write`
#[utoipa::path(post, path = "/products", operation_id = "create_product", request_body = NewProduct, responses(
    (status = 201, body = Product, headers(("location" = String, description = "the product, relative to this path"))),
    IdentityProblems, BodyProblems,
))]
pub(super) async fn create(
    State(products): Shared,
    identity: Identity,
    body: Result<Json<NewProduct>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    identity.require_staff(EDIT)?;
    let Json(NewProduct { name, price_cents, stock }) = body?;
    text::require_line("name", &name, NAME_CHARS_MAX)?;
    require_price(price_cents)?;
    if !(0..=STOCK_MAX).contains(&stock) {
        return Err(Problem::invalid(format!("`stock` is 0 to {STOCK_MAX}")));
    }
    let insert = "INSERT INTO products (name, name_lower, price_cents, initial, stock) \
                  VALUES ($1, $2, $3, $4, $4) RETURNING id";
    let mut tx = products.store.begin().await?;
    let insert =
        sqlx::query_scalar(insert).bind(&name).bind(name.to_lowercase()).bind(price_cents).bind(stock);
    let id: i64 = insert.fetch_one(&mut *tx).await?;
    tx.commit().await?;
    tracing::info!(product = id, by = %identity.user, "product added");
    let product = Product { id, name, price_cents, stock };
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("products/{id}"))], Json(product)))
}

/// What is to change; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1)]
pub(super) struct Change {
    #[schema(
        nullable = false,
        min_length = 1,
        max_length = 100,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
    )]
    #[serde(default, deserialize_with = "whole::given_text")]
    name: Option<String>,
    #[schema(nullable = false, minimum = 1, maximum = 1_000_000_000)]
    #[serde(default, deserialize_with = "whole::given")]
    price_cents: Option<i64>,
    /// Pieces that came in, or if negative were lost
    #[schema(nullable = false, minimum = -1_000_000_000, maximum = 1_000_000_000)]
    #[serde(default, deserialize_with = "whole::given")]
    add_stock: Option<i64>,
}

/// Changes a product; staff with the scope `products:write`
#[utoipa::path(patch, path = "/products/{id}", operation_id = "change_product", params(("id" = i64, Path, minimum = 1)), request_body = Change, responses(
    (status = 200, body = Product),
    (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such product"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "there would be less than none, or too many"),
    IdentityProblems, BodyProblems,
))]
pub(super) async fn change(
    State(products): Shared,
    identity: Identity,
    id: Result<Path<i64>, PathRejection>,
    body: Result<Json<Change>, JsonRejection>,
) -> Result<Json<Product>, Problem> {
    identity.require_staff(EDIT)?;
    let (Path(id), Json(change)) = (id?, body?);
    let mut tx = products.store.begin().await?;
    let product = apply(&mut tx, id, &change).await?;
    tx.commit().await?;
    tracing::info!(product = id, by = %identity.user, "product changed");
    Ok(Json(product))
}

async fn apply(tx: &mut Tx, id: i64, change: &Change) -> Result<Product, Problem> {
    let Change { name, price_cents, add_stock } = change;
    if name.is_none() && price_cents.is_none() && add_stock.is_none() {
        return Err(Problem::invalid("one of `name`, `price_cents` and `add_stock` is needed"));
    }
    if let Some(name) = name {
        text::require_line("name", name, NAME_CHARS_MAX)?;
    }
    price_cents.map_or(Ok(()), require_price)?;
    let added = add_stock.unwrap_or(0);
    if !(-STOCK_MAX..=STOCK_MAX).contains(&added) {
        return Err(Problem::invalid(format!("`add_stock` is -{STOCK_MAX} to {STOCK_MAX}")));
    }
    let update = "UPDATE products SET name = COALESCE($2, name), name_lower = COALESCE($3, name_lower), \
                  price_cents = COALESCE($4, price_cents), added = added + $5, stock = stock + $5 \
                  WHERE id = $1 AND stock + $5 BETWEEN 0 AND $6";
    let update = sqlx::query(update)
        .bind(id)
        .bind(name.clone())
        .bind(name.as_ref().map(|name| name.to_lowercase()))
        .bind(*price_cents)
        .bind(added)
        .bind(STOCK_MAX);
    let changed = update.execute(&mut **tx).await?.rows_affected();
    let product = find(tx, id).await?.ok_or_else(|| no_such(id))?;
    if changed == 0 {
        let detail = format!("{} in stock and {added} more are not within 0 to {STOCK_MAX}", product.stock);
        return Err(Problem::conflict("stock_range", detail));
    }
    Ok(product)
}

fn require_price(price_cents: impl std::borrow::Borrow<i64>) -> Result<(), Problem> {
    if (1..=PRICE_CENTS_MAX).contains(price_cents.borrow()) {
        return Ok(());
    }
    Err(Problem::invalid(format!("`price_cents` is 1 to {PRICE_CENTS_MAX}")))
}

pub(super) async fn find(tx: &mut Tx, id: i64) -> Result<Option<Product>, sqlx::Error> {
    let query = sqlx::query("SELECT id, name, price_cents, stock FROM products WHERE id = $1").bind(id);
    query.fetch_optional(&mut **tx).await?.as_ref().map(product).transpose()
}

fn product(row: &AnyRow) -> Result<Product, sqlx::Error> {
    Ok(Product {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        price_cents: row.try_get(2)?,
        stock: row.try_get(3)?,
    })
}

pub(super) fn no_such(id: i64) -> Problem {
    Problem::not_found(format!("no product has the id {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_finds_what_it_says_and_nothing_else() {
        assert_eq!(containing("Öl 50%"), "%öl 50\\%%");
        assert_eq!(containing("a_b\\"), "%a\\_b\\\\%");
        assert_eq!(containing(""), "%%");
    }
}
