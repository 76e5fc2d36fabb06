//! Waits until all is quiet, then asks everybody for the books.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::books::Books;
use crate::clock::{now, poll};
use crate::customers::{Customer, Told};
use crate::http::Ask;
use crate::plan::Victim;
use crate::stage::Stage;

/// Longest wait for every order to settle once nobody is killed any more.
const SETTLE_WAIT: Duration = Duration::from_secs(120);
/// Pages of a customer's orders; a customer has not so many.
const PAGES_MAX: usize = 1_000;
/// Those who consume events, and may give one up.
const CONSUMERS: [Victim; 3] = [Victim::Product, Victim::Order, Victim::Payment];

/// The books once every order is paid or cancelled and nothing is held, or as they are when that takes too long.
pub(crate) async fn audit(stage: &Stage, customers: &[Customer], told: &Told) -> Result<Books, String> {
    let until = now() + SETTLE_WAIT;
    let mut books = loop {
        let books = reports(stage).await?;
        let is_quiet = books.unsettled == 0 && books.held == 0 && books.sold == books.paid_pieces;
        if is_quiet || now() > until {
            break books;
        }
        poll().await;
    };
    let answered = told.orders.len() as u64;
    books.asked = number(answered + told.refused);
    books.told = number(answered);
    let mut kept = BTreeSet::new();
    for customer in customers {
        kept.extend(orders_of(customer.clone()).await?);
    }
    books.kept = number(told.orders.values().filter(|id| kept.contains(*id)).count() as u64);
    books.dead_letters = dead_letters(stage).await?;
    Ok(books)
}

/// What the services say of orders, stock and money.
async fn reports(stage: &Stage) -> Result<Books, String> {
    let ask = async |service, path| stage.http.expect(200, Ask::get(stage.address(service), path)).await;
    let orders = ask(Victim::Order, "/orders-report").await?;
    let stock = ask(Victim::Product, "/stock-report").await?;
    let ledger = ask(Victim::Payment, "/ledger-report").await?;
    let states = orders.get("states").and_then(Value::as_array).cloned().unwrap_or_default();
    let sum = |key: &str, wanted: &dyn Fn(&str) -> bool| {
        let states =
            states.iter().filter(|state| state.get("state").and_then(Value::as_str).is_some_and(wanted));
        states.map(|state| at(state, &format!("/{key}"))).sum::<Result<i64, String>>()
    };
    let is_paid = |state: &str| state == "paid";
    Ok(Books {
        orders: sum("orders", &|_| true)?,
        unsettled: sum("orders", &|state| !matches!(state, "paid" | "cancelled"))?,
        paid_cents: sum("amount_cents", &is_paid)?,
        paid_pieces: sum("pieces", &is_paid)?,
        stock: at(&stock, "/total/initial")? + at(&stock, "/total/added")?,
        available: at(&stock, "/total/available")?,
        held: at(&stock, "/total/held")?,
        sold: at(&stock, "/total/sold")?,
        ledger: at(&ledger, "/sum_cents")?,
        charged_cents: at(&ledger, "/charged_cents")?,
        refunded_cents: at(&ledger, "/refunded_cents")?,
        ..Books::default()
    })
}

/// The ids of all orders of a customer, page by page.
async fn orders_of(mut customer: Customer) -> Result<Vec<String>, String> {
    customer.log_in().await?;
    let mut ids = Vec::new();
    let mut path = "/api/orders?limit=100".to_owned();
    for _ in 0..PAGES_MAX {
        let page = customer.http.expect(200, Ask::get(customer.web, &path).token(&customer.token)).await?;
        let items = page.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        ids.extend(items.iter().filter_map(|item| item.get("id")?.as_str().map(str::to_owned)));
        match page.get("next").and_then(Value::as_str) {
            Some(next) => path = format!("/api/orders?limit=100&cursor={next}"),
            None => return Ok(ids),
        }
    }
    Err(format!("{} has more than {PAGES_MAX} pages of orders", customer.email))
}

/// Events that were given up: at most one page a service is counted, and one is too many.
async fn dead_letters(stage: &Stage) -> Result<i64, String> {
    let mut count = 0;
    for service in CONSUMERS {
        // Past the gateway a service believes whoever names himself, as it believes the gateway.
        let ask = Ask::get(stage.address(service), "/dead-letters?limit=100")
            .header("x-user-id", "mayhem".to_owned())
            .header("x-scopes", "events:replay".to_owned());
        let page = stage.http.expect(200, ask).await?;
        let items = page.get("items").and_then(Value::as_array);
        count += items.ok_or_else(|| format!("dead letters without items: {page}"))?.len() as u64;
    }
    Ok(number(count))
}

/// A number that has to be there.
fn at(report: &Value, pointer: &str) -> Result<i64, String> {
    let found = report.pointer(pointer).and_then(Value::as_i64);
    found.ok_or_else(|| format!("a report without {pointer}: {report}"))
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
