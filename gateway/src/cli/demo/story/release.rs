//! Step 12: a service is replaced by its new version while customers are there: the new instances
//! first, then the old ones say goodbye.

use std::time::Duration;

use crate::cli::demo::broken::{Broken, ensure};
use crate::cli::demo::narrator::{Narrator, Seconds};
use crate::cli::demo::services::Service;
use crate::cli::demo::stage::Stage;
use crate::cli::demo::wait::until;
use crate::clock;

/// Instances of the new version.
const INSTANCES: usize = 2;
/// What they register as.
const VERSION: &str = "v2";
/// Longest wait for the gateway to know who is there.
const KNOWN_WAIT: Duration = Duration::from_secs(30);
/// Answers before the release, and after each half of it.
const ANSWERS: u32 = 100;

pub(super) async fn replaced(stage: &mut Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    let load = stage.load_products()?;
    stage.answers(ANSWERS).await?;
    let n_old = stage.n_running(Service::Product);
    let began = clock::now();
    let mut new = Vec::new();
    for _ in 0..INSTANCES {
        new.push(stage.start_with(Service::Product, &[("VERSION_TAG", VERSION)]).await?.address);
    }
    known(stage, n_old + INSTANCES).await?;
    let took = clock::now().saturating_since(began);
    narrator.fact(format!(
        "{INSTANCES} instances of {VERSION} started beside {n_old} old ones, in use after {}",
        Seconds(took)
    ));
    stage.answers(ANSWERS).await?;
    let began = clock::now();
    // One after the other, as a rolling update does: a gateway doubts that most of a service left at once.
    let mut n_stopped = 0;
    while stage.stop_other(Service::Product, &new).await {
        n_stopped += 1;
        known(stage, n_old + INSTANCES - n_stopped).await?;
    }
    let took = clock::now().saturating_since(began);
    narrator.fact(format!(
        "{n_stopped} old ones left the registry, finished their requests and ended, one after the other, within {}",
        Seconds(took)
    ));
    stage.answers(ANSWERS).await?;
    narrator.fact(load.stop_clean().await?.line());
    only_new(stage, narrator).await
}

async fn known(stage: &Stage, n: usize) -> Result<(), Broken> {
    until(&format!("the gateway to know {n} instances"), KNOWN_WAIT, async || {
        Ok(stage.gateway.upstream(Service::Product.upstream()).await?.expect_passing(n)?)
    })
    .await
}

/// Whoever answers now is of the new version, as the registry says too.
async fn only_new(stage: &Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    let tags = stage.registry.tags(Service::Product.name()).await?;
    let is_new = |tags: &Vec<String>| tags.iter().any(|tag| tag == VERSION);
    ensure(tags.len() == INSTANCES && tags.iter().all(is_new), || {
        format!("registered with the tags {tags:?}")
    })?;
    let load = stage.load_products()?;
    stage.answers(ANSWERS).await?;
    let counts = load.stop_clean().await?.by_endpoint();
    let of_new =
        |endpoint: &String| stage.instances.iter().any(|instance| instance.address.to_string() == *endpoint);
    let shown: Vec<String> = counts.iter().map(|(endpoint, count)| format!("{endpoint} {count}")).collect();
    ensure(counts.len() == INSTANCES && counts.keys().all(of_new), || {
        format!("not only {VERSION} answered: {}", shown.join(", "))
    })?;
    narrator.fact(format!("registered: {VERSION} alone; answers from {}", shown.join(", ")));
    Ok(())
}
