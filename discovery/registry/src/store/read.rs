//! What a reader may ask, the index of the answer, and the answer itself.
//! Both come from one look at the store, so an index never belongs to another answer.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_consul_wire::{
    AgentService, CatalogNode, CatalogService, CheckStatus, HealthCheck, HealthService, HealthServiceEntry,
    KvPair,
};

use serde::Serialize;

use super::Store;
use super::services::ServiceRecord;

/// Which instances a reader wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only instances with all of these tags; letter case does not count, as in Consul.
    pub tags: Vec<String>,
    /// Only instances of which every check passes.
    pub passing: bool,
}

/// One question that can be asked again until its answer changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// Instances of a service with their checks.
    HealthService(String, Filter),
    /// Checks of a service.
    HealthChecks(String),
    /// Checks of a node.
    HealthNode(String),
    /// Checks in a state; `None` is any.
    HealthState(Option<CheckStatus>),
    /// Names of services with their tags.
    CatalogServices,
    /// Instances of a service.
    CatalogService(String, Filter),
    /// The nodes.
    CatalogNodes,
    /// One key.
    Key(String),
    /// The pairs under a prefix.
    Tree(String),
    /// The keys under a prefix, cut after the separator if there is one.
    Keys {
        /// The prefix.
        prefix: String,
        /// Cut keys after its first occurrence behind the prefix.
        separator: String,
    },
}

/// An answer. Its JSON is that of what it holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum View {
    /// Instances with their checks.
    Entries(Vec<HealthServiceEntry>),
    /// Checks.
    Checks(Vec<HealthCheck>),
    /// Names with tags.
    Names(BTreeMap<String, BTreeSet<String>>),
    /// Instances.
    Services(Vec<CatalogService>),
    /// Nodes.
    Nodes(Vec<CatalogNode>),
    /// Pairs of the key-value store; empty when there is nothing under the key or the prefix.
    Pairs(Vec<KvPair>),
    /// Keys.
    Keys(Vec<String>),
}

impl Store {
    /// The index of the answer to `query`. Cheap; never 0.
    #[must_use]
    pub fn index_of(&self, query: &Query) -> u64 {
        match query {
            Query::HealthService(name, _) | Query::HealthChecks(name) => self.indexes.service(name),
            Query::CatalogService(name, _) => self.indexes.instances(name),
            Query::HealthNode(_) | Query::HealthState(_) => self.indexes.checks(),
            Query::CatalogServices => self.indexes.services(),
            Query::CatalogNodes => self.indexes.node(),
            Query::Key(key) => {
                self.kv.pairs.get(key).map_or_else(|| self.indexes.kv(), |pair| pair.modify_index)
            }
            Query::Tree(prefix) | Query::Keys { prefix, .. } if prefix.is_empty() => self.indexes.kv(),
            Query::Tree(prefix) | Query::Keys { prefix, .. } => {
                self.kv.newest_under(prefix).unwrap_or_else(|| self.indexes.kv())
            }
        }
    }

    /// Whether the answer is "there is no such key" or "no such service". While it stays so, writes to others wake
    /// nobody.
    #[must_use]
    pub fn is_absent(&self, query: &Query) -> bool {
        match query {
            Query::Key(key) => !self.kv.pairs.contains_key(key),
            Query::Tree(prefix) | Query::Keys { prefix, .. } => self.kv.under(prefix).next().is_none(),
            Query::HealthService(name, _) | Query::CatalogService(name, _) => !self.indexes.exists(name),
            Query::HealthChecks(_)
            | Query::HealthNode(_)
            | Query::HealthState(_)
            | Query::CatalogServices
            | Query::CatalogNodes => false,
        }
    }

    /// The answer to `query`.
    #[must_use]
    pub fn view(&self, query: &Query) -> View {
        match query {
            Query::HealthService(name, filter) => View::Entries(self.entries(name, filter)),
            Query::HealthChecks(name) => View::Checks(self.checks_where(|check| check.service_name == *name)),
            Query::HealthNode(node) => View::Checks(self.checks_where(|check| check.node == *node)),
            Query::HealthState(state) => {
                View::Checks(self.checks_where(|check| state.is_none_or(|state| check.status == state)))
            }
            Query::CatalogServices => View::Names(self.names()),
            Query::CatalogService(name, filter) => View::Services(self.catalog_services(name, filter)),
            Query::CatalogNodes => View::Nodes(vec![self.node.catalog()]),
            Query::Key(key) => View::Pairs(self.kv.pairs.get(key).cloned().into_iter().collect()),
            Query::Tree(prefix) => View::Pairs(self.kv.under(prefix).cloned().collect()),
            Query::Keys { prefix, separator } => View::Keys(self.keys(prefix, separator)),
        }
    }

