//! Checks: their registration, reports, tries, expiry and maintenance.
//! It decides statuses; it makes no request.

use std::time::Duration;

use portcullis_consul_wire::{AgentCheckDefinition, CheckStatus, HealthCheck};

use super::node::Node;
use super::probe::{Plan, TryJob, TryResult};
use super::refusal::Refusal;
use super::{Store, validate};
use crate::limits::{CHECK_OUTPUT_BYTES_MAX, CHECKS_MAX, DEREGISTER_AFTER_MIN};

const NODE_ALIVE_ID: &str = "serfHealth";
const MAINTENANCE_PREFIX: &str = "_service_maintenance:";
const MAINTENANCE_REASON: &str =
    "Maintenance mode is enabled for this service, but no reason was provided. This is a default message.";

/// Who moves a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mover {
    /// The service reports; silence until `expires` is critical.
    Ttl { ttl: Duration, expires: Option<Duration> },
    /// The registry tries.
    Tried(Plan),
    /// Nobody: maintenance, and the node's own check.
    Fixed,
}

/// One check with all that is known of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CheckRecord {
    pub(super) shown: HealthCheck,
    pub(super) mover: Mover,
    /// New with each registration, so that a late result of an old try is told apart.
    pub(super) generation: u64,
    pub(super) critical_since: Option<Duration>,
    pub(super) deregister_after: Option<Duration>,
    /// The node's own check is part of the catalog but not of the agent's list.
    pub(super) on_agent: bool,
}

impl CheckRecord {
    pub(super) fn id(&self) -> &str {
        &self.shown.check_id
    }

    /// The check every node has in Consul. Always passing: a registry that can answer is alive.
    pub(super) fn node_alive(node: &Node, index: u64) -> Self {
        Self {
            shown: HealthCheck {
                node: node.name.clone(),
                check_id: NODE_ALIVE_ID.to_owned(),
                name: "Serf Health Status".to_owned(),
                status: CheckStatus::Passing,
                output: "Agent alive and reachable".to_owned(),
                create_index: index,
                modify_index: index,
                ..HealthCheck::default()
            },
            mover: Mover::Fixed,
            generation: 0,
            critical_since: None,
            deregister_after: None,
            on_agent: false,
        }
    }

    /// Sets status and output; `true` when the status changed. The output alone moves no index: Consul too holds it
    /// back, because a check that prints the time would wake every watcher at every try.
    fn set(&mut self, status: CheckStatus, output: String, now: Duration) -> bool {
        self.shown.output = output;
        if status == self.shown.status {
            return false;
        }
        self.shown.status = status;
        self.critical_since = (status == CheckStatus::Critical).then_some(now);
        true
    }
}

impl Store {
    pub(super) fn register_check(
        &mut self,
        definition: AgentCheckDefinition,
        now: Duration,
    ) -> Result<(), Refusal> {
        if definition.name.is_empty() {
            return Err(Refusal::request("Missing check name"));
        }
        validate::check(&definition)?;
        let id = [&definition.id, &definition.check_id, &definition.name]
            .into_iter()
            .find(|id| !id.is_empty())
            .cloned()
            .unwrap_or_default();
        if reserved(&id) {
            return Err(Refusal::request(format!("Invalid check: {id:?} is reserved")));
        }
        let service = definition.service_id.clone();
        if !service.is_empty() && !self.services.contains_key(&service) {
            return Err(Refusal::missing(format!("ServiceID {service:?} does not exist")));
        }
        if !self.checks.contains_key(&id) && self.checks.len() >= CHECKS_MAX {
            return Err(Refusal::full("checks", CHECKS_MAX));
        }
        let name = definition.name.clone();
        let record = self.record(&definition, id, name, &service, now);
        self.insert_check(record);
        Ok(())
    }

