//! Step 10: what is wrong changes nothing and says so; what is right is in use at once, and
//! nobody waits for it.

use serde_json::Value;

use super::documents::{SPECIALS_PATH, with_mistakes, with_specials};
use crate::cli::demo::broken::{Broken, ensure};
use crate::cli::demo::narrator::Narrator;
use crate::cli::demo::stage::Stage;

/// Answers before a reload under load, and after it.
const ANSWERS: u32 = 200;

pub(super) async fn reloads(stage: &mut Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    let load = stage.load_products()?;
    stage.answers(ANSWERS).await?;
    let generation = stage.gateway.generation().await?;
    refused(stage, narrator).await?;
    ensure(stage.gateway.generation().await? == generation, || {
        "a refused reload was counted as applied".to_owned()
    })?;
    stage.shop.get(SPECIALS_PATH).await?.expect(404)?;
    stage.folder.write_config(&with_specials())?;
    let seen = stage.gateway.reload().await?.expect(200)?;
    let now = stage.gateway.generation().await?;
    ensure(now > generation, || format!("generation {now} after {generation}"))?;
    let took_ms = seen.json().get("took_ms").and_then(Value::as_f64).unwrap_or_default();
    narrator.fact(format!("mended and reloaded → 200 in {took_ms:.1} ms: generation {generation} → {now}"));
    stage.shop.get(SPECIALS_PATH).await?.expect(200)?;
    narrator.fact(format!("GET {SPECIALS_PATH}: 404 before, 200 now"));
    stage.answers(ANSWERS).await?;
    narrator.fact(load.stop_clean().await?.line());
    Ok(())
}

async fn refused(stage: &Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    stage.folder.write_config(&with_mistakes())?;
    let seen = stage.gateway.reload().await?.expect(422)?;
    narrator.fact(format!("POST /api/v1/reload → 422: {}", seen.text("/detail")?));
    let problem = seen.json();
    let errors = problem.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    ensure(!errors.is_empty(), || seen.instead_of("a list of errors"))?;
    for error in errors {
        narrator.fact(format!("  {}", summary(error)));
    }
    stage.shop.products().await?.expect(200)?;
    narrator.fact("the old configuration serves on: GET /api/products → 200");
    Ok(())
}

/// An element of a problem's `errors` in a line: `E0301 gateway.yaml:150: unknown key …`.
fn summary(error: &Value) -> String {
    let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
    let line = error.get("line").and_then(Value::as_u64).unwrap_or_default();
    let help = Some(text("help")).filter(|help| !help.is_empty()).map(|help| format!(" ({help})"));
    format!("{} line {line}: {}{}", text("code"), text("message"), help.unwrap_or_default())
}
