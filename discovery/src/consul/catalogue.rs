//! One look at everything the datacenter has, for people: no watch follows from it.
//!
//! It decides how long somebody who looks may be kept waiting. It never asks twice.

use std::collections::BTreeMap;
use std::time::Duration;

use super::client::Target;
use super::query::Ask;
use super::shared::Shared;
use crate::OfferedService;

/// Longest wait for the catalogue.
const CATALOGUE_WAIT: Duration = Duration::from_secs(3);
/// Most services taken from one answer.
const SERVICES_MAX: usize = 100_000;

pub(super) async fn read(shared: &Shared) -> Result<Vec<OfferedService>, String> {
    let target = Target { path: &["v1", "catalog", "services"], tag: None, datacenter: None };
    let ask = Ask { index: 0, wait: Duration::ZERO, consistency: shared.query_settings.consistency };
    let answer = tokio::time::timeout(CATALOGUE_WAIT, shared.client.get(target, ask)).await;
    let reply = match answer {
        Ok(Ok(reply)) => reply,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(format!("consul did not answer within {CATALOGUE_WAIT:?}")),
    };
    let listed: BTreeMap<String, Option<Vec<String>>> =
        serde_json::from_slice(&reply.body).map_err(|error| format!("consul's catalogue: {error}"))?;
    let service =
        |(name, tags): (String, Option<Vec<String>>)| OfferedService { name, tags: tags.unwrap_or_default() };
    Ok(listed.into_iter().take(SERVICES_MAX).map(service).collect())
}
