//! Routes, second pass: built once every upstream is known.
//!
//! Routes that treat their requests alike share what says how.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::fingerprint;
use super::resilience::{AnswerDraft, FallbackDraft};
use super::routes::{DestinationDraft, Parts, RouteDraft};
use crate::chain::Hook;
use crate::limit::{Limit, LimitBy};
use crate::router::RouteSpec;
use crate::snapshot::carry::Cells;
use crate::snapshot::{
    Destination, Fallback, FallbackAnswer, Route, RouteSettings, Target, Upstream, WeightedDestination,
};

/// Builds routes from their drafts.
pub(super) struct Finishing<'a, 'o> {
    upstreams: &'a BTreeMap<Arc<str>, Arc<Upstream>>,
    cells: &'a mut Cells<'o>,
    /// What was built for a draft, and so for each that is like it.
    settings: HashMap<Likeness, (Arc<Parts>, Arc<RouteSettings>)>,
}

/// What of a draft decides its settings. Parts and limits are told apart by their address: both are kept alive by what
/// is found under it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Likeness {
    parts: usize,
    limit: Option<usize>,
    targets: Vec<(u32, DestinationDraft)>,
    fallbacks: Vec<Option<DestinationDraft>>,
}

impl<'a, 'o> Finishing<'a, 'o> {
    pub(super) fn new(upstreams: &'a BTreeMap<Arc<str>, Arc<Upstream>>, cells: &'a mut Cells<'o>) -> Self {
        Self { upstreams, cells, settings: HashMap::new() }
    }

    /// The finished route, as the router takes it.
    pub(super) fn route(&mut self, idx: u32, draft: RouteDraft) -> Option<RouteSpec<Arc<Route>>> {
        let RouteDraft { name, hosts, path, conditions, priority, rewrite, limit, parts, targets, fallbacks } =
            draft;
        let shape = (&hosts, &path, &conditions, priority, &rewrite);
        let fingerprint = fingerprint::of(&(shape, parts.fingerprint, &targets));
        let answers_preflight = parts.chain.wants(Hook::Preflight);
        let likeness = Likeness {
            parts: Arc::as_ptr(&parts) as usize,
            limit: limit.as_ref().map(|limit| Arc::as_ptr(limit) as usize),
            targets,
            fallbacks,
        };
        let settings = self.settings(likeness, parts, limit)?;
        let rewrite = rewrite.map(Box::new);
        let route = Route { name: Arc::clone(&name), idx, settings, rewrite, fingerprint };
        Some(RouteSpec { name, hosts, path, conditions, priority, answers_preflight, value: Arc::new(route) })
    }

    fn settings(
        &mut self,
        likeness: Likeness,
        parts: Arc<Parts>,
        limit: Option<Arc<Limit>>,
    ) -> Option<Arc<RouteSettings>> {
        if let Some((_, known)) = self.settings.get(&likeness) {
            return Some(Arc::clone(known));
        }
        let fresh = Arc::new(self.fresh_settings(&likeness, &parts, limit)?);
        self.settings.insert(likeness, (parts, Arc::clone(&fresh)));
        Some(fresh)
    }

    fn fresh_settings(
        &mut self,
        likeness: &Likeness,
        parts: &Parts,
        limit: Option<Arc<Limit>>,
    ) -> Option<RouteSettings> {
        let Likeness { targets, fallbacks, .. } = likeness;
        let retry = parts.retry.as_ref().map(|settings| {
            let names: Vec<&str> = targets.iter().map(|(_, target)| &*target.upstream).collect();
            self.cells.retry(&names.join(" "), settings.clone())
        });
        let fallbacks = parts.fallbacks.iter().zip(fallbacks);
        let fallbacks = fallbacks.map(|(draft, destination)| self.fallback(draft, destination.as_ref()));
        Some(RouteSettings {
            target: self.target(targets)?,
            jwt: parts.jwt.clone(),
            api_key: parts.api_key.clone(),
            limit_is_by_consumer: parts.limit.as_ref().is_some_and(|limit| limit.by == LimitBy::Consumer),
            limit,
            retry,
            failed_statuses: Arc::clone(&parts.failed_statuses),
            fallbacks: fallbacks.collect::<Option<_>>()?,
            request_headers: Arc::clone(&parts.request_headers),
            response_headers: Arc::clone(&parts.response_headers),
            body_bytes_max: parts.body_bytes_max,
            chain: Arc::clone(&parts.chain),
        })
    }

    fn target(&self, targets: &[(u32, DestinationDraft)]) -> Option<Target> {
        let mut items = Vec::with_capacity(targets.len());
        let mut total = 0_u64;
        for (weight, draft) in targets.iter().filter(|(weight, _)| *weight > 0) {
            total += u64::from(*weight);
            items.push(WeightedDestination { cumulative: total, destination: self.destination(draft)? });
        }
        if items.len() == 1 {
            return items.pop().map(|item| Target::One(item.destination));
        }
        Some(Target::Weighted { total, items: items.into() })
    }

    fn destination(&self, draft: &DestinationDraft) -> Option<Destination> {
        let DestinationDraft { upstream, breaker, timeouts } = draft;
        let upstream = Arc::clone(self.upstreams.get(upstream)?);
        Some(Destination { upstream, breaker: *breaker, timeouts: *timeouts })
    }

    fn fallback(&self, draft: &FallbackDraft, to: Option<&DestinationDraft>) -> Option<Fallback> {
        let answer = match (&draft.answer, to) {
            (AnswerDraft::Upstream(_), Some(to)) => FallbackAnswer::Upstream(self.destination(to)?),
            (AnswerDraft::Upstream(_), None) => return None,
            (AnswerDraft::Fixed { status, content_type, body }, _) => FallbackAnswer::Fixed {
                status: *status,
                content_type: content_type.clone(),
                body: body.clone(),
            },
        };
        Some(Fallback { kinds: draft.kinds, methods: draft.methods.clone(), answer })
    }
}
