//! The path trees: one root per host, one node per segment of a pattern.
//!
//! Decides which routes a path leads to and in which order they are tried. Never looks at a method or a header:
//! the caller's `fits` does, and a node whose routes do not fit is left for the next, less specific one.
//!
//! A search visits each node at most once, so its cost is bounded by the routes under one host that share the
//! path's segments, and by the path's length where literals decide.

use std::cmp::Reverse;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use smallvec::SmallVec;

use super::pattern::{ParamKind, PathPattern, PatternRegex, Segment};

/// Up to this many literal children a scan is faster than hashing.
const SCANNED_LITERALS_MAX: usize = 6;

/// The node a host's tree starts at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Root(u32);

/// Order among routes with the same host and path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Rank {
    pub(super) conditions: usize,
    pub(super) priority: i32,
}

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

/// All trees of a router.
#[derive(Debug)]
pub(super) struct Forest {
    nodes: Box<[Node]>,
}

#[derive(Debug)]
struct Node {
    literals: Literals,
    uint: Option<u32>,
    uuid: Option<u32>,
    regexes: Box<[(Arc<PatternRegex>, u32)]>,
    any: Option<u32>,
    /// Routes whose path ends here, first choice first.
    leaves: Box<[Leaf]>,
    /// Routes whose `/**` begins here, first choice first.
    tails: Box<[Leaf]>,
}

#[derive(Debug)]
enum Literals {
    Few(Box<[(Arc<str>, u32)]>),
    Many(HashMap<Arc<str>, u32, BuildHasherDefault<DefaultHasher>>),
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
            None => first_fit(&node.leaves, fits),
        };
        found.or_else(|| first_fit(&node.tails, fits))
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

        if let Some(child) = node.literals.get(segment)
            && let Some(found) = self.descend(child, rest, search, fits)
        {
            return Some(found);
        }
        if segment.is_empty() {
            return None;
        }
        for child in node.parameters(segment) {
            let depth = search.spans.len();
            search.spans.push((to_u32(start), to_u32(end)));
            if let Some(found) = self.descend(child, rest, search, fits) {
                return Some(found);
            }
            search.spans.truncate(depth);
        }
        None
    }

    /// Every place where routes meet: the routes of one path of one host, first choice first.
    pub(super) fn places(&self) -> impl Iterator<Item = &[Leaf]> {
        self.nodes.iter().flat_map(|node| [&*node.leaves, &*node.tails]).filter(|place| !place.is_empty())
    }
}

