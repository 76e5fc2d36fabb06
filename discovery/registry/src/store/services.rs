//! Service instances: registration, deregistration, reaping.
//! It decides what a registration means for the checks that were there before.

use std::net::IpAddr;
use std::time::Duration;

use portcullis_consul_wire::{
    AgentCheckDefinition, AgentServiceRegistration, CheckStatus, HealthService, TaggedAddress,
};

use super::checks::reserved;
use super::refusal::Refusal;
use super::{Store, validate};
use crate::limits::{CHECKS_MAX, SERVICES_MAX};

/// One instance.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ServiceRecord {
    pub(super) shown: HealthService,
}

impl Store {
    pub(super) fn register_service(
        &mut self,
        registration: AgentServiceRegistration,
        replace_existing_checks: bool,
        now: Duration,
    ) -> Result<(), Refusal> {
        validate::registration(&registration)?;
        let id = if registration.id.is_empty() { registration.name.clone() } else { registration.id.clone() };
        let definitions = named_checks(&registration, &id)?;
        if !self.services.contains_key(&id) && self.services.len() >= SERVICES_MAX {
            return Err(Refusal::full("services", SERVICES_MAX));
        }
        let new_checks =
            definitions.iter().filter(|(check_id, ..)| !self.checks.contains_key(check_id)).count();
        if self.checks.len() + new_checks > CHECKS_MAX {
            return Err(Refusal::full("checks", CHECKS_MAX));
        }
        self.insert_service(shown(registration, id.clone()));
        if replace_existing_checks {
            let stale: Vec<String> = self
                .checks
                .values()
                .filter(|record| record.shown.service_id == id && !reserved(record.id()))
                .map(|record| record.id().to_owned())
                .filter(|check_id| !definitions.iter().any(|(named, ..)| named == check_id))
                .collect();
            stale.iter().for_each(|check_id| self.remove_check(check_id));
        }
        for (check_id, name, definition) in definitions {
            let record = self.record(&definition, check_id, name, &id, now);
            self.insert_check(record);
        }
        Ok(())
    }

    fn insert_service(&mut self, mut new: HealthService) {
        let old = self.services.get(&new.id).map(|record| record.shown.clone());
        new.create_index = old.as_ref().map_or(self.indexes.next(), |old| old.create_index);
        new.modify_index = old.as_ref().map_or(0, |old| old.modify_index);
        if old.as_ref() == Some(&new) {
            return;
        }
        let id = new.id.clone();
        let renamed = old.map(|old| old.service).filter(|name| *name != new.service);
        new.modify_index = self.indexes.next();
        self.indexes.touch_service(&new.service);
        self.relabel_checks(&new);
        self.services.insert(id, ServiceRecord { shown: new });
        if let Some(name) = renamed {
            self.left(&name);
        }
    }

    /// Checks repeat the name and the tags of their service.
    fn relabel_checks(&mut self, service: &HealthService) {
        let index = self.indexes.next();
        let mut any = false;
        for record in self.checks.values_mut().filter(|record| record.shown.service_id == service.id) {
            let shown = &mut record.shown;
            if shown.service_name != service.service || shown.service_tags != service.tags {
                shown.service_name.clone_from(&service.service);
                shown.service_tags.clone_from(&service.tags);
                shown.modify_index = index;
                any = true;
            }
        }
        if any {
            self.indexes.touch_checks(std::iter::once(service.service.as_str()));
        }
    }

    pub(super) fn deregister_service(&mut self, id: &str) -> Result<(), Refusal> {
        if !self.services.contains_key(id) {
            return Err(Refusal::unknown_service(id));
        }
        self.remove_service(id);
        Ok(())
    }

    fn remove_service(&mut self, id: &str) {
        let Some(record) = self.services.remove(id) else { return };
        let n_before = self.checks.len();
        self.checks.retain(|_, check| check.shown.service_id != id);
        if self.checks.len() < n_before {
            self.indexes.touch_checks(std::iter::empty());
        }
        self.left(&record.shown.service);
    }

    /// An instance of `name` has left; perhaps the last one.
    fn left(&mut self, name: &str) {
        if self.services.values().any(|record| record.shown.service == name) {
            self.indexes.touch_service(name);
        } else {
            self.indexes.extinct(name);
        }
    }

    /// Removes services whose check has been critical for longer than it allows; returns their ids.
    pub(super) fn reap(&mut self, now: Duration) -> Vec<String> {
        let mut ids: Vec<String> = self
            .checks
            .values()
            .filter(|record| {
                record.shown.status == CheckStatus::Critical && !record.shown.service_id.is_empty()
            })
            .filter(|record| match (record.critical_since, record.deregister_after) {
                (Some(since), Some(after)) => now.saturating_sub(since) > after,
                (None, _) | (_, None) => false,
            })
            .map(|record| record.shown.service_id.clone())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids.iter().for_each(|id| self.remove_service(id));
        ids
    }
}

/// Each check of a registration with its id and its name, in Consul's way of naming them.
fn named_checks(
    registration: &AgentServiceRegistration,
    id: &str,
) -> Result<Vec<(String, String, AgentCheckDefinition)>, Refusal> {
    let definitions: Vec<&AgentCheckDefinition> = validate::checks_of(registration).collect();
    let many = definitions.len() > 1;
    let mut named: Vec<(String, String, AgentCheckDefinition)> = Vec::with_capacity(definitions.len());
    for (position, definition) in definitions.into_iter().enumerate() {
        let check_id = match (definition.check_id.as_str(), many) {
            ("", false) => format!("service:{id}"),
            ("", true) => format!("service:{id}:{}", position + 1),
            (given, _) => given.to_owned(),
        };
        if reserved(&check_id) {
            return Err(Refusal::request(format!("Invalid check: {check_id:?} is reserved")));
        }
        let name = if definition.name.is_empty() {
            format!("Service '{}' check", registration.name)
        } else {
            definition.name.clone()
        };
        named.push((check_id, name, definition.clone()));
    }
    Ok(named)
}

fn shown(registration: AgentServiceRegistration, id: String) -> HealthService {
    let mut tagged_addresses = registration.tagged_addresses;
    if let Ok(ip) = registration.address.parse::<IpAddr>() {
        let family = if ip.is_ipv4() { "ipv4" } else { "ipv6" };
        for net in ["lan", "wan"] {
            let own = TaggedAddress { address: registration.address.clone(), port: registration.port };
            tagged_addresses.entry(format!("{net}_{family}")).or_insert(own);
        }
    }
    HealthService {
        id,
        service: registration.name,
        tags: registration.tags,
        address: registration.address,
        tagged_addresses,
        meta: registration.meta,
        port: registration.port,
        weights: registration.weights.unwrap_or_default(),
        enable_tag_override: registration.enable_tag_override,
        create_index: 0,
        modify_index: 0,
    }
}