    /// The record of a definition that was found valid. What was known of the check before is kept.
    pub(super) fn record(
        &mut self,
        definition: &AgentCheckDefinition,
        id: String,
        name: String,
        service_id: &str,
        now: Duration,
    ) -> CheckRecord {
        self.generations = self.generations.saturating_add(1);
        let text = |duration: Option<portcullis_consul_wire::GoDuration>| {
            duration
                .filter(|duration| !duration.0.is_zero())
                .map(|duration| duration.to_string())
                .unwrap_or_default()
        };
        let mut shown = HealthCheck {
            node: self.node.name.clone(),
            check_id: id.clone(),
            name,
            status: definition.status.unwrap_or(CheckStatus::Critical),
            notes: definition.notes.clone(),
            service_id: service_id.to_owned(),
            interval: text(definition.interval),
            timeout: text(definition.timeout),
            ..HealthCheck::default()
        };
        if let Some(service) = self.services.get(service_id) {
            shown.service_name = service.shown.service.clone();
            shown.service_tags = service.shown.tags.clone();
        }
        let mover = match Plan::of(definition, &id, now) {
            Some(plan) => {
                shown.r#type = if definition.http.is_empty() { "tcp" } else { "http" }.to_owned();
                Mover::Tried(plan)
            }
            None => {
                shown.r#type = "ttl".to_owned();
                let ttl = definition.ttl.map(|ttl| ttl.0).unwrap_or_default();
                Mover::Ttl { ttl, expires: Some(now.saturating_add(ttl)) }
            }
        };
        let before = self.checks.get(&id);
        if let Some(before) = before {
            shown.status = before.shown.status;
            shown.output = before.shown.output.clone();
        }
        let critical_since = (shown.status == CheckStatus::Critical)
            .then(|| before.and_then(|before| before.critical_since).unwrap_or(now));
        let deregister_after = definition
            .deregister_critical_service_after
            .map(|after| after.0)
            .filter(|after| !after.is_zero())
            .map(|after| after.max(DEREGISTER_AFTER_MIN));
        CheckRecord {
            shown,
            mover,
            generation: self.generations,
            critical_since,
            deregister_after,
            on_agent: true,
        }
    }

    /// Puts a record in place and moves the indexes if a reader could see the difference.
    pub(super) fn insert_check(&mut self, mut record: CheckRecord) {
        let id = record.id().to_owned();
        let old = self.checks.get(&id);
        let old_service = old.map(|old| old.shown.service_name.clone());
        record.shown.create_index = old.map_or(self.indexes.next(), |old| old.shown.create_index);
        record.shown.modify_index = old.map_or(0, |old| old.shown.modify_index);
        let same = old.is_some_and(|old| old.shown == record.shown);
        if !same {
            record.shown.modify_index = self.indexes.next();
            let mut touched = self.touched_by(&record.shown.service_name);
            touched.extend(old_service.into_iter().filter(|name| !name.is_empty()));
            self.indexes.touch_checks(touched.iter().map(String::as_str));
        }
        self.checks.insert(id, record);
    }

    pub(super) fn deregister_check(&mut self, id: &str) -> Result<(), Refusal> {
        match self.checks.get(id) {
            Some(record) if record.on_agent => {
                self.remove_check(id);
                Ok(())
            }
            Some(_) | None => Err(Refusal::unknown_check(id)),
        }
    }

    pub(super) fn remove_check(&mut self, id: &str) {
        if let Some(record) = self.checks.remove(id) {
            let touched = self.touched_by(&record.shown.service_name);
            self.indexes.touch_checks(touched.iter().map(String::as_str));
        }
    }

    pub(super) fn report(
        &mut self,
        id: &str,
        status: CheckStatus,
        output: String,
        now: Duration,
    ) -> Result<(), Refusal> {
        let record = self
            .checks
            .get_mut(id)
            .filter(|record| record.on_agent)
            .ok_or_else(|| Refusal::unknown_check(id))?;
        let Mover::Ttl { ttl, expires } = &mut record.mover else {
            return Err(Refusal::internal(format!("CheckID {id:?} does not have associated TTL")));
        };
        *expires = Some(now.saturating_add(*ttl));
        let changed = record.set(status, cut(output), now);
        self.after_change(id, changed);
        Ok(())
    }

    pub(super) fn start_tries(&mut self, max: usize, now: Duration) -> Vec<TryJob> {
        let mut jobs = Vec::new();
        for (id, record) in &mut self.checks {
            if jobs.len() >= max {
                break;
            }
            if let Mover::Tried(plan) = &mut record.mover
                && !plan.under_way
                && plan.due <= now
            {
                plan.under_way = true;
                jobs.push(TryJob {
                    id: id.clone(),
                    generation: record.generation,
                    probe: plan.probe.clone(),
                    timeout: plan.timeout,
                });
            }
        }
        jobs
    }

