//! The path trees: one root per host, one node per segment of a pattern.
//!
//! Decides which routes a path leads to and in which order they are tried. Never looks at a method or a header:
//! the caller's `fits` does, and a node whose routes do not fit is left for the next, less specific one.
//!
//! A search visits each node at most once, so its cost is bounded by the routes under one host that share the
//! path's segments, and by the path's length where literals decide. Ten thousand routes are found cold in the cache:
//! nodes are small and those of one host lie side by side, so a search meets few cache lines that are its own.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use smallvec::SmallVec;

use super::pattern::{ParamKind, PatternRegex};

/// Up to this many literal children a scan is faster than hashing.
pub(super) const SCANNED_LITERALS_MAX: usize = 12;

/// The node a host's tree starts at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Root(pub(super) u32);

/// How a route's pattern ends at a node; the order is the order of specificity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ending {
    /// The pattern ends here.
    Exact,
    /// The pattern ends here with or without its optional last parameter.
    Optional,
}

/// One route at one node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaf {
    pub(super) ending: Ending,
    pub(super) entry: u32,
}

/// All trees of a router. What belongs to one node is a span of the lists below it.
#[derive(Debug, Default)]
pub(super) struct Forest {
    pub(super) nodes: Vec<Node>,
    /// Children by a literal segment.
    pub(super) literals: Vec<Literal>,
    /// The text of all literals; each distinct one is there once.
    pub(super) texts: String,
    /// Children by a literal segment, of nodes that have too many to scan.
    pub(super) wide: Vec<HashMap<Arc<str>, u32, BuildHasherDefault<DefaultHasher>>>,
    /// Children by a parameter.
    pub(super) parameters: Vec<Parameters>,
    pub(super) leaves: Vec<Leaf>,
}

/// A span of one of the forest's lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) start: u32,
    pub(super) end: u32,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) literals: Literals,
    /// Its place in [`Forest::parameters`].
    pub(super) parameters: Option<Place>,
    /// Routes whose path ends here, first choice first.
    pub(super) leaves: Places,
    /// Where the routes end whose `/**` begins here, first choice first; they come after `leaves`.
    pub(super) tails_end: u32,
}

/// Where the children of a node by a literal segment are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Literals {
    /// In [`Forest::literals`], few enough to be looked at one by one.
    Scanned(Places),
    /// Under this number in [`Forest::wide`].
    Hashed(u32),
}

/// One child by a literal segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Literal {
    /// Where its text is in [`Forest::texts`].
    pub(super) text: Places,
    pub(super) child: u32,
}

/// A place in a list, kept as one more so that none takes no room.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place(std::num::NonZeroU32);

/// Children by a parameter, from the most specific kind to the least.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    pub(super) uint: Option<u32>,
    pub(super) uuid: Option<u32>,
    pub(super) regexes: Box<[(Arc<PatternRegex>, u32)]>,
    pub(super) any: Option<u32>,
}

/// A search under way: the path and the parameters taken so far.
pub(super) struct Search<'a> {
    pub(super) path: &'a str,
    pub(super) spans: &'a mut SmallVec<[(u32, u32); 4]>,
}

impl Forest {
    /// The first route under `root` that the path leads to and that `fits`; its parameters are left in `search`.
    pub(super) fn search(
        &self,
        root: Root,
        search: &mut Search<'_>,
        fits: &mut impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        search.spans.clear();
        let first = search.path.starts_with('/').then_some(1)?;
        self.descend(root.0, Some(first), search, fits)
    }

    /// Tries the node `at` with the path from byte `rest` on; `None` means the path has ended.
    fn descend(
        &self,
        at: u32,
        rest: Option<usize>,
        search: &mut Search<'_>,
        fits: &mut impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        let node = self.nodes.get(at as usize)?;
        let found = match rest {
            Some(start) => self.descend_segment(node, start, search, fits),
            None => first_fit(self.leaves(node), fits),
        };
        found.or_else(|| first_fit(self.tails(node), fits))
    }

    /// Tries the children of `node` for the segment that begins at byte `start`, most specific first.
    fn descend_segment(
        &self,
        node: &Node,
        start: usize,
        search: &mut Search<'_>,
        fits: &mut impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        let path = search.path;
        let tail = path.get(start..)?;
        let end = tail.find('/').map_or(path.len(), |length| start + length);
        let segment = path.get(start..end)?;
        let rest = (end < path.len()).then_some(end + 1);

        if let Some(child) = self.literal(node, segment)
            && let Some(found) = self.descend(child, rest, search, fits)
        {
            return Some(found);
        }
        if segment.is_empty() {
            return None;
        }
        let parameters = self.parameters.get(node.parameters?.idx())?;
        for child in parameters.taking(segment) {
            let depth = search.spans.len();
            search.spans.push((to_u32(start), to_u32(end)));
            if let Some(found) = self.descend(child, rest, search, fits) {
                return Some(found);
            }
            search.spans.truncate(depth);
        }
        None
    }

    /// The child of `node` for exactly this segment.
    fn literal(&self, node: &Node, segment: &str) -> Option<u32> {
        match node.literals {
            Literals::Scanned(places) => {
                let is_it = |literal: &&Literal| literal.text.of(self.texts.as_bytes()) == segment.as_bytes();
                places.of(&self.literals).iter().find(is_it).map(|literal| literal.child)
            }
            Literals::Hashed(number) => self.wide.get(number as usize)?.get(segment).copied(),
        }
    }

    fn leaves(&self, node: &Node) -> &[Leaf] {
        node.leaves.of(&self.leaves)
    }

    fn tails(&self, node: &Node) -> &[Leaf] {
        Places { start: node.leaves.end, end: node.tails_end }.of(&self.leaves)
    }

    /// Every place where routes meet: the routes of one path of one host, first choice first.
    pub(super) fn places(&self) -> impl Iterator<Item = &[Leaf]> {
        let of_node = |node| [self.leaves(node), self.tails(node)];
        self.nodes.iter().flat_map(of_node).filter(|place| !place.is_empty())
    }
}

/// Requests and configurations are bounded far below 4 GiB, so the saturation is never seen.
pub(super) fn to_u32(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

fn first_fit(leaves: &[Leaf], fits: &mut impl FnMut(u32) -> bool) -> Option<u32> {
    leaves.iter().map(|leaf| leaf.entry).find(|entry| fits(*entry))
}

impl Places {
    /// What is there in `list`.
    fn of<T>(self, list: &[T]) -> &[T] {
        list.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

impl Place {
    pub(super) fn new(idx: usize) -> Option<Self> {
        std::num::NonZeroU32::new(to_u32(idx).saturating_add(1)).map(Self)
    }

    const fn idx(self) -> usize {
        self.0.get() as usize - 1
    }
}

impl Parameters {
    /// Children whose parameter takes `segment`: typed ones first, then the plain one.
    fn taking(&self, segment: &str) -> impl Iterator<Item = u32> {
        let uint = self.uint.filter(|_| ParamKind::Uint.accepts(segment));
        let uuid = self.uuid.filter(|_| ParamKind::Uuid.accepts(segment));
        let regexes =
            self.regexes.iter().filter(|(regex, _)| regex.is_match(segment)).map(|(_, child)| *child);
        uint.into_iter().chain(uuid).chain(regexes).chain(self.any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_nodes_fit_a_cache_line() {
        assert!(size_of::<Node>() <= 32, "{}", size_of::<Node>());
    }
}
