//! Nodes and services as the catalog lists them.
//! Shapes only: which instances are listed is decided by the registry that answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::agent::Weights;
use crate::lenient::{null_as_default, port};

/// One named address of a service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaggedAddress {
    /// Host name or IP address.
    #[serde(alias = "address")]
    pub address: String,
    /// Port.
    #[serde(alias = "port", deserialize_with = "port")]
    pub port: u16,
}

/// One node, in `GET /v1/catalog/nodes` and inside every health entry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CatalogNode {
    /// UUID of the node; may be empty.
    #[serde(rename = "ID", deserialize_with = "null_as_default")]
    pub id: String,
    /// Name of the node.
    pub node: String,
    /// IP address or host name.
    #[serde(deserialize_with = "null_as_default")]
    pub address: String,
    /// Datacenter of the node.
    #[serde(deserialize_with = "null_as_default")]
    pub datacenter: String,
    /// Named addresses, without ports.
    #[serde(deserialize_with = "null_as_default")]
    pub tagged_addresses: BTreeMap<String, String>,
    /// Free key-value pairs.
    #[serde(deserialize_with = "null_as_default")]
    pub meta: BTreeMap<String, String>,
    /// Index at which the node was created.
    pub create_index: u64,
    /// Index at which the node was last changed.
    pub modify_index: u64,
}

/// One instance in `GET /v1/catalog/service/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CatalogService {
    /// UUID of the node.
    #[serde(rename = "ID", deserialize_with = "null_as_default")]
    pub id: String,
    /// Name of the node.
    pub node: String,
    /// Address of the node.
    #[serde(deserialize_with = "null_as_default")]
    pub address: String,
    /// Datacenter of the node.
    #[serde(deserialize_with = "null_as_default")]
    pub datacenter: String,
    /// Named addresses of the node.
    #[serde(deserialize_with = "null_as_default")]
    pub tagged_addresses: BTreeMap<String, String>,
    /// Meta of the node.
    #[serde(deserialize_with = "null_as_default")]
    pub node_meta: BTreeMap<String, String>,
    /// Empty for a typical service.
    #[serde(deserialize_with = "null_as_default")]
    pub service_kind: String,
    /// Unique on the node.
    #[serde(rename = "ServiceID")]
    pub service_id: String,
    /// Name of the service.
    pub service_name: String,
    /// Free labels.
    #[serde(deserialize_with = "null_as_default")]
    pub service_tags: Vec<String>,
    /// Address of the service; the node's when empty.
    #[serde(deserialize_with = "null_as_default")]
    pub service_address: String,
    /// Named addresses of the service.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub service_tagged_addresses: BTreeMap<String, TaggedAddress>,
    /// Shares of traffic.
    #[serde(deserialize_with = "null_as_default")]
    pub service_weights: Weights,
    /// Free key-value pairs.
    #[serde(deserialize_with = "null_as_default")]
    pub service_meta: BTreeMap<String, String>,
    /// The port, 0 when none.
    #[serde(deserialize_with = "port")]
    pub service_port: u16,
    /// Whether other agents may change the tags.
    pub service_enable_tag_override: bool,
    /// Index at which the instance was created.
    pub create_index: u64,
    /// Index at which the instance was last changed.
    pub modify_index: u64,
}
