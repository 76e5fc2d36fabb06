//! The product service: the catalogue, its stock, and the pieces set aside for orders.
//!
//! Everybody reads the catalogue, staff edit it, the order service reserves. Stock moves only in transactions that
//! also say where it went, so `initial + added = available + held + sold` holds at every moment.

mod apply;
mod catalogue;
mod event;
mod reservations;
mod stock;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::clock::{self, Clock};
use crate::events::outbox::Outbox;
use crate::events::{self, Events};
use crate::server::{Service, Start, StartError};
use crate::store::Store;
use apply::{Hearing, SUBSCRIPTION};

/// The service's name in the registry.
pub const NAME: &str = "product-service";
/// How long pieces are set aside for an order that is not paid, unless `RESERVATION_TTL` says otherwise.
const RESERVATION_TTL: Duration = Duration::from_secs(15 * 60);
/// How often reservations that have run out are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The catalogue begins with these; a shop would load its own.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE products (
        id {{serial}},
        name TEXT NOT NULL,
        name_lower TEXT NOT NULL,
        price_cents BIGINT NOT NULL CHECK (price_cents > 0),
        initial BIGINT NOT NULL CHECK (initial >= 0),
        added BIGINT NOT NULL DEFAULT 0,
        stock BIGINT NOT NULL CHECK (stock >= 0)
    );
    CREATE TABLE reservations (
        order_id TEXT PRIMARY KEY,
        product_id BIGINT REFERENCES products (id),
        quantity BIGINT NOT NULL CHECK (quantity >= 0),
        price_cents BIGINT NOT NULL CHECK (price_cents >= 0),
        state TEXT NOT NULL CHECK (state IN ('held', 'sold', 'released', 'expired')),
        expires_at_ms BIGINT NOT NULL
    );
    CREATE INDEX reservations_by_end ON reservations (state, expires_at_ms);
    CREATE INDEX reservations_of_product ON reservations (product_id, state);
    INSERT INTO products (name, name_lower, price_cents, initial, stock) VALUES
        ('Portcullis, cast iron', 'portcullis, cast iron', 1499900, 3, 3),
        ('Drawbridge chain, 5 m', 'drawbridge chain, 5 m', 18900, 40, 40),
        ('Murder hole cover', 'murder hole cover', 7950, 25, 25),
        ('Arrow slit shutter', 'arrow slit shutter', 4400, 120, 120),
        ('Gatehouse lantern', 'gatehouse lantern', 2350, 400, 400),
        ('Winch oil, 1 l', 'winch oil, 1 l', 1290, 100000, 100000);
"];

/// What every handler works with.
#[derive(Debug)]
struct Products {
    store: Store,
    clock: Clock,
    ttl_ms: i64,
}

type Shared = axum::extract::State<Arc<Products>>;

#[derive(OpenApi)]
#[openapi(info(
    title = "Product service",
    description = "The catalogue, its stock, and reservations. Behind the gateway: `X-User-Id`, `X-User-Role` and \
                   `X-Scopes` say who asks. Errors are `application/problem+json` (RFC 9457)."
))]
struct Api;

/// The service, built.
///
/// # Errors
/// When a setting or the database cannot be used.
pub async fn build(start: &Start) -> Result<Service, StartError> {
    let ttl = start.settings.variables.duration("RESERVATION_TTL")?.unwrap_or(RESERVATION_TTL);
    let store = Store::open(&start.settings.database("product"), &migrations()).await?;
    let outbox = Outbox::default();
    let hearing = Arc::new(Hearing(outbox.clone()));
    let events = Events::open(start, store.clone(), outbox, SUBSCRIPTION, hearing)?;
    let products = Arc::new(Products { store, clock: Clock::default(), ttl_ms: clock::as_ms(ttl) });
    let sweeping = sweep(products.clone(), start.stopping.clone());
    let service = Service::new(router(products).merge(events.routes()));
    Ok(events.attach(service).with_background(sweeping))
}

fn migrations() -> Vec<&'static str> {
    [MIGRATIONS, &events::MIGRATIONS].concat()
}

fn router(products: Arc<Products>) -> OpenApiRouter {
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(catalogue::list, catalogue::create))
        .routes(routes!(catalogue::one, catalogue::change))
        .routes(routes!(reservations::purchase))
        .routes(routes!(reservations::reserve, reservations::one, reservations::release))
        .routes(routes!(stock::report))
        .with_state(products)
}

/// Gives back what was set aside too long, until the service stops.
async fn sweep(products: Arc<Products>, mut stopping: watch::Receiver<bool>) {
    while !*stopping.borrow() {
        if let Err(error) = reservations::expire(&products.store, products.clock.now_ms()).await {
            tracing::warn!(%error, "reservations could not be swept; trying on");
        }
        tokio::select! {
            () = tokio::time::sleep(SWEEP_EVERY) => {}
            changed = stopping.changed() => if changed.is_err() { break },
        }
    }
}

#[cfg(test)]
mod tests;
