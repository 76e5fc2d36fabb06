//! What outlives a reload, and by what it is known again.
//!
//! Decides which moving parts a new snapshot takes over: an upstream's cell by name and source, a limit by the
//! layer it belongs to and its settings, a retry budget by upstreams and settings, a key set by where it comes from,
//! a token gate by all its settings. So a reload forgets no breaker, no bucket and no key. A candidate that is thrown
//! away has changed nothing: taking over shares a part or makes a new one, and never writes to the old.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_discovery_model::Freshness;
use portcullis_schema::Protocol;

use super::{Upstream, UpstreamSource};
use crate::auth::jwt::{JwksCell, JwksSource, JwtGate, JwtSettings, JwtSettingsError};
use crate::limit::{Limit, LimitSeed, LimitSettings};
use crate::retry::{RetryBudget, RetryPolicy, RetrySettings};
use crate::upstream::{CellSettings, UpstreamCell};

/// The moving parts of a snapshot, and what they are known by.
#[derive(Debug, Clone)]
pub struct Carried {
    generation: u64,
    limit_seed: LimitSeed,
    upstreams: BTreeMap<Arc<str>, Arc<Upstream>>,
    limits: BTreeMap<LimitOwner, Arc<Limit>>,
    retries: BTreeMap<Arc<str>, Vec<Retries>>,
    gates: Vec<Arc<JwtGate>>,
    jwks: Vec<Arc<JwksCell>>,
}

/// A retry policy and the budget it draws on.
type Retries = (Arc<RetryPolicy>, Arc<RetryBudget>);

/// Who counts together in a limit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LimitOwner {
    /// Every route that has it from this policy.
    Policy(Arc<str>),
    /// One route.
    Route(Arc<str>),
    /// One consumer, wherever it calls.
    Consumer(Arc<str>),
}

impl Carried {
    /// Nothing to carry: the first snapshot of a process. `limit_seed` keeps clients from choosing which keys of a
    /// limit fall together.
    #[must_use]
    pub const fn nothing(limit_seed: LimitSeed) -> Self {
        Self {
            generation: 0,
            limit_seed,
            upstreams: BTreeMap::new(),
            limits: BTreeMap::new(),
            retries: BTreeMap::new(),
            gates: Vec::new(),
            jwks: Vec::new(),
        }
    }

    /// The generation of the snapshot these parts belong to; 0 before the first.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The same parts for a snapshot that comes after `generation`: to go back to what an earlier one meant without
    /// counting backwards.
    #[must_use]
    pub fn after(&self, generation: u64) -> Self {
        Self { generation: self.generation.max(generation), ..self.clone() }
    }

    pub(super) fn limits(&self) -> Vec<Arc<Limit>> {
        self.limits.values().cloned().collect()
    }

    pub(super) fn jwks(&self) -> Vec<Arc<JwksCell>> {
        self.jwks.clone()
    }

    pub(super) fn gates(&self) -> &[Arc<JwtGate>] {
        &self.gates
    }
}

/// The moving parts of a snapshot under construction: its own first, then the old one's, then new ones.
#[derive(Debug)]
pub(super) struct Cells<'o> {
    old: &'o Carried,
    new: Carried,
}

impl<'o> Cells<'o> {
    pub(super) fn over(old: &'o Carried) -> Self {
        let new =
            Carried { generation: old.generation.saturating_add(1), ..Carried::nothing(old.limit_seed) };
        Self { old, new }
    }

    /// The parts that the finished snapshot hands on.
    pub(super) fn finish(self) -> Carried {
        self.new
    }

    /// An upstream. Unchanged it is the old one; with the same name and source it keeps the state of its endpoints.
    pub(super) fn upstream(
        &mut self,
        name: Arc<str>,
        source: UpstreamSource,
        protocol: Protocol,
        settings: CellSettings,
    ) -> Arc<Upstream> {
        let old = self.old.upstreams.get(&name).filter(|old| is_same_place(&old.source, &source));
        let upstream = match old {
            Some(old)
                if old.source == source && old.protocol == protocol && *old.cell.settings() == settings =>
            {
                Arc::clone(old)
            }
            Some(old) => {
                let cell = if old.source == source && *old.cell.settings() == settings {
                    Arc::clone(&old.cell)
                } else {
                    let cell = UpstreamCell::carry(&old.cell, settings);
                    fill(&cell, &source);
                    Arc::new(cell)
                };
                Arc::new(Upstream { name: Arc::clone(&name), source, protocol, cell })
            }
            None => {
                let cell = UpstreamCell::new(settings);
                fill(&cell, &source);
                Arc::new(Upstream { name: Arc::clone(&name), source, protocol, cell: Arc::new(cell) })
            }
        };
        self.new.upstreams.insert(name, Arc::clone(&upstream));
        upstream
    }

