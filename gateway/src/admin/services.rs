//! `GET /services`: what the registry offers, and which of it is routed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::http::{HeaderValue, Uri};
use axum::response::Response;
use portcullis_core::snapshot::UpstreamSource;
use portcullis_discovery::{OfferedService, ServiceStatus};
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::Query;
use super::page::{Page, Paging};
use super::problem::Problem;
use crate::clock;
use crate::live::Live;
use crate::operator::Operator;

/// Says in the reply that the registry did not answer.
const TROUBLE: &str = "x-registry-trouble";

/// A service of the registry.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ServiceShown {
    name: String,
    /// Whether the registry has it. One that a route uses may be absent.
    offered: bool,
    /// The tags of its instances.
    tags: Vec<String>,
    /// The upstreams that get their endpoints from it.
    upstreams: Vec<String>,
    /// Endpoints that traffic is told of; absent if no route uses it, or there was no answer yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoints: Option<usize>,
    /// Since when the registry does not stand by the endpoints; RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_since: Option<String>,
}

/// Every service of the registry, routed or not
///
/// The registry is asked at most every 5 s. When it does not answer, what it said last is shown, and the header
/// `X-Registry-Trouble` says why.
#[utoipa::path(
    get,
    path = "/api/v1/services",
    params(Paging),
    responses(
        (status = 200, body = Page<ServiceShown>, headers(
            ("X-Registry-Trouble" = String, description = "why the registry did not answer; absent if it did")
        )),
        (status = 400, body = Problem)
    )
)]
pub(super) async fn list(
    State(operator): State<Arc<Operator>>,
    Query(paging): Query<Paging>,
    uri: Uri,
) -> Result<Response, Problem> {
    let look = operator.catalogue.look(operator.follow.source()).await;
    let live = operator.live.load_full();
    let shown = merged(&look.services, &operator.follow.source().status(), &live);
    let wanted = shown.into_iter().filter(|(name, shown)| {
        paging.wants(std::iter::once(name.as_str()).chain(shown.upstreams.iter().map(String::as_str)))
    });
    let mut response = paging.page(&uri, wanted.collect(), |shown| shown)?;
    if let Some(trouble) = look.trouble {
        let since = look
            .answered
            .map_or("never answered".to_owned(), |at| format!("last answered {}", clock::rfc3339(at)));
        let text: String = format!("{trouble}; {since}")
            .chars()
            .map(|c| if c.is_ascii_graphic() { c } else { ' ' })
            .collect();
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().insert(TROUBLE, value);
        }
    }
    Ok(response)
}

/// What is offered and what is used, by name.
fn merged(
    offered: &[OfferedService],
    watched: &[ServiceStatus],
    live: &Live,
) -> BTreeMap<String, ServiceShown> {
    let mut shown: BTreeMap<String, ServiceShown> =
        offered.iter().map(|service| (service.name.clone(), of_registry(service))).collect();
    for status in watched {
        let name = status.query.name.to_string();
        let entry = shown.entry(name.clone()).or_insert_with(|| unused(name));
        // Several questions about one service (by tag, say) are shown as one: all their endpoints, the oldest worry.
        entry.endpoints = match (entry.endpoints, status.endpoints) {
            (Some(some), Some(more)) => Some(some + more),
            (one, other) => one.or(other),
        };
        let since = status.stale_since.map(rfc3339);
        entry.stale_since = match (entry.stale_since.take(), since) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
    for upstream in live.snapshot.upstreams.values() {
        if let UpstreamSource::Service { name, .. } = &upstream.source {
            let entry = shown.entry(name.to_string()).or_insert_with(|| unused(name.to_string()));
            entry.upstreams.push(upstream.name.to_string());
        }
    }
    shown
}

fn of_registry(service: &OfferedService) -> ServiceShown {
    ServiceShown { offered: true, tags: service.tags.clone(), ..unused(service.name.clone()) }
}

fn unused(name: String) -> ServiceShown {
    ServiceShown {
        name,
        offered: false,
        tags: Vec::new(),
        upstreams: Vec::new(),
        endpoints: None,
        stale_since: None,
    }
}

fn rfc3339(at: SystemTime) -> String {
    clock::rfc3339(at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO))
}
