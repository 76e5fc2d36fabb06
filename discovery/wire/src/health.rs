//! Instances with their node and their checks, as `/v1/health` answers.
//! Shapes, and the one rule every reader shares: an instance is as healthy as its worst check.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::agent::Weights;
use crate::catalog::{CatalogNode, TaggedAddress};
use crate::lenient::{null_as_default, port};
use crate::status::{self, CheckStatus};

/// One instance in `GET /v1/health/service/<name>`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthServiceEntry {
    /// The node it runs on.
    #[serde(deserialize_with = "null_as_default")]
    pub node: CatalogNode,
    /// The instance.
    #[serde(deserialize_with = "null_as_default")]
    pub service: HealthService,
    /// Its own checks and its node's.
    #[serde(deserialize_with = "null_as_default")]
    pub checks: Vec<HealthCheck>,
}

impl HealthServiceEntry {
    /// The worst status of its checks, maintenance included; passing when it has none (as Consul decides).
    #[must_use]
    pub fn status(&self) -> CheckStatus {
        worst_status(&self.checks)
    }

    /// The address to connect to: the instance's, or the node's when it has none. May be a host name.
    #[must_use]
    pub fn effective_address(&self) -> &str {
        if self.service.address.is_empty() { &self.node.address } else { &self.service.address }
    }

    /// The weight that counts at this status: `Warning` while warning, else `Passing`.
    #[must_use]
    pub fn effective_weight(&self) -> u16 {
        match self.status() {
            CheckStatus::Warning => self.service.weights.warning,
            CheckStatus::Passing | CheckStatus::Critical | CheckStatus::Maintenance => {
                self.service.weights.passing
            }
        }
    }
}

/// The worst status of `checks`; passing when there are none. Consul's maintenance checks are known by their id.
#[must_use]
pub fn worst_status(checks: &[HealthCheck]) -> CheckStatus {
    let of = |check: &HealthCheck| {
        if check.check_id == "_node_maintenance" || check.check_id.starts_with("_service_maintenance:") {
            CheckStatus::Maintenance
        } else {
            check.status
        }
    };
    checks.iter().map(of).max().unwrap_or(CheckStatus::Passing)
}

/// The instance part of a health entry.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthService {
    /// Unique on the node.
    #[serde(rename = "ID")]
    pub id: String,
    /// Name of the service.
    pub service: String,
    /// Free labels.
    #[serde(deserialize_with = "null_as_default")]
    pub tags: Vec<String>,
    /// Address; the node's when empty.
    #[serde(deserialize_with = "null_as_default")]
    pub address: String,
    /// Named addresses.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub tagged_addresses: BTreeMap<String, TaggedAddress>,
    /// Free key-value pairs.
    #[serde(deserialize_with = "null_as_default")]
    pub meta: BTreeMap<String, String>,
    /// The port, 0 when none.
    #[serde(deserialize_with = "port")]
    pub port: u16,
    /// Shares of traffic.
    #[serde(deserialize_with = "null_as_default")]
    pub weights: Weights,
    /// Whether other agents may change the tags.
    pub enable_tag_override: bool,
    /// Index at which the instance was created.
    pub create_index: u64,
    /// Index at which the instance was last changed.
    pub modify_index: u64,
}