    /// A limit; its counts go on if nothing about it changed.
    pub(super) fn limit(&mut self, owner: LimitOwner, settings: LimitSettings) -> Arc<Limit> {
        let is_same = |limit: &&Arc<Limit>| *limit.settings() == settings;
        let known = self
            .new
            .limits
            .get(&owner)
            .filter(is_same)
            .or_else(|| self.old.limits.get(&owner).filter(is_same));
        let limit = match known {
            Some(known) => Arc::clone(known),
            None => Arc::new(Limit::new(settings, self.old.limit_seed)),
        };
        self.new.limits.insert(owner, Arc::clone(&limit));
        limit
    }

    /// The retry policy of the routes that go to `upstreams`. Those with equal budgets share one, so that a second
    /// route is no second allowance.
    pub(super) fn retry(&mut self, upstreams: &str, settings: RetrySettings) -> Arc<RetryPolicy> {
        let new = self.new.retries.get(upstreams).into_iter().flatten();
        let old = self.old.retries.get(upstreams).into_iter().flatten();
        let mut known = new.chain(old);
        let same = known.clone().find(|(policy, _)| *policy.settings() == settings);
        let kept = match same {
            Some(same) => same.clone(),
            None => {
                let sharer = known.find(|(policy, _)| policy.settings().budget == settings.budget);
                let budget = match sharer {
                    Some((_, budget)) => Arc::clone(budget),
                    None => Arc::new(RetryBudget::new(settings.budget)),
                };
                (Arc::new(RetryPolicy::with_budget(settings, Arc::clone(&budget))), budget)
            }
        };
        let policy = Arc::clone(&kept.0);
        let ours = self.new.retries.entry(upstreams.into()).or_default();
        if !ours.iter().any(|(known, _)| Arc::ptr_eq(known, &policy)) {
            ours.push(kept);
        }
        policy
    }

    /// A token gate on the keys of `source`; with equal settings it keeps its hot tokens.
    pub(super) fn jwt_gate(
        &mut self,
        settings: JwtSettings,
        source: JwksSource,
    ) -> Result<Arc<JwtGate>, JwtSettingsError> {
        let is_same = |gate: &&Arc<JwtGate>| *gate.settings() == settings && *gate.keys().source() == source;
        if let Some(known) = self.new.gates.iter().find(is_same) {
            return Ok(Arc::clone(known));
        }
        let gate = match self.old.gates.iter().find(is_same) {
            Some(old) => {
                self.keep_keys(old.keys());
                Arc::clone(old)
            }
            None => Arc::new(JwtGate::new(settings, self.key_cell(source))?),
        };
        self.new.gates.push(Arc::clone(&gate));
        Ok(gate)
    }

    fn key_cell(&mut self, source: JwksSource) -> Arc<JwksCell> {
        let known = self.new.jwks.iter().chain(&self.old.jwks).find(|cell| *cell.source() == source);
        let cell = known.map_or_else(|| Arc::new(JwksCell::new(source)), Arc::clone);
        self.keep_keys(&cell);
        cell
    }

    fn keep_keys(&mut self, cell: &Arc<JwksCell>) {
        if !self.new.jwks.iter().any(|known| known.source() == cell.source()) {
            self.new.jwks.push(Arc::clone(cell));
        }
    }
}

/// Whether endpoints of the one may be endpoints of the other: the same service, or any two lists of addresses.
fn is_same_place(old: &UpstreamSource, new: &UpstreamSource) -> bool {
    match (old, new) {
        (UpstreamSource::Hosts(_), UpstreamSource::Hosts(_)) => true,
        (UpstreamSource::Service { .. }, UpstreamSource::Service { .. }) => old == new,
        (UpstreamSource::Hosts(_), UpstreamSource::Service { .. })
        | (UpstreamSource::Service { .. }, UpstreamSource::Hosts(_)) => false,
    }
}

/// Fixed addresses are known from the start; a service's come with the first answer of its watch.
fn fill(cell: &UpstreamCell, source: &UpstreamSource) {
    match source {
        UpstreamSource::Hosts(set) => cell.replace(set, Freshness::Live),
        UpstreamSource::Service { .. } => {}
    }
}
