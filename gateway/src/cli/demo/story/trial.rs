//! Step 13: a change to the configuration on trial. One that makes requests fail is taken back by
//! itself; one that does not is confirmed.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::demo::broken::{Broken, ensure};
use crate::cli::demo::narrator::{Narrator, Seconds};
use crate::cli::demo::ports::free_port;
use crate::cli::demo::stage::Stage;
use crate::cli::demo::wait::until;
use crate::clock;
use crate::telemetry::names;

/// Longest wait for a bad change to be taken back: far less than the minute it has.
const REVERT_WAIT: Duration = Duration::from_secs(20);
/// Longest wait for the catalogue to answer again after that.
const BACK_WAIT: Duration = Duration::from_secs(10);
/// Answers before a change, and after it.
const ANSWERS: u32 = 100;
/// What the good change adds to each answer of the catalogue.
const HEADER: &str = "x-catalogue";

pub(super) async fn trials(stage: &mut Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    bad(stage, narrator).await.map_err(|broken| broken.see("gateway"))?;
    good(stage, narrator).await.map_err(|broken| broken.see("gateway"))
}

/// Products are sent where nobody is.
async fn bad(stage: &Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    let load = stage.load_products()?;
    stage.answers(ANSWERS).await?;
    let revision = stage.gateway.revision_kept().await?;
    let n_reverted = reverted(stage).await?;
    let nowhere = free_port()?;
    let patch = json!({ "upstreams": { "products": format!("http://{nowhere}") } });
    let began = clock::now();
    let tried = stage.gateway.try_out(&patch).await?.expect(200)?;
    narrator.fact(format!(
        "PATCH /api/v1/config?confirm_within=60s → 200: products at {nowhere}, where nobody is; on trial until {}",
        tried.text("/pending/until")?
    ));
    until("the change to be taken back", REVERT_WAIT, async || {
        let n = reverted(stage).await? - n_reverted;
        Ok(ensure(n >= 1.0, || "it is still in use".to_owned())?)
    })
    .await?;
    let took = clock::now().saturating_since(began);
    let now = stage.gateway.revision_kept().await?;
    ensure(now.is_some() && now == revision, || format!("revision {now:?} after {revision:?}"))?;
    until("the catalogue to answer again", BACK_WAIT, async || {
        stage.shop.products().await?.expect(200)?;
        Ok(())
    })
    .await?;
    narrator.fact(format!("reverted by itself after {}: {}", Seconds(took), reason(stage).await?));
    let report = load.stop().await?;
    ensure(report.failed > 0, || "no request failed, so there was no reason to go back".to_owned())?;
    narrator.fact(report.line());
    Ok(())
}

/// How many changes were taken back because requests failed.
async fn reverted(stage: &Stage) -> Result<f64, Broken> {
    Ok(stage.gateway.samples().await?.sum(names::TRIALS.name, &[("result", "errors")]))
}

/// Why the last change was taken back, as the gateway's log says.
async fn reason(stage: &Stage) -> Result<String, Broken> {
    until("the gateway's log to say why", BACK_WAIT, async || {
        let lines = stage.gateway_lines();
        let text = |line: &Value, key: &str| line.get(key).and_then(Value::as_str).map(str::to_owned);
        let is_it =
            |line: &&Value| text(line, "message").as_deref() == Some("configuration on trial reverted");
        let why = lines.iter().rev().find(is_it).and_then(|line| text(line, "why"));
        why.ok_or_else(|| format!("{} lines without it", lines.len()))
    })
    .await
}

/// The catalogue gets a new header, and keeps it.
async fn good(stage: &Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    let load = stage.load_products()?;
    stage.answers(ANSWERS).await?;
    let patch = json!({ "routes": { "products": { "response_headers": { "set": { HEADER: "spring" } } } } });
    stage.gateway.try_out(&patch).await?.expect(200)?;
    stage.answers(ANSWERS).await?;
    let value = stage.shop.products().await?.expect(200)?.expect_header(HEADER)?;
    let kept = stage.gateway.revision_kept().await?;
    ensure(kept.is_none(), || format!("a change that does no harm was taken back: revision {kept:?}"))?;
    let confirmed = stage.gateway.confirm().await?.expect(200)?;
    let revision = confirmed.json().get("revision").and_then(Value::as_u64).unwrap_or_default();
    let kept = stage.gateway.revision_kept().await?;
    ensure(kept == Some(revision), || confirmed.instead_of(&format!("the revision in use, {kept:?}")))?;
    let overlay = stage.folder.state().join("overlay.yaml");
    ensure(overlay.is_file(), || format!("{} is not there", overlay.display()))?;
    stage.shop.products().await?.expect(200)?.expect_header(HEADER)?;
    narrator.fact(format!(
        "another change, {HEADER}: {value}; nothing failed, so POST /api/v1/config/confirm → 200: revision {revision} in overlay.yaml"
    ));
    narrator.fact(load.stop_clean().await?.line());
    Ok(())
}