    pub(super) fn finish_try(&mut self, id: &str, generation: u64, result: TryResult, now: Duration) {
        let Some(record) = self.checks.get_mut(id).filter(|record| record.generation == generation) else {
            return;
        };
        let Mover::Tried(plan) = &mut record.mover else { return };
        let Some(status) = plan.settle(result.status, now) else { return };
        let changed = record.set(status, cut(result.output), now);
        self.after_change(id, changed);
    }

    pub(super) fn expire(&mut self, now: Duration) {
        let expired: Vec<String> = self
            .checks
            .iter()
            .filter(|(_, record)| matches!(record.mover, Mover::Ttl { expires: Some(at), .. } if at <= now))
            .map(|(id, _)| id.clone())
            .collect();
        for id in expired {
            let Some(record) = self.checks.get_mut(&id) else { continue };
            if let Mover::Ttl { expires, .. } = &mut record.mover {
                *expires = None;
            }
            let last = &record.shown.output;
            let output = if last.is_empty() {
                "TTL expired".to_owned()
            } else {
                format!("TTL expired (last output before timeout follows): {last}")
            };
            let changed = record.set(CheckStatus::Critical, cut(output), now);
            self.after_change(&id, changed);
        }
    }

    /// When something will be due: the earliest expiry or try that is not under way.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        self.checks
            .values()
            .filter_map(|record| match &record.mover {
                Mover::Ttl { expires, .. } => *expires,
                Mover::Tried(plan) => (!plan.under_way).then_some(plan.due),
                Mover::Fixed => None,
            })
            .min()
    }

    pub(super) fn enable_maintenance(
        &mut self,
        id: &str,
        reason: String,
        now: Duration,
    ) -> Result<(), Refusal> {
        let service = self.services.get(id).ok_or_else(|| Refusal::unknown_service(id))?;
        let check_id = maintenance_id(id);
        if self.checks.contains_key(&check_id) {
            return Ok(());
        }
        let shown = HealthCheck {
            node: self.node.name.clone(),
            check_id,
            name: "Service Maintenance Mode".to_owned(),
            status: CheckStatus::Critical,
            notes: if reason.is_empty() { MAINTENANCE_REASON.to_owned() } else { cut(reason) },
            service_id: id.to_owned(),
            service_name: service.shown.service.clone(),
            service_tags: service.shown.tags.clone(),
            r#type: "maintenance".to_owned(),
            ..HealthCheck::default()
        };
        self.insert_check(CheckRecord {
            shown,
            mover: Mover::Fixed,
            generation: 0,
            critical_since: Some(now),
            deregister_after: None,
            on_agent: true,
        });
        Ok(())
    }

    pub(super) fn disable_maintenance(&mut self, id: &str) -> Result<(), Refusal> {
        if !self.services.contains_key(id) {
            return Err(Refusal::unknown_service(id));
        }
        self.remove_check(&maintenance_id(id));
        Ok(())
    }

    fn after_change(&mut self, id: &str, changed: bool) {
        if !changed {
            return;
        }
        let index = self.indexes.next();
        let Some(record) = self.checks.get_mut(id) else { return };
        record.shown.modify_index = index;
        let name = record.shown.service_name.clone();
        let touched = self.touched_by(&name);
        self.indexes.touch_checks(touched.iter().map(String::as_str));
    }

    /// A check of a service touches that service; a check of the node touches them all.
    fn touched_by(&self, service_name: &str) -> Vec<String> {
        let mut names: Vec<String> = self
            .services
            .values()
            .map(|record| &record.shown.service)
            .filter(|name| service_name.is_empty() || *name == service_name)
            .cloned()
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

fn maintenance_id(service_id: &str) -> String {
    format!("{MAINTENANCE_PREFIX}{service_id}")
}

pub(super) fn reserved(id: &str) -> bool {
    id == NODE_ALIVE_ID || id.starts_with(MAINTENANCE_PREFIX)
}

/// Cuts at the bound without splitting a character.
fn cut(mut output: String) -> String {
    if output.len() > CHECK_OUTPUT_BYTES_MAX {
        let end = (0..=CHECK_OUTPUT_BYTES_MAX).rev().find(|at| output.is_char_boundary(*at)).unwrap_or(0);
        output.truncate(end);
    }
    output
}
