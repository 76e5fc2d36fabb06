//! `/v1/agent`: what services say of themselves, and what the agent knows.
//! It translates; the store decides.

use hyper::{Method, StatusCode};
use portcullis_consul_wire::{AgentCheckDefinition, AgentService, AgentServiceRegistration, CheckStatus};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{self, Shape};
use super::params::go_bool;
use super::reply::{Problem, Reply};
use super::{Ask, Outcome};
use crate::store::{Command, Store};

/// A path below `/v1/agent/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    Myself,
    Services,
    Checks,
    Service(String),
    RegisterService,
    DeregisterService(String),
    Maintenance(String),
    RegisterCheck,
    DeregisterCheck(String),
    Report(CheckStatus, String),
    Update(String),
}

impl Endpoint {
    pub(super) fn of(path: &str) -> Option<Self> {
        match path {
            "self" => return Some(Self::Myself),
            "services" => return Some(Self::Services),
            "checks" => return Some(Self::Checks),
            "service/register" => return Some(Self::RegisterService),
            "check/register" => return Some(Self::RegisterCheck),
            _ => {}
        }
        let (family, rest) = path.split_once('/')?;
        let (verb, id) = rest.split_once('/').unwrap_or((rest, ""));
        let id = id.to_owned();
        match (family, verb, rest.contains('/')) {
            ("service", "deregister", true) => Some(Self::DeregisterService(id)),
            ("service", "maintenance", true) => Some(Self::Maintenance(id)),
            ("service", ..) => Some(Self::Service(rest.to_owned())),
            ("check", "deregister", true) => Some(Self::DeregisterCheck(id)),
            ("check", "pass", true) => Some(Self::Report(CheckStatus::Passing, id)),
            ("check", "warn", true) => Some(Self::Report(CheckStatus::Warning, id)),
            ("check", "fail", true) => Some(Self::Report(CheckStatus::Critical, id)),
            ("check", "update", true) => Some(Self::Update(id)),
            _ => None,
        }
    }

    pub(super) fn methods(&self) -> &'static [Method] {
        match self {
            Self::Myself | Self::Services | Self::Checks | Self::Service(_) => &[Method::GET],
            Self::RegisterService
            | Self::DeregisterService(_)
            | Self::Maintenance(_)
            | Self::RegisterCheck
            | Self::DeregisterCheck(_)
            | Self::Report(..)
            | Self::Update(_) => &[Method::PUT],
        }
    }
}

pub(super) async fn answer(endpoint: Endpoint, ask: Ask) -> Outcome {
    let command = match endpoint {
        Endpoint::Myself => return Ok(Reply::value(ask.shared.look(myself))),
        Endpoint::Services => return Reply::json(&ask.shared.look(Store::agent_services)),
        Endpoint::Checks => return Reply::json(&ask.shared.look(Store::agent_checks)),
        Endpoint::Service(id) => return service(&id, &ask),
        Endpoint::RegisterService => {
            let replace_existing_checks =
                matches!(ask.params.get("replace-existing-checks"), Some("" | "true"));
            let registration: AgentServiceRegistration = body::json(ask.body, &SERVICE).await?;
            Command::RegisterService { registration: Box::new(registration), replace_existing_checks }
        }
        Endpoint::DeregisterService(id) => Command::DeregisterService { id },
        Endpoint::Maintenance(id) => maintenance(id, &ask)?,
        Endpoint::RegisterCheck => {
            let definition: AgentCheckDefinition = body::json(ask.body, &CHECK).await?;
            Command::RegisterCheck { definition: Box::new(definition) }
        }
        Endpoint::DeregisterCheck(id) => Command::DeregisterCheck { id },
        Endpoint::Report(status, id) => {
            Command::Report { id, status, output: ask.params.get("note").unwrap_or_default().to_owned() }
        }
        Endpoint::Update(id) => update(id, body::json(ask.body, &UPDATE).await?)?,
    };
    ask.shared.apply(command)?;
    Ok(Reply::empty())
}

fn service(id: &str, ask: &Ask) -> Outcome {
    let found = ask.shared.look(|store| store.agent_service(id));
    let found =
        found.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, format!("unknown service ID: {id}")))?;
    let content_hash = content_hash(&found);
    Reply::json(&AgentService { content_hash, ..found })
}

