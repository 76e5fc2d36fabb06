//! Routes, first pass: read, with the names they refer to.
//!
//! Two passes, because an upstream's cell is made with the breakers of all routes that use it; `finishing` is the second.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_schema as schema;
use portcullis_schema::{At, Code, Document, Span};

use super::conditions::ConditionPool;
use super::doors;
use super::filters::FilterPool;
use super::fingerprint;
use super::gates;
use super::layers::{Layered, Layers};
use super::report::Report;
use super::resilience::{self, AnswerDraft, FallbackDraft};
use super::upstreams::Upstreams;
use crate::auth::ApiKeys;
use crate::auth::{ApiKeyGate, JwtGate};
use crate::breaker::BreakerSettings;
use crate::chain::Chain;
use crate::limit::{Limit, LimitBy, LimitSettings};
use crate::retry::RetrySettings;
use crate::router::{Conditions, HostPattern, PathPattern};
use crate::snapshot::carry::{Cells, LimitOwner};
use crate::snapshot::rewrite::BadRewrite;
use crate::snapshot::{HeaderEdits, Rewrite, Timeouts};
use crate::upstream::BreakerIdx;

/// Largest request body unless the document says otherwise.
const BODY_BYTES_DEFAULT: u64 = 2 * 1024 * 1024;

/// What reading routes needs and fills.
pub(super) struct Workshop<'d, 'o> {
    pub(super) document: &'d Document,
    pub(super) layers: Layers<'d>,
    pub(super) upstreams: Upstreams<'d>,
    pub(super) conditions: ConditionPool,
    pub(super) filters: FilterPool<'d>,
    pub(super) cells: Cells<'o>,
    pub(super) api_keys: Arc<ApiKeys>,
    pub(super) report: Report,
    parts: BTreeMap<usize, (Arc<Layered>, Arc<Parts>)>,
}

/// The settings of a route that do not depend on where it goes; shared by routes with the same layers.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) jwt: Option<Arc<JwtGate>>,
    pub(super) api_key: Option<Arc<ApiKeyGate>>,
    pub(super) limit: Option<LimitSettings>,
    pub(super) retry: Option<RetrySettings>,
    pub(super) failed_statuses: Arc<[u16]>,
    pub(super) breaker: Option<At<BreakerSettings>>,
    pub(super) fallbacks: Vec<FallbackDraft>,
    pub(super) request_headers: Arc<HeaderEdits>,
    pub(super) response_headers: Arc<HeaderEdits>,
    pub(super) body_bytes_max: Option<u64>,
    pub(super) chain: Arc<Chain>,
    pub(super) fingerprint: u64,
}

impl Parts {
    /// Everything that has a meaning, without the places it was written at.
    fn print(&self) -> u64 {
        let jwt = self.jwt.as_ref().map(|gate| (gate.settings(), gate.keys().source()));
        let gates = (jwt, self.api_key.as_ref().map(|gate| gate.header()), &self.limit);
        let failure =
            (&self.retry, &self.failed_statuses, self.breaker.as_ref().map(|at| &at.value), &self.fallbacks);
        let edits = (&self.request_headers, &self.response_headers, self.body_bytes_max, self.fingerprint);
        fingerprint::of(&(gates, failure, edits))
    }
}

/// A route whose upstreams are still names.
#[derive(Debug)]
pub(super) struct RouteDraft {
    pub(super) name: Arc<str>,
    pub(super) hosts: Vec<HostPattern>,
    pub(super) path: PathPattern,
    pub(super) conditions: Conditions,
    pub(super) priority: i32,
    pub(super) rewrite: Option<Rewrite>,
    pub(super) limit: Option<Arc<Limit>>,
    pub(super) parts: Arc<Parts>,
    pub(super) targets: Vec<(u32, DestinationDraft)>,
    pub(super) fallbacks: Vec<Option<DestinationDraft>>,
}

/// A destination whose upstream is still a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct DestinationDraft {
    pub(super) upstream: Arc<str>,
    pub(super) breaker: Option<BreakerIdx>,
    pub(super) timeouts: Timeouts,
}

impl<'d, 'o> Workshop<'d, 'o> {
    pub(super) fn new(
        document: &'d Document,
        catalog: &'d portcullis_plugin_sdk::Catalog,
        cells: Cells<'o>,
        mut report: Report,
    ) -> Self {
        let api_keys = gates::api_keys(document, &mut report);
        Self {
            document,
            layers: Layers::new(document),
            upstreams: Upstreams::new(document),
            conditions: ConditionPool::default(),
            filters: FilterPool::new(catalog),
            cells,
            api_keys,
            report,
            parts: BTreeMap::new(),
        }
    }

