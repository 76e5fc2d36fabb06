//! Step 6: the payment service fails. Its callers get an answer all the same, it is left alone
//! while it is ill, and asked again as soon as it may be well.

use std::time::Duration;

use serde_json::json;

use crate::cli::demo::broken::{Broken, ensure};
use crate::cli::demo::narrator::{Narrator, Seconds};
use crate::cli::demo::samples::Samples;
use crate::cli::demo::services::Service;
use crate::cli::demo::stage::Stage;
use crate::cli::demo::wait::until;
use crate::clock;
use crate::telemetry::names;

/// Longest wait for the breaker to trip, and to let a request through again.
const BREAKER_WAIT: Duration = Duration::from_secs(20);
/// What the fallback says; see the configuration.
const FALLBACK: &str = "Your order is safe";

pub(super) async fn fails(stage: &mut Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    let before = stage.gateway.samples().await?;
    stage.one(Service::Payment)?.misbehave(&json!({ "error_rate": 1 })).await?;
    let waiting = retried_and_tripped(stage, &before, narrator).await?;
    left_alone(stage, narrator).await?;
    stage.one(Service::Payment)?.behave().await?;
    recovered(stage, &waiting, narrator).await
}

/// An order that waits for its payment, and a note that says why: its id.
async fn unpaid_order(stage: &Stage) -> Result<(String, Duration), Broken> {
    let seen = stage.shop.order(Some(&stage.customer()?.token)).await?.expect(202)?;
    let note = seen.text("/note")?;
    ensure(note.starts_with(FALLBACK), || seen.instead_of("the fallback's note"))?;
    Ok((seen.text("/id")?, seen.took))
}

async fn retried_and_tripped(
    stage: &Stage,
    before: &Samples,
    narrator: &mut Narrator,
) -> Result<String, Broken> {
    let (order, took) = unpaid_order(stage).await.map_err(|broken| broken.see("gateway"))?;
    narrator.fact("payment answers 503 to everything from now on");
    narrator.fact(format!("POST /api/orders → 202 in {}: \"{FALLBACK} …\"", Seconds(took)));
    let mut n_orders = 1;
    until("the breaker to trip", BREAKER_WAIT, async || {
        unpaid_order(stage).await?;
        n_orders += 1;
        let breaker = stage.gateway.upstream("payments").await?.breaker;
        Ok(ensure(breaker == "tripped", || format!("the breaker is {breaker}"))?)
    })
    .await?;
    let after = stage.gateway.samples().await?;
    let grown = |name: &str, labels: &[(&str, &str)]| after.sum(name, labels) - before.sum(name, labels);
    let retries = grown(names::RETRIES.name, &[("route", "payments"), ("reason", "idempotency_key")]);
    ensure(retries >= 1.0, || "the payment was not tried again".to_owned())?;
    let tripped = grown(names::CIRCUIT_TRANSITIONS.name, &[("upstream", "payments"), ("to", "tripped")]);
    ensure(tripped >= 1.0, || "no metric tells of the tripped breaker".to_owned())?;
    let answered_for = grown(names::FALLBACK.name, &[("route", "payments")]);
    narrator.fact(format!("{retries} retries, allowed by the order's Idempotency-Key"));
    narrator
        .fact(format!("breaker tripped after {n_orders} orders; the fallback answered {answered_for} times"));
    Ok(order)
}

/// While the breaker is tripped, payment is not asked at all, and answers come at once.
async fn left_alone(stage: &Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    let took = until("an order that payment is not asked about", BREAKER_WAIT, async || {
        let before = stage.gateway.upstream("payments").await?.picks();
        let (_, took) = unpaid_order(stage).await?;
        let asked = stage.gateway.upstream("payments").await?.picks() - before;
        ensure(asked == 0, || format!("payment was asked {asked} times"))?;
        Ok(took)
    })
    .await?;
    narrator.fact(format!("while tripped, payment is left alone: 202 in {}", Seconds(took)));
    Ok(())
}

async fn recovered(stage: &Stage, waiting: &str, narrator: &mut Narrator) -> Result<(), Broken> {
    let began = clock::now();
    let token = &stage.customer()?.token;
    until("the waiting order to be paid", BREAKER_WAIT, async || {
        // 200 if the order service was faster: it tries again by itself.
        let seen = stage.shop.pay(token, waiting).await?;
        ensure(matches!(seen.status, 200 | 201), || seen.instead_of("200 or 201"))?;
        Ok(())
    })
    .await
    .map_err(|broken| broken.see("gateway"))?;
    let took = clock::now().saturating_since(began);
    narrator.fact(format!("payment is well again: the waiting order is paid {} later", Seconds(took)));
    until("the breaker to pass", BREAKER_WAIT, async || {
        stage.shop.order(Some(token)).await?.expect(201)?;
        let breaker = stage.gateway.upstream("payments").await?.breaker;
        Ok(ensure(breaker == "passing", || format!("the breaker is {breaker}"))?)
    })
    .await?;
    narrator.fact("breaker passing; POST /api/orders → 201");
    Ok(())
}
