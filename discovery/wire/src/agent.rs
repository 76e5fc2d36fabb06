//! What a service tells its local agent, and what the agent tells back.
//! Registrations are written without empty fields; every field is also read in lower and snake case, as Consul does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog::TaggedAddress;
use crate::duration::{self, GoDuration};
use crate::lenient::{is_false, is_zero, null_as_default, port, weight};
use crate::status::{self, CheckStatus};

/// Body of `PUT /v1/agent/service/register`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AgentServiceRegistration {
    /// Unique on the agent; the name when empty.
    #[serde(rename = "ID", alias = "id", alias = "Id", skip_serializing_if = "String::is_empty")]
    #[serde(deserialize_with = "null_as_default")]
    pub id: String,
    /// The service's name, shared by its instances.
    #[serde(alias = "name", deserialize_with = "null_as_default")]
    pub name: String,
    /// Free labels, in the order given.
    #[serde(alias = "tags", deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The port, 0 when the service has none.
    #[serde(alias = "port", deserialize_with = "port", skip_serializing_if = "is_zero")]
    pub port: u16,
    /// The address; the node's when empty.
    #[serde(
        alias = "address",
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub address: String,
    /// Named addresses such as `lan` and `wan`.
    #[serde(alias = "tagged_addresses", deserialize_with = "null_as_default")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tagged_addresses: BTreeMap<String, TaggedAddress>,
    /// Free key-value pairs. Consul bounds them: 64 pairs, keys 128 bytes, values 512 bytes.
    #[serde(
        alias = "meta",
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub meta: BTreeMap<String, String>,
    /// Shares of traffic; 1 and 1 when absent.
    #[serde(alias = "weights", skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// Whether other agents may change the tags.
    #[serde(alias = "enable_tag_override", deserialize_with = "null_as_default")]
    #[serde(skip_serializing_if = "is_false")]
    pub enable_tag_override: bool,
    /// One check. Together with `checks`, not instead of them.
    #[serde(alias = "check", skip_serializing_if = "Option::is_none")]
    pub check: Option<AgentCheckDefinition>,
    /// More checks.
    #[serde(alias = "checks", deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<AgentCheckDefinition>,
}

/// The shares of traffic of an instance that passes, and of one that warns. Each 0..=65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Weights {
    /// Share while passing; Consul refuses less than 1.
    #[serde(alias = "passing", deserialize_with = "weight")]
    pub passing: u16,
    /// Share while warning; 0 takes the instance out.
    #[serde(alias = "warning", deserialize_with = "weight")]
    pub warning: u16,
}

impl Default for Weights {
    fn default() -> Self {
        Self { passing: 1, warning: 1 }
    }
}