    fn entries(&self, name: &str, filter: &Filter) -> Vec<HealthServiceEntry> {
        self.instances(name, filter)
            .map(|record| HealthServiceEntry {
                node: self.node.catalog(),
                service: record.shown.clone(),
                checks: self
                    .checks_where(|check| check.service_id.is_empty() || check.service_id == record.shown.id),
            })
            .filter(|entry| {
                !filter.passing || entry.checks.iter().all(|check| check.status == CheckStatus::Passing)
            })
            .collect()
    }

    fn instances<'s>(&'s self, name: &'s str, filter: &'s Filter) -> impl Iterator<Item = &'s ServiceRecord> {
        self.services
            .values()
            .filter(move |record| record.shown.service == name)
            .filter(move |record| filter.tags.iter().all(|tag| has_tag(&record.shown, tag)))
    }

    fn checks_where(&self, wanted: impl Fn(&HealthCheck) -> bool) -> Vec<HealthCheck> {
        self.checks.values().map(|record| &record.shown).filter(|check| wanted(check)).cloned().collect()
    }

    fn names(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for record in self.services.values() {
            names.entry(record.shown.service.clone()).or_default().extend(record.shown.tags.iter().cloned());
        }
        names
    }

    fn catalog_services(&self, name: &str, filter: &Filter) -> Vec<CatalogService> {
        let node = self.node.catalog();
        self.instances(name, filter)
            .map(|record| {
                let shown = record.shown.clone();
                CatalogService {
                    id: node.id.clone(),
                    node: node.node.clone(),
                    address: node.address.clone(),
                    datacenter: node.datacenter.clone(),
                    tagged_addresses: node.tagged_addresses.clone(),
                    node_meta: node.meta.clone(),
                    service_kind: String::new(),
                    service_id: shown.id,
                    service_name: shown.service,
                    service_tags: shown.tags,
                    service_address: shown.address,
                    service_tagged_addresses: shown.tagged_addresses,
                    service_weights: shown.weights,
                    service_meta: shown.meta,
                    service_port: shown.port,
                    service_enable_tag_override: shown.enable_tag_override,
                    create_index: shown.create_index,
                    modify_index: shown.modify_index,
                }
            })
            .collect()
    }

    fn keys(&self, prefix: &str, separator: &str) -> Vec<String> {
        let mut keys: Vec<String> = self
            .kv
            .under(prefix)
            .map(|pair| {
                let rest = pair.key.get(prefix.len()..).unwrap_or_default();
                match rest.find(separator).filter(|_| !separator.is_empty()) {
                    Some(at) => format!("{prefix}{}{separator}", rest.get(..at).unwrap_or_default()),
                    None => pair.key.clone(),
                }
            })
            .collect();
        keys.dedup();
        keys
    }

    /// The services as the agent lists them, by id.
    #[must_use]
    pub fn agent_services(&self) -> BTreeMap<String, AgentService> {
        self.services.keys().filter_map(|id| Some((id.clone(), self.agent_service(id)?))).collect()
    }

    /// One service as the agent lists it.
    #[must_use]
    pub fn agent_service(&self, id: &str) -> Option<AgentService> {
        let shown = self.services.get(id)?.shown.clone();
        Some(AgentService {
            id: shown.id,
            service: shown.service,
            tags: shown.tags,
            meta: shown.meta,
            port: shown.port,
            address: shown.address,
            tagged_addresses: shown.tagged_addresses,
            weights: shown.weights,
            enable_tag_override: shown.enable_tag_override,
            content_hash: String::new(),
            datacenter: self.node.datacenter.clone(),
        })
    }

    /// The checks as the agent lists them, by id.
    #[must_use]
    pub fn agent_checks(&self) -> BTreeMap<String, HealthCheck> {
        self.checks
            .iter()
            .filter(|(_, record)| record.on_agent)
            .map(|(id, record)| {
                // An agent does not know the catalog's indexes.
                let shown = HealthCheck { create_index: 0, modify_index: 0, ..record.shown.clone() };
                (id.clone(), shown)
            })
            .collect()
    }
}

fn has_tag(service: &HealthService, tag: &str) -> bool {
    let tag = tag.to_lowercase();
    service.tags.iter().any(|own| own.to_lowercase() == tag)
}
