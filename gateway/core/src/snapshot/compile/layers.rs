//! The settings of a route, laid over each other: `defaults`, each policy in `use` from left to right, the route.
//!
//! Decides which policies a route has and which layer a limit belongs to. Routes with the same policies and no
//! settings of their own share one result, so ten thousand of them cost one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use portcullis_schema::{Code, Document, Merge, Name, PolicyKeys, Route, Timeout};

use super::report::Report;

/// The settings that hold for a route.
#[derive(Debug)]
pub(super) struct Layered {
    /// All layers merged.
    pub(super) keys: PolicyKeys,
    /// The times of all layers but `defaults`: they win over the upstream's own, `defaults` does not.
    pub(super) timeout_over: Option<Timeout>,
    /// The layer that set the rate limit last: who shares its counts. The route's own is `None`.
    pub(super) limit_layer: Option<Arc<str>>,
}

/// Merges layers and remembers what it merged.
#[derive(Debug)]
pub(super) struct Layers<'d> {
    document: &'d Document,
    by_uses: BTreeMap<Vec<&'d str>, Arc<Layered>>,
    used: BTreeSet<&'d str>,
}

/// The name of the lowest layer, where a limit may come from too.
const DEFAULTS: &str = "defaults";

impl<'d> Layers<'d> {
    pub(super) fn new(document: &'d Document) -> Self {
        Self { document, by_uses: BTreeMap::new(), used: BTreeSet::new() }
    }

    /// The settings of `route`; an unknown policy is reported and left out.
    pub(super) fn of(&mut self, route: &'d Route, report: &mut Report) -> Arc<Layered> {
        let mut uses = Vec::new();
        for name in route.uses.iter().flatten() {
            if self.document.policies.contains_key(name.value.as_str()) {
                self.used.insert(name.value.as_str());
                uses.push(name.value.as_str());
            } else {
                let known = self.document.policies.keys().map(Name::as_str);
                report.unknown(Code::UnknownPolicy, name.at, "policy", name.value.as_str(), known);
            }
        }
        let below = match self.by_uses.get(&uses) {
            Some(known) => Arc::clone(known),
            None => {
                let fresh = Arc::new(self.merge(&uses));
                self.by_uses.insert(uses, Arc::clone(&fresh));
                fresh
            }
        };
        if is_bare(&route.policy) { below } else { Arc::new(below.under(&route.policy)) }
    }

    fn merge(&self, uses: &[&str]) -> Layered {
        let defaults = self.document.defaults.as_ref().map(|defaults| defaults.value.clone());
        let mut layered = Layered {
            limit_layer: defaults.as_ref().and_then(|keys| keys.rate_limit.as_ref()).map(|_| DEFAULTS.into()),
            keys: defaults.unwrap_or_default(),
            timeout_over: None,
        };
        for name in uses {
            let Some(policy) = self.document.policies.get(*name) else { continue };
            layered = layered.under(&policy.value);
            if policy.value.rate_limit.is_some() {
                layered.limit_layer = Some((*name).into());
            }
        }
        layered
    }

    /// Warns of policies that no route uses.
    pub(super) fn report_unused(&self, report: &mut Report) {
        for (name, entry) in &self.document.policies {
            if !self.used.contains(name.as_str()) {
                let message = format!("policy `{name}` is used by no route");
                let help = Some(format!("name it in a route: `use: [{name}]`, or remove it"));
                report.say(Code::UnusedPolicy, entry.at, message, "unused", help);
            }
        }
    }
}

impl Layered {
    /// These settings with `over` laid on top.
    fn under(&self, over: &PolicyKeys) -> Self {
        let mut keys = self.keys.clone();
        keys.merge(over);
        let mut timeout_over = self.timeout_over.clone();
        if let Some(timeout) = &over.timeout {
            timeout_over.get_or_insert_default().merge(&timeout.value);
        }
        let limit_layer = if over.rate_limit.is_some() { None } else { self.limit_layer.clone() };
        Self { keys, timeout_over, limit_layer }
    }

    /// The times towards an upstream: `defaults`, then the upstream's own, then the other layers.
    pub(super) fn timeout(&self, document: &Document, upstream: Option<&Timeout>) -> Timeout {
        let defaults = document.defaults.as_ref().and_then(|defaults| defaults.timeout.as_ref());
        let mut merged = Timeout::default();
        let layers = [defaults.map(|timeout| &timeout.value), upstream, self.timeout_over.as_ref()];
        for layer in layers.into_iter().flatten() {
            merged.merge(layer);
        }
        merged
    }
}

/// Whether nothing is set.
fn is_bare(keys: &PolicyKeys) -> bool {
    let PolicyKeys {
        jwt,
        api_key,
        rate_limit,
        retry,
        circuit_breaker,
        fallback,
        timeout,
        max_body,
        request_headers,
        response_headers,
        plugins,
    } = keys;
    jwt.is_none()
        && api_key.is_none()
        && rate_limit.is_none()
        && retry.is_none()
        && circuit_breaker.is_none()
        && fallback.is_none()
        && timeout.is_none()
        && max_body.is_none()
        && request_headers.is_none()
        && response_headers.is_none()
        && plugins.is_none()
}