    /// Reads one route; `None` if it cannot be built, for reasons that are reported. Reads on after a mistake, so
    /// that one hides no other.
    pub(super) fn read(&mut self, name: &'d schema::Name, route: &'d schema::Route) -> Option<RouteDraft> {
        let layered = self.layers.of(route, &mut self.report);
        let parts = self.parts(&layered);
        let limit = self.limit(name, &layered, &parts);
        let hosts = self.conditions.hosts(route, &mut self.report);
        let path = self.conditions.path(route, &mut self.report);
        let listeners = self.listeners(route);
        let conditions = self.conditions.conditions(route, &mut self.report);
        let targets = self.targets(route, &layered, &parts);
        let fallbacks = self.fallback_destinations(&layered, &parts);
        let path = path?;
        let rewrite = match &route.rewrite {
            Some(rewrite) => self.rewrite(rewrite, &path)?,
            None => None,
        };
        Some(RouteDraft {
            name: name.shared(),
            hosts,
            conditions: Conditions { listeners, ..conditions? },
            priority: route.priority.as_ref().map_or(0, |priority| priority.value),
            rewrite,
            limit,
            parts,
            targets: targets?,
            fallbacks,
            path,
        })
    }

    /// The listeners a route is served on; a name that is none of them is reported.
    fn listeners(&mut self, route: &schema::Route) -> Option<Arc<[Arc<str>]>> {
        let listed = route.listeners.as_ref()?;
        if let ([], Some(path)) = (listed.as_slice(), &route.path) {
            let help = Some("name a listener, or leave `listeners` out to be served on all".to_owned());
            let message = "`listeners` is empty, so the route is served nowhere";
            self.report.say(Code::OutOfRange, path.at, message, "served nowhere", help);
        }
        let mut known: Vec<&str> = self.document.listeners.keys().map(schema::Name::as_str).collect();
        if known.is_empty() {
            known.push(doors::LISTENER_DEFAULT);
        }
        let mut names: Vec<Arc<str>> = Vec::new();
        for name in listed {
            if known.contains(&name.value.as_str()) {
                names.push(name.value.shared());
            } else {
                let known = known.iter().copied();
                self.report.unknown(Code::UnknownListener, name.at, "listener", name.value.as_str(), known);
            }
        }
        names.sort_unstable();
        names.dedup();
        Some(names.into())
    }

    fn parts(&mut self, layered: &Arc<Layered>) -> Arc<Parts> {
        let address = Arc::as_ptr(layered) as usize;
        if let Some((_, known)) = self.parts.get(&address) {
            return Arc::clone(known);
        }
        let parts = Arc::new(self.fresh_parts(layered));
        // the layers are kept alive with the parts, so no other can come to have their address
        self.parts.insert(address, (Arc::clone(layered), Arc::clone(&parts)));
        parts
    }

    fn fresh_parts(&mut self, layered: &Layered) -> Parts {
        let keys = &layered.keys;
        let report = &mut self.report;
        let retry = gates::on(&keys.retry);
        let fallbacks = gates::on(&keys.fallback).map(|fallback| fallback.value.0).unwrap_or_default();
        let limit_name = layered.limit_layer.clone().unwrap_or_default();
        let (chain, chain_print) =
            self.filters.chain(keys.plugins.as_ref().map_or(&[][..], |plugins| &plugins.value), report);
        let mut parts = Parts {
            jwt: gates::on(&keys.jwt).and_then(|jwt| gates::jwt_gate(&jwt, &mut self.cells, report)),
            api_key: gates::on(&keys.api_key).map(|key| gates::api_key_gate(&key.value, &self.api_keys)),
            limit: gates::on(&keys.rate_limit)
                .and_then(|limit| gates::limit_settings(&limit, limit_name, LimitBy::Ip, report)),
            failed_statuses: resilience::failed_statuses(retry.as_ref().map(|retry| &retry.value)).into(),
            retry: retry.and_then(|retry| resilience::retry(&retry, report)),
            breaker: gates::on(&keys.circuit_breaker).and_then(|breaker| {
                resilience::breaker(&breaker, report).map(|settings| At::new(settings, breaker.at))
            }),
            fallbacks: resilience::fallbacks(&fallbacks, &mut self.upstreams, &mut self.conditions, report),
            request_headers: self.filters.edits(keys.request_headers.as_ref(), report),
            response_headers: self.filters.edits(keys.response_headers.as_ref(), report),
            body_bytes_max: match &keys.max_body {
                Some(setting) => setting.value.on().map(|size| size.0),
                None => Some(BODY_BYTES_DEFAULT),
            },
            chain,
            fingerprint: chain_print,
        };
        parts.fingerprint = parts.print();
        parts
    }

