//! `/v1/catalog`: names, instances, nodes and datacenters.
//! Read only: what is registered comes through the agent.

use serde_json::json;

use super::reply::{Problem, Reply};
use super::{Ask, Outcome};
use crate::store::{Filter, Query};

/// A path below `/v1/catalog/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    Services,
    Service(String),
    Nodes,
    Datacenters,
}

impl Endpoint {
    pub(super) fn of(path: &str) -> Option<Self> {
        match path {
            "services" => Some(Self::Services),
            "nodes" => Some(Self::Nodes),
            "datacenters" => Some(Self::Datacenters),
            other => other.strip_prefix("service/").map(|name| Self::Service(name.to_owned())),
        }
    }
}

pub(super) async fn answer(endpoint: Endpoint, ask: Ask) -> Outcome {
    let query = match endpoint {
        Endpoint::Services => Query::CatalogServices,
        Endpoint::Nodes => Query::CatalogNodes,
        Endpoint::Service(name) if name.is_empty() => {
            return Err(Problem::bad_request("Missing service name"));
        }
        Endpoint::Service(name) => {
            Query::CatalogService(name, Filter { tags: ask.params.all("tag"), passing: false })
        }
        Endpoint::Datacenters => {
            return Ok(Reply::value(json!([ask.shared.look(|store| store.node().datacenter.clone())])));
        }
    };
    let (index, view) = ask.shared.answer(&query, ask.params.block()?).await?;
    Ok(Reply::json(&view)?.read_at(index).consistent(ask.params.consistency()))
}
