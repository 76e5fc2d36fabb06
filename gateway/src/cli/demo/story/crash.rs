//! Step 8: an instance dies without a word. Requests that can be repeated are; no customer sees it.

use std::time::Duration;

use crate::cli::demo::broken::Broken;
use crate::cli::demo::narrator::{Narrator, Seconds};
use crate::cli::demo::services::Service;
use crate::cli::demo::stage::Stage;
use crate::cli::demo::wait::until;
use crate::clock;
use crate::telemetry::names;

/// Longest wait for the instance's check to turn critical.
const FOUND_WAIT: Duration = Duration::from_secs(30);
/// Answers before the crash, and after it was found.
const ANSWERS: u32 = 200;

pub(super) async fn killed(stage: &mut Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    let load = stage.load_products()?;
    stage.answers(ANSWERS).await?;
    let retries = async |stage: &Stage| {
        stage
            .gateway
            .samples()
            .await
            .map(|samples| samples.sum(names::RETRIES.name, &[("route", "products")]))
    };
    let before = retries(stage).await?;
    let began = clock::now();
    let address = stage.kill_one(Service::Product).await?;
    let n_left = stage.n_running(Service::Product);
    until("the gateway to hear of it", FOUND_WAIT, async || {
        Ok(stage.gateway.upstream("products").await?.expect_passing(n_left)?)
    })
    .await?;
    let took = clock::now().saturating_since(began);
    narrator.fact(format!("{address} killed; taken out by its health check after {}", Seconds(took)));
    stage.answers(ANSWERS).await?;
    let retried = retries(stage).await? - before;
    narrator.fact(load.stop_clean().await?.line());
    narrator.fact(format!("{retried} requests were tried again on another instance"));
    Ok(())
}
