//! The one node of this registry.
//! It never changes while the registry runs.

use std::collections::BTreeMap;

use portcullis_consul_wire::CatalogNode;

use crate::index::FIRST_INDEX;

/// The one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// UUID in text form.
    pub id: String,
    /// Name, unique in a datacenter.
    pub name: String,
    /// IP address that instances without one inherit.
    pub address: String,
    /// Name of the datacenter.
    pub datacenter: String,
}

impl Node {
    pub(crate) fn catalog(&self) -> CatalogNode {
        let family = if self.address.contains(':') { "ipv6" } else { "ipv4" };
        let names = ["lan".to_owned(), format!("lan_{family}"), "wan".to_owned(), format!("wan_{family}")];
        CatalogNode {
            id: self.id.clone(),
            node: self.name.clone(),
            address: self.address.clone(),
            datacenter: self.datacenter.clone(),
            tagged_addresses: names.into_iter().map(|name| (name, self.address.clone())).collect(),
            meta: BTreeMap::from([("consul-network-segment".to_owned(), String::new())]),
            create_index: FIRST_INDEX,
            modify_index: FIRST_INDEX,
        }
    }
}