    /// The limit of a route. One that a policy sets is counted for all its routes together, unless it counts by route.
    fn limit(&mut self, name: &schema::Name, layered: &Layered, parts: &Parts) -> Option<Arc<Limit>> {
        let settings = parts.limit.clone()?;
        Some(match &layered.limit_layer {
            Some(layer) if settings.by != LimitBy::Route => {
                self.cells.limit(LimitOwner::Policy(Arc::clone(layer)), settings)
            }
            Some(_) => self.cells.limit(LimitOwner::Route(name.shared()), settings),
            None => {
                let settings = LimitSettings { name: name.shared(), ..settings };
                self.cells.limit(LimitOwner::Route(name.shared()), settings)
            }
        })
    }

    fn targets(
        &mut self,
        route: &schema::Route,
        layered: &Layered,
        parts: &Parts,
    ) -> Option<Vec<(u32, DestinationDraft)>> {
        if let Some(to) = &route.to {
            let name = self.upstreams.resolve(&to.value, to.at, &mut self.report)?;
            return Some(vec![(1, self.destination(name, layered, parts))]);
        }
        let weights = route.weights.as_ref()?;
        let mut targets = Vec::new();
        for (target, entry) in &weights.value.0 {
            let name = self.upstreams.resolve(target, entry.at, &mut self.report);
            if let Some(name) = name {
                targets.push((entry.value.value, self.destination(name, layered, parts)));
            }
        }
        let is_complete = targets.len() == weights.value.0.len();
        // weights that add up to nothing have been reported by the schema
        let goes_somewhere = targets.iter().any(|(weight, _)| *weight > 0);
        (is_complete && goes_somewhere).then_some(targets)
    }

    fn destination(&mut self, upstream: Arc<str>, layered: &Layered, parts: &Parts) -> DestinationDraft {
        let breaker = parts.breaker.as_ref().and_then(|breaker| {
            self.upstreams.breaker(&upstream, &breaker.value, breaker.at, &mut self.report)
        });
        let timeout = layered.timeout(self.document, self.upstreams.timeout(&upstream));
        DestinationDraft { breaker, timeouts: resilience::timeouts(&timeout), upstream }
    }

    /// Where each fallback goes; `None` for a fixed answer.
    fn fallback_destinations(&mut self, layered: &Layered, parts: &Parts) -> Vec<Option<DestinationDraft>> {
        let destinations = parts.fallbacks.iter().map(|fallback| match &fallback.answer {
            AnswerDraft::Upstream(name) => Some(self.destination(Arc::clone(name), layered, parts)),
            AnswerDraft::Fixed { .. } => None,
        });
        destinations.collect()
    }

    /// The rewrite of a route; the outer `None` means that it is reported.
    fn rewrite(&mut self, rewrite: &At<schema::Rewrite>, path: &PathPattern) -> Option<Option<Rewrite>> {
        let schema::Rewrite { strip_prefix, add_prefix, path: to } = &rewrite.value;
        let text = |part: &Option<At<String>>| part.as_ref().map(|part| part.value.clone());
        let (at, compiled): (Span, _) = match (to, strip_prefix.as_ref().or(add_prefix.as_ref())) {
            (Some(to), _) => (to.at, Rewrite::path(&to.value, path)),
            (None, Some(part)) => {
                (part.at, Rewrite::prefix(text(strip_prefix).as_deref(), text(add_prefix).as_deref(), path))
            }
            (None, None) => return Some(None),
        };
        match compiled {
            Ok(compiled) => Some(Some(compiled)),
            Err(why) => {
                self.report_rewrite(at, &why, path);
                None
            }
        }
    }

    fn report_rewrite(&mut self, at: Span, why: &BadRewrite, path: &PathPattern) {
        let (code, help) = match why {
            BadRewrite::NotAPath(text) if !text.starts_with('/') => return, // the schema has said so
            BadRewrite::NotAPath(_) => (Code::BadPath, None),
            BadRewrite::NotThePrefix(_) => {
                let help = "a prefix is taken away in whole segments, as they are written in `path`";
                (Code::BadCombination, Some(help.to_owned()))
            }
            BadRewrite::UnknownParam(name) => {
                let names = path.param_names().map(|name| &**name);
                let near = schema::nearest(name, names).map(|near| format!("did you mean `{{{near}}}`?"));
                (Code::UnknownParameter, near)
            }
            BadRewrite::NoTail => {
                (Code::UnknownParameter, Some("end the route's `path` in `/**`".to_owned()))
            }
        };
        self.report.say(code, at, format!("`rewrite`: {why}"), "cannot be done", help);
    }
}
