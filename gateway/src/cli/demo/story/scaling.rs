//! Step 7: more instances while customers are there: nobody notices, and everybody has work.

use std::time::Duration;

use crate::cli::demo::broken::{Broken, ensure};
use crate::cli::demo::load::is_even;
use crate::cli::demo::narrator::{Narrator, Seconds};
use crate::cli::demo::services::Service;
use crate::cli::demo::stage::Stage;
use crate::cli::demo::wait::until;
use crate::clock;

/// Instances in the end.
const INSTANCES: u32 = 5;
/// Longest wait for the gateway to know them all.
const KNOWN_WAIT: Duration = Duration::from_secs(30);
/// Answers before something happens under load, and after it.
const ANSWERS: u32 = 200;
/// Answers over which the spread is measured.
const SPREAD_ANSWERS: u32 = 600;
/// How far an instance may be from its equal share.
const TOLERANCE: f64 = 0.25;

pub(super) async fn scaled(stage: &mut Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    let load = stage.load_products()?;
    stage.answers(ANSWERS).await?;
    let began = clock::now();
    for _ in 1..INSTANCES {
        stage.start(Service::Product).await?;
    }
    until("the gateway to know five instances", KNOWN_WAIT, async || {
        Ok(stage.gateway.upstream("products").await?.expect_passing(INSTANCES as usize)?)
    })
    .await?;
    let took = clock::now().saturating_since(began);
    narrator.fact(format!("four more instances started and found healthy in {}", Seconds(took)));
    stage.answers(ANSWERS).await?;
    narrator.fact(load.stop_clean().await?.line());
    spread(stage, narrator).await
}

async fn spread(stage: &Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    let load = stage.load_products()?;
    stage.answers(SPREAD_ANSWERS).await?;
    let report = load.stop_clean().await?;
    let counts = report.by_endpoint();
    let shown: Vec<String> = counts.iter().map(|(endpoint, count)| format!("{endpoint} {count}")).collect();
    ensure(is_even(&counts, INSTANCES, TOLERANCE), || format!("an uneven spread: {}", shown.join(", ")))?;
    narrator.fact(format!("spread of {} requests: {}", report.sent, shown.join(", ")));
    Ok(())
}
