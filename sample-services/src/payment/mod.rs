//! The payment service: charges an order once, pays it back once, and keeps books that sum to zero.
//!
//! It is asked by REST or by events, and answers the same way. What may be done is decided in
//! [`rules`]; nothing here knows what an order is for.

mod api;
mod apply;
mod ledger;
mod records;
pub mod rules;

use std::sync::Arc;

use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::events::outbox::Outbox;
use crate::events::{self, Events};
use crate::mischief::Switches;
use crate::server::{Service, Start, StartError};
use crate::store::Store;
use apply::SUBSCRIPTION;
use rules::Judge;

/// The service's name in the registry.
pub const NAME: &str = "payment-service";
/// The most that is charged at once unless `CHARGE_MAX` says otherwise, in cents.
const CHARGE_MAX_CENTS: i64 = 10_000_000;

#[derive(OpenApi)]
#[openapi(info(
    title = "Payment service",
    description = "Charges and refunds of orders, and a ledger that sums to zero. The order service asks it through the \
                   gateway's internal listener. Errors are `application/problem+json` (RFC 9457)."
))]
struct Api;

struct Payments {
    store: Store,
    outbox: Outbox,
    charge_max: i64,
    switches: Switches,
}

impl Payments {
    fn judge(&self) -> Judge {
        Judge { charge_max: self.charge_max, declines: self.switches.get().decline }
    }
}

/// The service.
///
/// # Errors
/// When a setting or the database cannot be used.
pub async fn build(start: &Start) -> Result<Service, StartError> {
    let store = Store::open(&start.settings.database("payment"), &migrations()).await?;
    let charge_max =
        start.settings.variables.number("CHARGE_MAX", 1..=i64::MAX, "a number of cents from 1")?;
    let outbox = Outbox::default();
    let payments = Arc::new(Payments {
        store: store.clone(),
        outbox: outbox.clone(),
        charge_max: charge_max.unwrap_or(CHARGE_MAX_CENTS),
        switches: start.switches.clone(),
    });
    let events = Events::open(start, store, outbox, SUBSCRIPTION, payments.clone())?;
    let service = Service::new(described(payments).merge(events.routes()));
    Ok(events.attach(service))
}

fn described(payments: Arc<Payments>) -> OpenApiRouter {
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(api::charge, api::list))
        .routes(routes!(api::one))
        .routes(routes!(api::refund))
        .routes(routes!(api::report))
        .with_state(payments)
}

fn migrations() -> Vec<&'static str> {
    [&events::MIGRATIONS[..], &[records::MIGRATION, ledger::MIGRATION]].concat()
}