/// One check, in `/v1/health/…`, `/v1/agent/checks` and inside health entries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthCheck {
    /// Name of the node.
    #[serde(default)]
    pub node: String,
    /// Unique on the node.
    #[serde(rename = "CheckID", default)]
    pub check_id: String,
    /// For humans.
    #[serde(default, deserialize_with = "null_as_default")]
    pub name: String,
    /// The current status; unknown words read as critical.
    #[serde(default = "critical", deserialize_with = "status::lenient")]
    pub status: CheckStatus,
    /// For humans.
    #[serde(default, deserialize_with = "null_as_default")]
    pub notes: String,
    /// What the last try said.
    #[serde(default, deserialize_with = "null_as_default")]
    pub output: String,
    /// The service it belongs to; empty for a check of the node.
    #[serde(rename = "ServiceID", default, deserialize_with = "null_as_default")]
    pub service_id: String,
    /// Name of that service.
    #[serde(default, deserialize_with = "null_as_default")]
    pub service_name: String,
    /// Tags of that service.
    #[serde(default, deserialize_with = "null_as_default")]
    pub service_tags: Vec<String>,
    /// `http`, `tcp`, `ttl`, `maintenance`, or empty.
    #[serde(default, deserialize_with = "null_as_default")]
    pub r#type: String,
    /// In Go's form, empty when it has none. Text, because Consul leaves it empty for some kinds.
    #[serde(default, deserialize_with = "null_as_default")]
    pub interval: String,
    /// In Go's form, empty when it has none.
    #[serde(default, deserialize_with = "null_as_default")]
    pub timeout: String,
    /// Port opened for a mesh proxy; always 0 here.
    #[serde(default)]
    pub exposed_port: i64,
    /// The definition as Consul repeats it; `{}` for checks of an agent.
    #[serde(default)]
    pub definition: Value,
    /// Index at which the check was created.
    #[serde(default)]
    pub create_index: u64,
    /// Index at which the check was last changed.
    #[serde(default)]
    pub modify_index: u64,
}

impl Default for HealthCheck {
    /// Critical, because nothing is known of it yet.
    fn default() -> Self {
        Self {
            node: String::new(),
            check_id: String::new(),
            name: String::new(),
            status: CheckStatus::Critical,
            notes: String::new(),
            output: String::new(),
            service_id: String::new(),
            service_name: String::new(),
            service_tags: Vec::new(),
            r#type: String::new(),
            interval: String::new(),
            timeout: String::new(),
            exposed_port: 0,
            definition: Value::Object(serde_json::Map::new()),
            create_index: 0,
            modify_index: 0,
        }
    }
}

fn critical() -> CheckStatus {
    CheckStatus::Critical
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> HealthServiceEntry {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn null_lists_unknown_fields_and_odd_numbers_are_forgiven() {
        let entry = read(
            r#"{"Node":{"Node":"n1","Address":"10.0.0.1","TaggedAddresses":null,"Meta":null,"Locality":{"Region":"x"}},
                "Service":{"ID":"a","Service":"web","Tags":null,"Meta":null,"Port":99999,"Weights":null,"Connect":{}},
                "Checks":null,"Extra":1}"#,
        );
        assert_eq!(entry.service.port, 0);
        assert_eq!(entry.service.weights, Weights::default());
        assert_eq!(entry.status(), CheckStatus::Passing);
        assert_eq!(entry.effective_address(), "10.0.0.1");
    }

    #[test]
    fn the_worst_check_decides_and_warning_takes_its_own_weight() {
        let entry = read(
            r#"{"Node":{"Node":"n1","Address":"10.0.0.1"},
                "Service":{"ID":"a","Service":"web","Address":"10.0.0.2","Weights":{"Passing":10,"Warning":3}},
                "Checks":[{"CheckID":"a","Status":"passing"},{"CheckID":"b","Status":"warning"}]}"#,
        );
        assert_eq!(entry.status(), CheckStatus::Warning);
        assert_eq!(entry.effective_weight(), 3);
        assert_eq!(entry.effective_address(), "10.0.0.2");
    }

    #[test]
    fn an_unknown_status_is_critical_and_a_maintenance_check_is_maintenance() {
        let odd = read(r#"{"Checks":[{"CheckID":"a","Status":"sleepy"}]}"#);
        assert_eq!(odd.status(), CheckStatus::Critical);
        let kept = read(r#"{"Checks":[{"CheckID":"_service_maintenance:web","Status":"critical"}]}"#);
        assert_eq!(kept.status(), CheckStatus::Maintenance);
    }
}
