//! Which route answers a request.
//!
//! Decides by host, then path, then conditions, then priority: the most specific route wins, whatever order the
//! document names them in. Never changes a request, never normalises a path (`core::head` did, once), never
//! knows what a route does: the value it carries is the caller's.

mod condition;
mod conflict;
mod explain;
mod host;
mod host_index;
mod literal;
mod pattern;
mod planting;
mod tree;

pub use condition::{Conditions, HeaderCondition, MethodSet, QueryCondition, ValueTest};
pub use conflict::Conflict;
pub use explain::{Mismatch, Verdict};
pub use host::{BadHost, HostPattern};
pub use pattern::{BadPattern, ParamKind, PathPattern, PatternPool, PatternRegex, Segment};

use std::sync::Arc;

use http::{HeaderMap, Method};
use smallvec::SmallVec;

pub(crate) use literal::normal_literal;

use host_index::{HostIndex, HostNames};
use planting::Planting;
use tree::{Forest, Search};

/// What is asked of the router: the parts of one request that can decide its route.
#[derive(Debug, Clone, Copy)]
pub struct RouteAsk<'a> {
    /// Listener the request came in on; `None` asks for routes of any listener.
    pub listener: Option<&'a str>,
    /// Host of the request: lower case, without port and without a trailing dot; empty if there was none.
    pub host: &'a str,
    /// Normalised path, beginning with `/`, without the query.
    pub path: &'a str,
    /// Request method.
    pub method: &'a Method,
    /// Request headers, as the client sent them.
    pub headers: &'a HeaderMap,
    /// Query without its `?`, as the client sent it.
    pub query: Option<&'a str>,
}

/// One route as the router is told of it; `value` is what [`Router::find`] hands back.
#[derive(Debug, Clone)]
pub struct RouteSpec<R> {
    /// Name in the document; breaks no tie, only makes order and messages stable.
    pub name: Arc<str>,
    /// Hosts it answers for; empty means any.
    pub hosts: Vec<HostPattern>,
    /// Path it answers for.
    pub path: PathPattern,
    /// Further conditions; each one makes the route more specific.
    pub conditions: Conditions,
    /// Settles routes that are otherwise equally specific; higher wins.
    pub priority: i32,
    /// Whether the route answers CORS preflights: an `OPTIONS` that asks for one of the route's methods then
    /// counts as that method, since a preflight for a route belongs to the route.
    pub answers_preflight: bool,
    /// What the route is to its owner.
    pub value: R,
}

/// The answer of the router.
#[derive(Debug)]
pub enum Found<'r, R> {
    /// This route.
    Route {
        /// The winner's value.
        route: &'r R,
        /// The winner's place among the routes that the router was built from.
        place: usize,
        /// Where its path parameters are in the asked path.
        params: Params,
    },
    /// Routes match but for the method: answer 405 with these in `Allow`.
    MethodNotAllowed {
        /// Union of the methods of the routes whose other conditions match, sorted, without duplicates.
        allow: Vec<Method>,
    },
    /// No route matches: answer 404.
    NoRoute,
}

/// Values of path parameters as places in the path that was asked, in the order of the pattern.
///
/// Holds no text, so it outlives the ask without an allocation (up to four parameters).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params {
    spans: SmallVec<[(u32, u32); 4]>,
}

impl Params {
    /// The value of parameter number `idx` in `path`, the path that was asked; `None` for an absent optional one.
    #[must_use]
    pub fn get<'p>(&self, path: &'p str, idx: usize) -> Option<&'p str> {
        let (start, end) = *self.spans.get(idx)?;
        path.get(start as usize..end as usize)
    }

    /// How many parameters have a value.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether no parameter has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
}

/// All routes, indexed: the cost of a match follows the path's length, not the number of routes.
#[derive(Debug)]
pub struct Router<R> {
    /// What the routes are to their owner, by place.
    values: Vec<R>,
    /// What else is known of them, by place.
    entries: Vec<Entry>,
    hosts: HostIndex,
    forest: Forest,
}

/// A router and what was found wrong with its routes while it was built.
#[derive(Debug)]
pub struct Built<R> {
    /// Usable even if there are conflicts; a tie is then won by the first name.
    pub router: Router<R>,
    /// Ties and routes that can never win, in the order of the routes given.
    pub conflicts: Vec<Conflict>,
}

/// A route as lists show it.
#[derive(Debug, Clone, Copy)]
pub struct ListedRoute<'r, R> {
    /// Its name.
    pub name: &'r Arc<str>,
    /// Hosts it answers for; empty means any.
    pub hosts: &'r [HostPattern],
    /// Path it answers for.
    pub path: &'r PathPattern,
    /// Further conditions.
    pub conditions: &'r Conditions,
    /// Settles routes that are otherwise equally specific.
    pub priority: i32,
    /// What the route is to its owner.
    pub value: &'r R,
}

/// A route in its place; hosts are interned in the index. A search meets it only if the route has conditions.
#[derive(Debug)]
struct Entry {
    matcher: Matcher,
    name: Arc<str>,
    hosts: Box<[HostPattern]>,
    path: PathPattern,
}

/// What remains to be checked once host and path have led to a route.
#[derive(Debug)]
struct Matcher {
    conditions: Conditions,
    priority: i32,
    answers_preflight: bool,
}

impl Matcher {
    /// Whether the route takes the method of `ask`, directly or as the preflight of one it takes.
    fn takes_method(&self, ask: &RouteAsk<'_>) -> bool {
        let Some(methods) = &self.conditions.methods else { return true };
        methods.contains(ask.method)
            || (self.answers_preflight && preflight_for(ask).is_some_and(|wanted| methods.contains(&wanted)))
    }
}

