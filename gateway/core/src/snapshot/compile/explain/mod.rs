//! A route's settings with where each came from, and its gates.
//!
//! Decides only whose a value is. The merge is the one that compiles routes, what nobody wrote is read from the
//! compiled route: there is no second opinion here on what holds.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use portcullis_schema::{
    At, Document, Entry, Loaded, Name, PolicyKeys, Route, Sources, Span, Timeout, Written, outline,
};

use super::layers::{Layered, Layers};
use super::report::Report;
use crate::snapshot::in_force::{SECTIONS, destinations, in_force, times_in_force};
use crate::snapshot::{Destination, Gate, Route as CompiledRoute, Snapshot};

/// A route as it works, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Its name.
    pub route: Arc<str>,
    /// Where it was written.
    pub at: Span,
    /// Its settings, in the order of the language.
    pub settings: Vec<Explained>,
    /// Every gate in the order in which a request meets them, and whether the route has it.
    pub gates: Vec<(Gate, bool)>,
}

/// One value and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The keys that lead to it, such as `retry.backoff.base`.
    pub key: String,
    /// Towards which upstream, where that makes a difference.
    pub upstream: Option<Arc<str>>,
    /// As it was written, with secrets masked; a default as it would be written.
    pub value: String,
    /// Who said so.
    pub origin: Origin,
    /// Where it was written; a default was written nowhere.
    pub at: Option<Span>,
}

/// Who said what a value is. Of two the later one wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody: the default of Portcullis.
    Portcullis,
    /// `defaults`.
    Defaults,
    /// The upstream of this name, about its own times.
    Upstream(Arc<str>),
    /// The policy of this name.
    Policy(Arc<str>),
    /// The route itself.
    Route,
}

impl Origin {
    /// The word for its kind.
    #[must_use]
    pub const fn source(&self) -> &'static str {
        match self {
            Self::Portcullis => "default",
            Self::Defaults => "defaults",
            Self::Upstream(_) => "upstream",
            Self::Policy(_) => "policy",
            Self::Route => "route",
        }
    }

    /// Which one of its kind, where there may be several.
    #[must_use]
    pub const fn name(&self) -> Option<&Arc<str>> {
        match self {
            Self::Upstream(name) | Self::Policy(name) => Some(name),
            Self::Portcullis | Self::Defaults | Self::Route => None,
        }
    }
}

/// The word, and the name behind it.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.source())?;
        self.name().map_or(Ok(()), |name| write!(f, " {name}"))
    }
}

/// What one layer says, and who that is.
type Layer = (Origin, Arc<Vec<Written>>);

/// Explains the route called `name` of a document that compiled to `snapshot`; `None` if there is no such route.
#[must_use]
pub fn explain(loaded: &Loaded, snapshot: &Snapshot, name: &str) -> Option<Explanation> {
    let (name, entry) = loaded.document.routes.get_key_value(name)?;
    let compiled = snapshot.route(name.as_str())?;
    Some(Explainer::of(loaded, snapshot).route(name, entry, compiled))
}

/// Explains every route of a document that compiled to `snapshot`, by name. What routes share is looked at once.
pub fn explain_all<'l>(loaded: &'l Loaded, snapshot: &'l Snapshot) -> impl Iterator<Item = Explanation> + 'l {
    let mut explainer = Explainer::of(loaded, snapshot);
    let compiled: BTreeMap<&str, &CompiledRoute> =
        snapshot.router.iter().map(|(name, route)| (&**name, &**route)).collect();
    loaded
        .document
        .routes
        .iter()
        .filter_map(move |(name, entry)| Some(explainer.route(name, entry, compiled.get(name.as_str())?)))
}

/// Looks at the routes of one document.
struct Explainer<'l> {
    loaded: &'l Loaded,
    snapshot: &'l Snapshot,
    merged: Layers<'l>,
    /// What `defaults` says, once it was looked at.
    defaults: Option<Arc<Vec<Written>>>,
    /// What the policies say that were looked at.
    policies: BTreeMap<&'l str, Arc<Vec<Written>>>,
}

impl<'l> Explainer<'l> {
    fn of(loaded: &'l Loaded, snapshot: &'l Snapshot) -> Self {
        let merged = Layers::new(&loaded.document);
        Self { loaded, snapshot, merged, defaults: None, policies: BTreeMap::new() }
    }

    fn route(&mut self, name: &Name, entry: &'l Entry<Route>, compiled: &CompiledRoute) -> Explanation {
        let Loaded { document, sources, .. } = self.loaded;
        let layered = self.merged.of(&entry.value, &mut Report::default());
        let layers = self.layers(&entry.value);

        let merged = Route { policy: layered.keys.clone(), tests: None, ..entry.value.clone() };
        let mut settings: Vec<Explained> = outline(&At::new(merged, entry.at), sources)
            .into_iter()
            .filter(|written| section(&written.key) != "timeout")
            .map(|written| whose(written, &layers))
            .collect();
        settings.extend(times(document, &layered, &destinations(compiled), &layers, sources));
        let in_force = in_force(compiled);
        let order: Vec<String> = in_force.iter().map(|(key, _)| key.clone()).collect();
        add_defaults(&mut settings, in_force);
        settings.sort_by_cached_key(|setting| rank(&setting.key, &order));
        Explanation {
            route: name.shared(),
            at: entry.at,
            settings,
            gates: Gate::ORDER.iter().map(|gate| (*gate, gate.is_on(self.snapshot, compiled))).collect(),
        }
    }