/// Requests are bounded far below 4 GiB by the listener, so the saturation is never seen.
fn to_u32(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

fn first_fit(leaves: &[Leaf], fits: &mut impl FnMut(u32) -> bool) -> Option<u32> {
    leaves.iter().map(|leaf| leaf.entry).find(|entry| fits(*entry))
}

impl Node {
    /// Children whose parameter takes `segment`: typed ones first, then the plain one.
    fn parameters(&self, segment: &str) -> impl Iterator<Item = u32> {
        let uint = self.uint.filter(|_| ParamKind::Uint.accepts(segment));
        let uuid = self.uuid.filter(|_| ParamKind::Uuid.accepts(segment));
        let regexes =
            self.regexes.iter().filter(|(regex, _)| regex.is_match(segment)).map(|(_, child)| *child);
        uint.into_iter().chain(uuid).chain(regexes).chain(self.any)
    }
}

impl Literals {
    fn get(&self, segment: &str) -> Option<u32> {
        match self {
            Self::Few(few) => few.iter().find(|(text, _)| **text == *segment).map(|(_, child)| *child),
            Self::Many(many) => many.get(segment).copied(),
        }
    }
}

/// The trees while routes are still being added.
#[derive(Debug, Default)]
pub(super) struct Planting {
    nodes: Vec<Sprout>,
}

#[derive(Debug, Default)]
struct Sprout {
    literals: BTreeMap<Arc<str>, u32>,
    uint: Option<u32>,
    uuid: Option<u32>,
    regexes: BTreeMap<Arc<PatternRegex>, u32>,
    any: Option<u32>,
    leaves: Vec<Leaf>,
    tails: Vec<Leaf>,
    /// Highest priority of any route at or below; decides between regexes that may take the same segment.
    priority_max: Option<i32>,
}

impl Planting {
    /// A new, empty tree.
    pub(super) fn root(&mut self) -> Root {
        Root(self.sprout())
    }

    fn sprout(&mut self) -> u32 {
        let idx = to_u32(self.nodes.len());
        self.nodes.push(Sprout::default());
        idx
    }

    /// Adds `entry` with `priority` under `root` at each place where `path` may end.
    pub(super) fn insert(&mut self, root: Root, path: &PathPattern, entry: u32, priority: i32) {
        let mut at = root.0;
        let last_idx = path.segments().len().saturating_sub(1);
        self.note_priority(at, priority);
        for (idx, segment) in path.segments().iter().enumerate() {
            if path.last_is_optional() && idx == last_idx {
                self.insert_bare(at, idx, entry, priority);
            }
            at = self.child(at, segment);
            self.note_priority(at, priority);
        }
        let ending = if path.last_is_optional() { Ending::Optional } else { Ending::Exact };
        let Some(node) = self.nodes.get_mut(at as usize) else { return };
        let place = if path.has_tail() { &mut node.tails } else { &mut node.leaves };
        place.push(Leaf { ending, entry });
    }

    /// The end without the optional parameter; for `/{id?}` that is `/`, whose one segment is empty.
    fn insert_bare(&mut self, at: u32, depth: usize, entry: u32, priority: i32) {
        let at = if depth == 0 { self.child(at, &Segment::Literal("".into())) } else { at };
        self.note_priority(at, priority);
        if let Some(node) = self.nodes.get_mut(at as usize) {
            node.leaves.push(Leaf { ending: Ending::Optional, entry });
        }
    }

    fn note_priority(&mut self, at: u32, priority: i32) {
        if let Some(node) = self.nodes.get_mut(at as usize) {
            node.priority_max = node.priority_max.max(Some(priority));
        }
    }

    fn child(&mut self, at: u32, segment: &Segment) -> u32 {
        let fresh = to_u32(self.nodes.len());
        let Some(node) = self.nodes.get_mut(at as usize) else { return at };
        let child = match segment {
            Segment::Literal(text) => *node.literals.entry(Arc::clone(text)).or_insert(fresh),
            Segment::Param { kind: ParamKind::Uint, .. } => *node.uint.get_or_insert(fresh),
            Segment::Param { kind: ParamKind::Uuid, .. } => *node.uuid.get_or_insert(fresh),
            Segment::Param { kind: ParamKind::Any, .. } => *node.any.get_or_insert(fresh),
            Segment::Param { kind: ParamKind::Regex(regex), .. } => {
                *node.regexes.entry(Arc::clone(regex)).or_insert(fresh)
            }
        };
        if child == fresh { self.sprout() } else { child }
    }

    /// The finished trees; `rank` orders the routes of one place.
    pub(super) fn freeze(self, rank: impl Fn(u32) -> Rank) -> Forest {
        let priorities: Vec<Option<i32>> = self.nodes.iter().map(|node| node.priority_max).collect();
        let priority_of = |child: u32| priorities.get(child as usize).copied().flatten();
        let nodes = self.nodes.into_iter().map(|sprout| sprout.freeze(&rank, priority_of)).collect();
        Forest { nodes }
    }
}

impl Sprout {
    fn freeze(self, rank: &impl Fn(u32) -> Rank, priority_of: impl Fn(u32) -> Option<i32>) -> Node {
        let by_rank = |mut leaves: Vec<Leaf>| {
            leaves.sort_by_key(|leaf| (leaf.ending, Reverse(rank(leaf.entry)), leaf.entry));
            leaves.into_boxed_slice()
        };
        let mut regexes: Vec<_> = self.regexes.into_iter().collect();
        regexes.sort_by_key(|(_, child)| Reverse(priority_of(*child)));
        let literals = if self.literals.len() <= SCANNED_LITERALS_MAX {
            Literals::Few(self.literals.into_iter().collect())
        } else {
            Literals::Many(self.literals.into_iter().collect())
        };
        Node {
            literals,
            uint: self.uint,
            uuid: self.uuid,
            regexes: regexes.into_boxed_slice(),
            any: self.any,
            leaves: by_rank(self.leaves),
            tails: by_rank(self.tails),
        }
    }
}
