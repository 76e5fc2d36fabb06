//! Step 14: orders are paid by events: the answer comes before the payment, and the books agree all
//! the same; a payment that is declined gives the pieces back.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::demo::books::{Books, Money, Moved};
use crate::cli::demo::broken::{Broken, ensure};
use crate::cli::demo::narrator::{Narrator, Seconds};
use crate::cli::demo::services::Service;
use crate::cli::demo::stage::Stage;
use crate::cli::demo::wait::until;
use crate::clock;

/// What makes an order service have its orders paid by events.
pub(super) const BY_EVENT: [(&str, &str); 1] = [("PAYMENT", "event")];
/// Longest wait for the gateway to know the new instance alone.
const KNOWN_WAIT: Duration = Duration::from_secs(30);
/// Longest wait for an event to be published, taken and answered.
const EVENT_WAIT: Duration = Duration::from_secs(30);

pub(super) async fn both_ways(stage: &mut Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    let before = Books::settled(&stage.inside).await?;
    switched(stage, narrator).await?;
    let (order, took) = becomes(stage, "paid").await?;
    narrator.fact(format!("order.created → payment.charged → order.paid: paid {} later", Seconds(took)));
    let cents = order.get("amount_cents").and_then(Value::as_i64).unwrap_or_default();
    let paid = Books::settled(&stage.inside).await?;
    let moved = paid.since(&before);
    let expected = Moved { placed: 1, paid: 1, cancelled: 0, pieces: 0, sold: 1, kept_cents: cents };
    ensure(cents > 0 && moved == expected, || format!("the books moved by {moved:?}"))?;
    narrator.fact(format!(
        "the books agree: 1 order more, 1 piece sold more, {} more in the ledger",
        Money(cents)
    ));

    stage.one(Service::Payment)?.misbehave(&json!({ "decline": true })).await?;
    narrator.fact("payment declines from now on");
    let (order, took) = becomes(stage, "cancelled").await?;
    stage.one(Service::Payment)?.behave().await?;
    let reason = order.get("reason").and_then(Value::as_str).unwrap_or_default();
    ensure(reason == "declined", || format!("cancelled for the reason `{reason}`"))?;
    narrator.fact(format!(
        "order.created → payment.declined → order.cancelled: cancelled {} later, reason {reason}",
        Seconds(took)
    ));
    let after = Books::settled(&stage.inside).await?;
    let moved = after.since(&paid);
    let expected = Moved { placed: 1, paid: 0, cancelled: 1, pieces: 0, sold: 0, kept_cents: 0 };
    ensure(moved == expected, || format!("the books moved by {moved:?}"))?;
    narrator.fact("its piece is on sale again, and nothing was charged:");
    for line in after.lines() {
        narrator.fact(format!("  {line}"));
    }
    Ok(())
}

/// A new instance takes over from the one that asks for payments; nothing waits for it.
async fn switched(stage: &mut Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    let new = stage.start_with(Service::Order, &BY_EVENT).await?.address;
    until("the gateway to know the new instance", KNOWN_WAIT, async || {
        let seen = stage.gateway.upstream(Service::Order.upstream()).await?;
        let passing = seen.passing();
        Ok(ensure(passing.contains(&new.to_string().as_str()), || passing.join(", "))?)
    })
    .await?;
    while stage.stop_other(Service::Order, &[new]).await {}
    until("the gateway to know it alone", KNOWN_WAIT, async || {
        Ok(stage.gateway.upstream(Service::Order.upstream()).await?.expect_passing(1)?)
    })
    .await?;
    narrator.fact(format!("order service replaced by one with PAYMENT=event at {new}"));
    Ok(())
}

/// An order that is taken at once and comes to this end later: the order then, and how much later.
async fn becomes(stage: &Stage, end: &str) -> Result<(Value, Duration), Broken> {
    let token = &stage.customer()?.token;
    let payment = &stage.one(Service::Payment)?.process.name;
    let began = clock::now();
    let seen = stage.shop.order(Some(token)).await?.expect(202)?;
    let id = seen.text("/id")?;
    let order = until(&format!("the order to be {end}"), EVENT_WAIT, async || {
        let seen = stage.shop.find(token, &id).await?.expect(200)?;
        let state = seen.text("/state")?;
        ensure(state == end, || format!("it is {state}"))?;
        Ok(seen.json())
    })
    .await
    .map_err(|broken| broken.see(payment))?;
    Ok((order, clock::now().saturating_since(began)))
}