    /// The layers of a route, the lowest first.
    fn layers(&mut self, route: &'l Route) -> Vec<Layer> {
        let Loaded { document, sources, .. } = self.loaded;
        let mut layers = Vec::new();
        if let Some(defaults) = &document.defaults {
            let written = self.defaults.get_or_insert_with(|| Arc::new(outline(defaults, sources)));
            layers.push((Origin::Defaults, Arc::clone(written)));
        }
        for name in route.uses.iter().flatten() {
            if let Some(policy) = document.policies.get(name.value.as_str()) {
                let written = self.policies.entry(name.value.as_str());
                let written = written.or_insert_with(|| Arc::new(outline(&policy.value, sources)));
                layers.push((Origin::Policy(name.value.shared()), Arc::clone(written)));
            }
        }
        layers.push((Origin::Route, Arc::new(outline(route, sources))));
        layers
    }
}

/// The topmost layer that has the value at this place: an alias may stand for one value in two layers.
fn whose(written: Written, layers: &[Layer]) -> Explained {
    let has = |layer: &[Written]| layer.iter().any(|one| one.key == written.key && one.at == written.at);
    let layer = layers.iter().rev().find(|(_, layer)| has(layer));
    let origin = layer.map_or(Origin::Route, |(origin, _)| origin.clone());
    let Written { key, value, at } = written;
    Explained { key, upstream: None, value, origin, at: Some(at) }
}

/// The times, once for all upstreams if they are the same towards each.
fn times(
    document: &Document,
    layered: &Layered,
    destinations: &[&Destination],
    layers: &[Layer],
    sources: &Sources,
) -> Vec<Explained> {
    let mut each: Vec<Vec<Explained>> = destinations
        .iter()
        .map(|destination| times_towards(document, layered, destination, layers, sources))
        .collect();
    let are_same = each.windows(2).all(|pair| pair.first() == pair.last());
    if are_same {
        return each.pop().unwrap_or_default();
    }
    for (times, destination) in each.iter_mut().zip(destinations) {
        times.iter_mut().for_each(|time| time.upstream = Some(Arc::clone(&destination.upstream.name)));
    }
    each.into_iter().flatten().collect()
}

fn times_towards(
    document: &Document,
    layered: &Layered,
    destination: &Destination,
    layers: &[Layer],
    sources: &Sources,
) -> Vec<Explained> {
    let name = &destination.upstream.name;
    let own = document.upstreams.get(&**name).and_then(|entry| entry.value.timeout.as_ref());
    let own = own.map(|timeout| &timeout.value);
    let mut layers = layers.to_vec();
    if let Some(own) = own {
        let above_defaults = layers.iter().take_while(|(origin, _)| *origin == Origin::Defaults).count();
        let own = Arc::new(outline_times(own, sources));
        layers.insert(above_defaults, (Origin::Upstream(Arc::clone(name)), own));
    }
    let merged = layered.timeout(document, own);
    let mut times: Vec<Explained> =
        outline_times(&merged, sources).into_iter().map(|written| whose(written, &layers)).collect();
    let in_force = times_in_force(&destination.timeouts);
    let order: Vec<String> = in_force.iter().map(|(key, _)| key.clone()).collect();
    add_defaults(&mut times, in_force);
    times.sort_by_cached_key(|time| rank(&time.key, &order));
    times
}

fn outline_times(timeout: &Timeout, sources: &Sources) -> Vec<Written> {
    let keys =
        PolicyKeys { timeout: Some(At::new(timeout.clone(), Span::default())), ..PolicyKeys::default() };
    let mut written = outline(&keys, sources);
    // An empty map of times sets none.
    written.retain(|written| written.key != "timeout");
    written
}

/// Adds what is in force and was not written.
fn add_defaults(settings: &mut Vec<Explained>, in_force: Vec<(String, String)>) {
    for (key, value) in in_force {
        if !settings.iter().any(|setting| setting.key == key) {
            settings.push(Explained { key, upstream: None, value, origin: Origin::Portcullis, at: None });
        }
    }
}

/// Where a key belongs: by its section, then by its item in a list, then as in `order`. What is left is in the
/// order it was found in: keys of the route itself in front, and in a section what has no default at the end.
fn rank(key: &str, order: &[String]) -> (Option<usize>, usize, usize) {
    let section_idx = SECTIONS.iter().position(|known| *known == section(key));
    let item = key.split('.').next().and_then(|item| item.strip_suffix(']')?.split('[').nth(1)?.parse().ok());
    let idx = order.iter().position(|known| known == key);
    (section_idx, item.unwrap_or_default(), idx.unwrap_or(usize::MAX))
}

/// The key of the language that a key begins with.
fn section(key: &str) -> &str {
    key.split(['.', '[']).next().unwrap_or(key)
}
