//! `/v1/status`: who leads. One node always leads itself.

use serde_json::json;

use super::Ask;
use super::reply::Reply;

/// The port Consul's servers talk on; clients only look whether a leader is named.
const SERVER_PORT: u16 = 8300;

/// A path below `/v1/status/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Leader,
    Peers,
}

impl Endpoint {
    pub(super) fn of(path: &str) -> Option<Self> {
        match path {
            "leader" => Some(Self::Leader),
            "peers" => Some(Self::Peers),
            _ => None,
        }
    }
}

pub(super) fn answer(endpoint: Endpoint, ask: &Ask) -> Reply {
    let myself = ask.shared.look(|store| format!("{}:{SERVER_PORT}", store.node().address));
    match endpoint {
        Endpoint::Leader => Reply::value(json!(myself)),
        Endpoint::Peers => Reply::value(json!([myself])),
    }
}
