//! What the registry knows, and how one command changes it.
//! Pure: `apply(command, now)` takes the time and returns what changed; it opens no socket and reads no clock.
//!
//! A refused command changes nothing. A command that leaves everything as it was moves no index, so a service that
//! registers itself again every few seconds wakes nobody.

mod checks;
mod kv;
mod node;
mod probe;
mod read;
mod refusal;
mod services;
mod validate;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use portcullis_consul_wire::{AgentCheckDefinition, AgentServiceRegistration, CheckStatus};

pub use self::kv::{KvCondition, KvWrite};
pub use self::node::Node;
pub use self::probe::{Probe, TryJob, TryResult};
pub use self::read::{Filter, Query, View};
pub use self::refusal::{Blame, Refusal};

use self::checks::CheckRecord;
use self::kv::KvStore;
use self::services::ServiceRecord;
use crate::index::Indexes;

/// One change somebody asks for.
#[derive(Debug, Clone)]
pub enum Command {
    /// Register a service or replace the one with the same id.
    RegisterService {
        /// What it says of itself.
        registration: Box<AgentServiceRegistration>,
        /// Drop checks of the service that the registration does not name.
        replace_existing_checks: bool,
    },
    /// Remove a service and its checks.
    DeregisterService {
        /// Id of the service.
        id: String,
    },
    /// Put a service into maintenance.
    EnableMaintenance {
        /// Id of the service.
        id: String,
        /// For humans; a default text when empty.
        reason: String,
    },
    /// Take a service out of maintenance.
    DisableMaintenance {
        /// Id of the service.
        id: String,
    },
    /// Register a check of its own.
    RegisterCheck {
        /// The check.
        definition: Box<AgentCheckDefinition>,
    },
    /// Remove a check.
    DeregisterCheck {
        /// Id of the check.
        id: String,
    },
    /// A service reports its own state to its TTL check.
    Report {
        /// Id of the check.
        id: String,
        /// The new status.
        status: CheckStatus,
        /// What it says; cut at [`crate::limits::CHECK_OUTPUT_BYTES_MAX`].
        output: String,
    },
    /// Start the tries that are due.
    StartTries {
        /// At most so many.
        max: usize,
    },
    /// A try has ended.
    FinishTry {
        /// The check.
        id: String,
        /// The generation of the check the try was started for; a try of a replaced check is ignored.
        generation: u64,
        /// How it ended.
        result: TryResult,
    },
    /// Let TTL checks expire.
    Expire,
    /// Deregister services whose check has been critical for too long.
    Reap,
    /// Write a key.
    Put(KvWrite),
    /// Delete a key.
    DeleteKey {
        /// The key.
        key: String,
        /// Only if its index is this one.
        condition: KvCondition,
    },
    /// Delete every key under a prefix.
    DeleteTree {
        /// The prefix; empty deletes all.
        prefix: String,
    },
}

/// What a command changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The newest index after the command, if the command moved it.
    pub index: Option<u64>,
    /// `false` only when a conditional write found another index.
    pub done: bool,
    /// Tries to make now.
    pub tries: Vec<TryJob>,
    /// Whether the next deadline may have moved.
    pub rescheduled: bool,
    /// Ids of services removed by [`Command::Reap`].
    pub reaped: Vec<String>,
}

/// Everything the registry knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Store {
    node: Node,
    services: BTreeMap<String, ServiceRecord>,
    checks: BTreeMap<String, CheckRecord>,
    kv: KvStore,
    indexes: Indexes,
    generations: u64,
}

impl Store {
    /// An empty store of this node.
    #[must_use]
    pub fn new(node: Node) -> Self {
        let alive = CheckRecord::node_alive(&node, crate::index::FIRST_INDEX);
        Self {
            node,
            services: BTreeMap::new(),
            checks: BTreeMap::from([(alive.id().to_owned(), alive)]),
            kv: KvStore::default(),
            indexes: Indexes::default(),
            generations: 0,
        }
    }

    /// Applies one command at `now`, the time since the registry started.
    ///
    /// # Errors
    /// [`Refusal`] says what is wrong with the command; the store is as it was.
    pub fn apply(&mut self, command: Command, now: Duration) -> Result<Changes, Refusal> {
        let before = self.indexes.last();
        let mut changes = Changes { done: true, ..Changes::default() };
        match command {
            Command::RegisterService { registration, replace_existing_checks } => {
                self.register_service(*registration, replace_existing_checks, now)?;
                changes.rescheduled = true;
            }
            Command::DeregisterService { id } => self.deregister_service(&id)?,
            Command::EnableMaintenance { id, reason } => self.enable_maintenance(&id, reason, now)?,
            Command::DisableMaintenance { id } => self.disable_maintenance(&id)?,
            Command::RegisterCheck { definition } => {
                self.register_check(*definition, now)?;
                changes.rescheduled = true;
            }
            Command::DeregisterCheck { id } => self.deregister_check(&id)?,
            Command::Report { id, status, output } => {
                self.report(&id, status, output, now)?;
                changes.rescheduled = true;
            }
            Command::StartTries { max } => changes.tries = self.start_tries(max, now),
            Command::FinishTry { id, generation, result } => {
                self.finish_try(&id, generation, result, now);
                changes.rescheduled = true;
            }
            Command::Expire => self.expire(now),
            Command::Reap => changes.reaped = self.reap(now),
            Command::Put(write) => changes.done = self.put(write)?,
            Command::DeleteKey { key, condition } => changes.done = self.delete_key(&key, condition),
            Command::DeleteTree { prefix } => self.delete_tree(&prefix),
        }
        let after = self.indexes.last();
        changes.index = (after > before).then_some(after);
        Ok(changes)
    }

    /// The newest index.
    #[must_use]
    pub fn last_index(&self) -> u64 {
        self.indexes.last()
    }

    /// The node that answers.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }
}
