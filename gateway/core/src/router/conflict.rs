//! Routes that stand in each other's way.
//!
//! Decides at load what would otherwise be a surprise at night: two routes that tie for some request, and a route
//! that can never win. Never settles a tie: the document must, with `priority` or another condition.
//!
//! What cannot be decided cheaply is left alone and documented: two different expressions on the same segment are
//! tried by priority and then by their text, and a route hidden only by the union of several paths is not found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::planting::Leaf;
use super::{Conditions, Entry};

/// Something wrong between routes; positions are those in the list the router was built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// Some request meets both, and nothing says which of them answers it.
    Tie {
        /// The earlier one.
        first: usize,
        /// The later one.
        second: usize,
    },
    /// Wherever the route would match, routes that are preferred match already.
    Unreachable {
        /// The route that never wins.
        route: usize,
        /// A route that is preferred to it.
        hidden_by: usize,
    },
}

/// All conflicts at `places`, each the routes of one path of one host with the first choice first; ties first.
pub(super) fn conflicts(entries: &[Entry], places: &[Vec<Leaf>]) -> Vec<Conflict> {
    let mut ties: BTreeSet<(u32, u32)> = BTreeSet::new();
    let mut n_places: BTreeMap<u32, usize> = BTreeMap::new();
    let mut hidden: BTreeMap<u32, (usize, u32)> = BTreeMap::new();
    for place in places.iter().filter(|place| place.len() > 1) {
        for (idx, leaf) in place.iter().enumerate() {
            let preferred = place.get(..idx).unwrap_or_default();
            ties.extend(
                preferred.iter().filter(|other| tie(entries, other, leaf)).map(|other| pair(other, leaf)),
            );
            if let Some(by) = hider(entries, preferred, leaf) {
                let count = hidden.entry(leaf.entry).or_insert((0, by));
                count.0 += 1;
            }
        }
    }
    if !hidden.is_empty() {
        for leaf in places.iter().flatten().filter(|leaf| hidden.contains_key(&leaf.entry)) {
            *n_places.entry(leaf.entry).or_default() += 1;
        }
    }
    let unreachable = hidden.iter().filter_map(|(route, (n_hidden, by))| {
        let is_tied = ties.iter().any(|(first, second)| first == route || second == route);
        (n_places.get(route) == Some(n_hidden) && !is_tied)
            .then_some(Conflict::Unreachable { route: *route as usize, hidden_by: *by as usize })
    });
    let tied =
        ties.iter().map(|(first, second)| Conflict::Tie { first: *first as usize, second: *second as usize });
    tied.chain(unreachable).collect()
}

fn pair(one: &Leaf, other: &Leaf) -> (u32, u32) {
    (one.entry.min(other.entry), one.entry.max(other.entry))
}

/// Whether some request meets both and neither is preferred.
fn tie(entries: &[Entry], one: &Leaf, other: &Leaf) -> bool {
    let (Some(first), Some(second)) = (entries.get(one.entry as usize), entries.get(other.entry as usize))
    else {
        return false;
    };
    one.ending == other.ending
        && first.matcher.rank() == second.matcher.rank()
        && !first.matcher.conditions.disjoint(&second.matcher.conditions)
}

/// A route among `preferred`, if together they take every request that would meet `leaf`.
fn hider(entries: &[Entry], preferred: &[Leaf], leaf: &Leaf) -> Option<u32> {
    let conditions = |leaf: &Leaf| entries.get(leaf.entry as usize).map(|entry| &entry.matcher.conditions);
    let ours = conditions(leaf)?;
    let covering: Vec<(u32, &Conditions)> = preferred
        .iter()
        .filter_map(|other| Some((other.entry, conditions(other)?)))
        .filter(|(_, other)| other.rest_covers(ours))
        .collect();
    if let Some((entry, _)) = covering.iter().find(|(_, other)| other.methods.is_none()) {
        return Some(*entry);
    }
    let methods = ours.methods.as_ref()?;
    let is_taken = |method| {
        covering.iter().any(|(_, other)| other.methods.as_ref().is_some_and(|theirs| theirs.contains(method)))
    };
    let first = covering.first().map(|(entry, _)| *entry);
    first.filter(|_| methods.allowed().iter().all(is_taken))
}

impl Conflict {
    /// The names of the two routes, the one to be told of first.
    #[must_use]
    pub fn names<'a>(&self, names: &'a [Arc<str>]) -> Option<(&'a Arc<str>, &'a Arc<str>)> {
        match self {
            Self::Tie { first, second } => Some((names.get(*second)?, names.get(*first)?)),
            Self::Unreachable { route, hidden_by } => Some((names.get(*route)?, names.get(*hidden_by)?)),
        }
    }
}
