//! The order service: takes an order, has its stock reserved and has it paid, or cancels it.
//!
//! It asks the other services by name, through the gateway's internal listener, or by events, and
//! knows no address of theirs. What an order may become is decided in [`state`] and nowhere else;
//! whatever dies in between, a sweep drives every order on until it is settled.

mod api;
mod apply;
mod drive;
mod partners;
mod reason;
mod records;
pub mod state;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::call::Gateway;
use crate::clock::as_ms;
use crate::events::outbox::Outbox;
use crate::events::{self, Events};
use crate::server::{Service, Start, StartError};
use crate::settings::{BadSetting, Settings};
use crate::store::Store;
use api::Orders;
use apply::{Hearing, SUBSCRIPTION};
use drive::Driver;
use partners::Partners;
use records::Records;
use state::PaidBy;

/// The service's name in the registry.
pub const NAME: &str = "order-service";
/// How long an order may wait for its payment unless `PAY_WITHIN` says otherwise; less than stock is reserved.
const PAY_WITHIN: Duration = Duration::from_secs(10 * 60);

#[derive(OpenApi)]
#[openapi(info(
    title = "Order service",
    description = "Orders, from being placed to being paid or cancelled. Customers reach it through the gateway, which \
                   says who they are. Errors are `application/problem+json` (RFC 9457)."
))]
struct Api;

/// The service.
///
/// # Errors
/// When a setting or the database cannot be used.
pub async fn build(start: &Start) -> Result<Service, StartError> {
    let store = Store::open(&start.settings.database("order"), &migrations()).await?;
    let outbox = Outbox::default();
    let records = Records::new(store.clone(), outbox.clone());
    let events = Events::open(start, store, outbox, SUBSCRIPTION, Arc::new(Hearing(records.clone())))?;
    let gateway = Gateway::new(start.client.clone(), start.settings.gateway.clone());
    let pay_within = start.settings.variables.duration("PAY_WITHIN")?.unwrap_or(PAY_WITHIN);
    let driver = Arc::new(Driver::new(records, Partners::new(gateway), as_ms(pay_within)));
    let orders = Orders { driver: driver.clone(), paid_by: paid_by(&start.settings)? };
    let service = Service::new(described(orders).merge(events.routes()));
    Ok(events.attach(service).with_background(sweep::run(driver, start.stopping.clone())))
}

fn described(orders: Orders) -> OpenApiRouter {
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(api::place, api::list))
        .routes(routes!(api::one))
        .routes(routes!(api::pay))
        .routes(routes!(api::cancel))
        .routes(routes!(api::report))
        .with_state(Arc::new(orders))
}

fn migrations() -> Vec<&'static str> {
    [&events::MIGRATIONS[..], &[records::MIGRATION]].concat()
}

/// `PAYMENT`: `rest` asks the payment service and waits, `event` tells it and hears later.
fn paid_by(settings: &Settings) -> Result<PaidBy, BadSetting> {
    let Some(value) = settings.variables.text("PAYMENT") else { return Ok(PaidBy::Rest) };
    value.parse().map_err(|_| BadSetting { name: "PAYMENT", value, expected: "rest or event" })
}