/// A check, inside a service registration or on its own in `PUT /v1/agent/check/register`.
/// Exactly one of `http`, `tcp` and `ttl` should be set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AgentCheckDefinition {
    /// Unique on the agent, in a check registered on its own.
    #[serde(rename = "ID", alias = "id", alias = "Id", skip_serializing_if = "String::is_empty")]
    #[serde(deserialize_with = "null_as_default")]
    pub id: String,
    /// Unique on the agent, in a check inside a service; `service:<id>` or `service:<id>:<n>` when empty.
    #[serde(rename = "CheckID", alias = "check_id", alias = "checkid", alias = "CheckId")]
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub check_id: String,
    /// For humans; required in a check registered on its own.
    #[serde(alias = "name", deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// For humans.
    #[serde(alias = "notes", deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// The service a check registered on its own belongs to; the node when empty.
    #[serde(rename = "ServiceID", alias = "service_id", alias = "serviceid", alias = "ServiceId")]
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub service_id: String,
    /// Status until the first result; critical when absent.
    #[serde(
        alias = "status",
        deserialize_with = "status::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub status: Option<CheckStatus>,
    /// URL to request: 2xx passes, 429 warns, all else is critical.
    #[serde(rename = "HTTP", alias = "http", alias = "Http", skip_serializing_if = "String::is_empty")]
    #[serde(deserialize_with = "null_as_default")]
    pub http: String,
    /// Method of the HTTP check; `GET` when empty.
    #[serde(
        alias = "method",
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub method: String,
    /// Headers of the HTTP check, each with its values.
    #[serde(alias = "header", deserialize_with = "null_as_default")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub header: BTreeMap<String, Vec<String>>,
    /// Body of the HTTP check.
    #[serde(alias = "body", deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// `host:port` to connect to.
    #[serde(rename = "TCP", alias = "tcp", alias = "Tcp", skip_serializing_if = "String::is_empty")]
    #[serde(deserialize_with = "null_as_default")]
    pub tcp: String,
    /// The service itself must report at least this often.
    #[serde(rename = "TTL", alias = "ttl", alias = "Ttl", skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "duration::optional")]
    pub ttl: Option<GoDuration>,
    /// Time between two tries of an HTTP or TCP check; Consul's least is 1 s.
    #[serde(alias = "interval", deserialize_with = "duration::optional")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<GoDuration>,
    /// Longest wait for one try; 10 s when absent.
    #[serde(alias = "timeout", deserialize_with = "duration::optional")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<GoDuration>,
    /// Remove the service once this check has been critical for so long; Consul's least is 1 min.
    #[serde(alias = "deregister_critical_service_after", deserialize_with = "duration::optional")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deregister_critical_service_after: Option<GoDuration>,
    /// Do not verify the certificate of an HTTPS check.
    #[serde(rename = "TLSSkipVerify", alias = "tls_skip_verify", alias = "TlsSkipVerify")]
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_false")]
    pub tls_skip_verify: bool,
    /// Passes in a row before the status turns to passing.
    #[serde(alias = "success_before_passing", deserialize_with = "null_as_default")]
    #[serde(skip_serializing_if = "is_zero")]
    pub success_before_passing: u16,
    /// Failures in a row before the status turns to warning.
    #[serde(alias = "failures_before_warning", deserialize_with = "null_as_default")]
    #[serde(skip_serializing_if = "is_zero")]
    pub failures_before_warning: u16,
    /// Failures in a row before the status turns to critical.
    #[serde(alias = "failures_before_critical", deserialize_with = "null_as_default")]
    #[serde(skip_serializing_if = "is_zero")]
    pub failures_before_critical: u16,
}

/// Body of `PUT /v1/agent/check/update/<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CheckUpdate {
    /// The new status; `None` is refused by the agent.
    #[serde(alias = "status", deserialize_with = "status::optional")]
    pub status: Option<CheckStatus>,
    /// What the check printed; cut by the agent at 4 KiB.
    #[serde(alias = "output", deserialize_with = "null_as_default")]
    pub output: String,
}

/// One service as the agent lists it: `GET /v1/agent/services` (by id) and `GET /v1/agent/service/<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AgentService {
    /// Unique on the agent.
    #[serde(rename = "ID")]
    pub id: String,
    /// The service's name.
    pub service: String,
    /// Free labels.
    #[serde(deserialize_with = "null_as_default")]
    pub tags: Vec<String>,
    /// Free key-value pairs.
    #[serde(deserialize_with = "null_as_default")]
    pub meta: BTreeMap<String, String>,
    /// The port, 0 when none.
    #[serde(deserialize_with = "port")]
    pub port: u16,
    /// The address as registered; may be empty.
    #[serde(deserialize_with = "null_as_default")]
    pub address: String,
    /// Named addresses.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub tagged_addresses: BTreeMap<String, TaggedAddress>,
    /// Shares of traffic.
    #[serde(deserialize_with = "null_as_default")]
    pub weights: Weights,
    /// Whether other agents may change the tags.
    pub enable_tag_override: bool,
    /// Changes whenever the definition does; only in `GET /v1/agent/service/<id>`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub content_hash: String,
    /// The agent's datacenter.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub datacenter: String,
}