/// The method a CORS preflight asks for (Fetch standard, "CORS-preflight request"); `None` if `ask` is not one.
fn preflight_for(ask: &RouteAsk<'_>) -> Option<Method> {
    if ask.method != Method::OPTIONS || !ask.headers.contains_key(http::header::ORIGIN) {
        return None;
    }
    let wanted = ask.headers.get(http::header::ACCESS_CONTROL_REQUEST_METHOD)?;
    Method::from_bytes(wanted.as_bytes()).ok()
}

impl<R> Router<R> {
    /// Indexes `specs` and reports every tie and every route that can never win.
    #[must_use]
    pub fn build(specs: Vec<RouteSpec<R>>) -> Built<R> {
        let (values, entries): (Vec<R>, Vec<Entry>) = specs.into_iter().map(Entry::of).unzip();
        let mut planting = Planting::default();
        let mut hosts = HostNames::default();
        for (idx, entry) in (0_u32..).zip(&entries) {
            let priority = entry.matcher.priority;
            if entry.hosts.is_empty() {
                let root = hosts.root_of_any(|| planting.root());
                planting.insert(root, &entry.path, idx, priority);
            }
            for host in &entry.hosts {
                let root = hosts.root_of(host, || planting.root());
                planting.insert(root, &entry.path, idx, priority);
            }
        }
        let rank = |idx: u32| entries.get(idx as usize).map(|entry| entry.matcher.rank()).unwrap_or_default();
        let unconditional =
            |idx: u32| entries.get(idx as usize).is_some_and(|entry| entry.matcher.conditions.is_empty());
        let laid = planting.freeze(rank, unconditional);
        let hosts = hosts.index(|root| laid.root(root));
        let conflicts = conflict::conflicts(&entries, &laid.places);
        Built { router: Self { values, entries, hosts, forest: laid.forest }, conflicts }
    }

    /// The route that answers `ask`.
    ///
    /// Tries the exact host, then wildcards from the longest, then routes of any host; within a host literal
    /// segments before typed parameters before parameters before `**`, going back where a branch leads nowhere.
    #[must_use]
    pub fn find(&self, ask: &RouteAsk<'_>) -> Found<'_, R> {
        match self.winner(ask) {
            Ok((place, params)) => {
                self.values.get(place).map_or(Found::NoRoute, |route| Found::Route { route, place, params })
            }
            Err(allow) if allow.is_empty() => Found::NoRoute,
            Err(allow) => Found::MethodNotAllowed { allow },
        }
    }

    /// Has brought where a request for `host` begins to be looked for: worth saying as soon as the host is known.
    pub fn expect_host(&self, host: &str) {
        self.hosts.expect(host);
    }

    /// Has the routes of `host` brought, after [`Self::expect_host`] and some time before [`Self::find`].
    pub fn expect_routes(&self, host: &str) {
        if let Some(root) = self.hosts.likeliest_root(host) {
            self.forest.expect_tree(root);
        }
    }

    /// The name and value of each route, in the order they were given.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &R)> {
        self.entries.iter().map(|entry| &entry.name).zip(&self.values)
    }

    /// What each route answers for, in the order they were given.
    pub fn listed(&self) -> impl ExactSizeIterator<Item = ListedRoute<'_, R>> {
        self.entries.iter().zip(&self.values).map(|(entry, value)| ListedRoute {
            name: &entry.name,
            hosts: &entry.hosts,
            path: &entry.path,
            conditions: &entry.matcher.conditions,
            priority: entry.matcher.priority,
            value,
        })
    }

    /// The place of the winner of `ask`, or the methods that would have had one.
    fn winner(&self, ask: &RouteAsk<'_>) -> Result<(usize, Params), Vec<Method>> {
        let mut spans = SmallVec::new();
        let mut search = Search { path: ask.path, spans: &mut spans };
        let mut refused_methods: SmallVec<[u32; 8]> = SmallVec::new();
        let mut fits = |idx: u32| {
            let Some(entry) = self.entries.get(idx as usize) else { return false };
            if !entry.matcher.conditions.rest_holds(ask) {
                return false;
            }
            let takes = entry.matcher.takes_method(ask);
            if !takes {
                refused_methods.push(idx);
            }
            takes
        };
        for root in self.hosts.roots(ask.host) {
            if let Some(idx) = self.forest.search(root, &mut search, &mut fits) {
                return Ok((idx as usize, Params { spans }));
            }
        }
        Err(self.allow(&refused_methods))
    }

    /// The union of the methods of `entries`, for `Allow`.
    fn allow(&self, entries: &[u32]) -> Vec<Method> {
        let mut allow: Vec<Method> = entries
            .iter()
            .filter_map(|idx| self.entries.get(*idx as usize)?.matcher.conditions.methods.as_ref())
            .flat_map(|methods| methods.allowed().iter().cloned())
            .collect();
        allow.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        allow.dedup();
        allow
    }
}

impl Matcher {
    /// Order among routes that share host and path: more conditions first, then higher priority.
    fn rank(&self) -> planting::Rank {
        planting::Rank { conditions: self.conditions.count(), priority: self.priority }
    }
}

impl Entry {
    /// What is kept of a route beside its value.
    fn of<R>(spec: RouteSpec<R>) -> (R, Self) {
        let RouteSpec { name, hosts, path, conditions, priority, answers_preflight, value } = spec;
        let mut hosts = hosts;
        hosts.sort_unstable();
        hosts.dedup();
        let matcher = Matcher { conditions, priority, answers_preflight };
        (value, Self { name, hosts: hosts.into_boxed_slice(), path, matcher })
    }
}

#[cfg(test)]
mod tests;