/// Changes when the definition does. FNV-1a over its JSON: nobody has to reproduce Consul's own number.
fn content_hash(service: &AgentService) -> String {
    let text = serde_json::to_vec(service).unwrap_or_default();
    let hash = text.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}")
}

fn maintenance(id: String, ask: &Ask) -> Result<Command, Problem> {
    if id.is_empty() {
        return Err(Problem::bad_request("Missing service ID"));
    }
    let raw = ask.params.get("enable").ok_or_else(|| Problem::bad_request("Missing value for enable"))?;
    match go_bool(raw) {
        Some(true) => {
            let reason = ask.params.get("reason").unwrap_or_default().to_owned();
            Ok(Command::EnableMaintenance { id, reason })
        }
        Some(false) => Ok(Command::DisableMaintenance { id }),
        None => Err(Problem::bad_request(format!("Invalid value for enable: {raw:?}"))),
    }
}

/// The body of an update, with the status still as text so that the refusal can show it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Update {
    status: String,
    output: String,
}

fn update(id: String, update: Update) -> Result<Command, Problem> {
    match update.status.parse() {
        Ok(status @ (CheckStatus::Passing | CheckStatus::Warning | CheckStatus::Critical)) => {
            Ok(Command::Report { id, status, output: update.output })
        }
        Ok(CheckStatus::Maintenance) | Err(_) => {
            Err(Problem::bad_request(format!("Invalid check status: '{}'", update.status)))
        }
    }
}

/// Enough of the agent for clients that ask before they start.
fn myself(store: &Store) -> Value {
    let node = store.node();
    json!({
        "Config": {
            "Datacenter": node.datacenter,
            "PrimaryDatacenter": node.datacenter,
            "NodeName": node.name,
            "NodeID": node.id,
            "Server": true,
            "Version": env!("CARGO_PKG_VERSION"),
            "Revision": "portcullis-registry",
        },
        "Member": { "Name": node.name, "Addr": node.address, "Status": 1, "Tags": { "dc": node.datacenter } },
        "Meta": { "portcullis-registry": crate::NOTICE },
    })
}

const WEIGHTS: Shape = Shape {
    known: &["Passing", "Warning"],
    ignored: &[],
    foreign: &[],
    nested: &[],
    number_max: Some(65_535),
};

const CHECK: Shape = Shape {
    known: &[
        "ID",
        "CheckID",
        "Name",
        "Notes",
        "ServiceID",
        "Status",
        "HTTP",
        "Method",
        "Header",
        "Body",
        "TCP",
        "TTL",
        "Interval",
        "Timeout",
        "DeregisterCriticalServiceAfter",
        "TLSSkipVerify",
        "SuccessBeforePassing",
        "FailuresBeforeWarning",
        "FailuresBeforeCritical",
    ],
    // A token has no meaning without ACLs; the output of a check is bounded for all alike.
    ignored: &["Token", "OutputMaxSize"],
    foreign: &[
        "Args",
        "ScriptArgs",
        "Shell",
        "DockerContainerID",
        "GRPC",
        "GRPCUseTLS",
        "H2PING",
        "H2PingUseTLS",
        "UDP",
        "AliasNode",
        "AliasService",
        "OSService",
        "TLSServerName",
        "TCPUseTLS",
        "DisableRedirects",
        "ProxyHTTP",
        "ProxyGRPC",
        "Namespace",
        "Partition",
    ],
    nested: &[],
    number_max: None,
};

/// The shape of a service registration.
pub(super) const SERVICE: Shape = Shape {
    known: &[
        "ID",
        "Name",
        "Tags",
        "Port",
        "Address",
        "TaggedAddresses",
        "Meta",
        "Weights",
        "EnableTagOverride",
        "Check",
        "Checks",
    ],
    ignored: &["Token"],
    foreign: &["Kind", "Ports", "SocketPath", "Locality", "Proxy", "Connect", "Namespace", "Partition"],
    nested: &[("Check", &CHECK), ("Checks", &CHECK), ("Weights", &WEIGHTS)],
    number_max: Some(65_535),
};

const UPDATE: Shape =
    Shape { known: &["Status", "Output"], ignored: &[], foreign: &[], nested: &[], number_max: None };
