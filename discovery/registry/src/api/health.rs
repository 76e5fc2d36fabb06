//! `/v1/health`: instances and checks, with blocking queries.
//! It names the query; the store answers it.

use portcullis_consul_wire::CheckStatus;

use super::reply::{Problem, Reply};
use super::{Ask, Outcome};
use crate::store::{Filter, Query};

/// A path below `/v1/health/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    Service(String),
    Checks(String),
    Node(String),
    State(String),
}

impl Endpoint {
    pub(super) fn of(path: &str) -> Option<Self> {
        let (family, name) = path.split_once('/')?;
        let name = name.to_owned();
        match family {
            "service" => Some(Self::Service(name)),
            "checks" => Some(Self::Checks(name)),
            "node" => Some(Self::Node(name)),
            "state" => Some(Self::State(name)),
            _ => None,
        }
    }
}

pub(super) async fn answer(endpoint: Endpoint, ask: Ask) -> Outcome {
    let query = query(endpoint, &ask)?;
    let (index, view) = ask.shared.answer(&query, ask.params.block()?).await?;
    Ok(Reply::json(&view)?.read_at(index).consistent(ask.params.consistency()))
}

fn query(endpoint: Endpoint, ask: &Ask) -> Result<Query, Problem> {
    let named = |name: String, what: &str| {
        if name.is_empty() { Err(Problem::bad_request(format!("Missing {what}"))) } else { Ok(name) }
    };
    Ok(match endpoint {
        Endpoint::Service(name) => Query::HealthService(named(name, "service name")?, filter(ask)?),
        Endpoint::Checks(name) => Query::HealthChecks(named(name, "service name")?),
        Endpoint::Node(name) => Query::HealthNode(named(name, "node name")?),
        Endpoint::State(state) => match named(state, "check state")?.as_str() {
            "any" => Query::HealthState(None),
            state => match state.parse() {
                Ok(state) => Query::HealthState(Some(state)),
                // Consul finds nothing in a state it does not know. No check is ever in this one.
                Err(_unknown) => Query::HealthState(Some(CheckStatus::Maintenance)),
            },
        },
    })
}

/// `?tag=`, which may repeat, and `?passing`.
pub(super) fn filter(ask: &Ask) -> Result<Filter, Problem> {
    Ok(Filter { tags: ask.params.all("tag"), passing: ask.params.flag("passing")? })
}
