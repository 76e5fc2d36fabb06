//! The path trees while routes are still being added, and how they are laid down.
//!
//! Decides the order in which the children and the routes of a node are tried, and where in memory each node is.
//! Never searches: `tree` does.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::pattern::{ParamKind, PathPattern, PatternRegex, Segment};
use super::tree::{
    Ending, Forest, Leaf, Literal, Literals, Node, Parameters, Place, Places, Root, SCANNED_LITERALS_MAX,
    to_u32,
};

/// Order among routes with the same host and path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Rank {
    pub(super) conditions: usize,
    pub(super) priority: i32,
}

/// Trees that grow.
#[derive(Debug, Default)]
pub(super) struct Planting {
    nodes: Vec<Sprout>,
    roots: Vec<u32>,
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
    /// A new, empty tree. Its root is where it is now; [`Laid::root`] says where it is in the end.
    pub(super) fn root(&mut self) -> Root {
        let root = self.sprout();
        self.roots.push(root);
        Root(root)
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

    /// Lays the trees down; `rank` orders the routes of one place.
    pub(super) fn freeze(self, rank: impl Fn(u32) -> Rank) -> Laid {
        let order = self.order();
        let mut moved = vec![0; self.nodes.len()];
        for (new, old) in (0_u32..).zip(&order) {
            if let Some(place) = moved.get_mut(*old as usize) {
                *place = new;
            }
        }
        let mut laying = Laying { forest: Forest::default(), texts: HashMap::new(), moved: &moved };
        for old in &order {
            if let Some(sprout) = self.nodes.get(*old as usize) {
                laying.node(sprout, &rank, |child| self.nodes.get(child as usize)?.priority_max);
            }
        }
        let mut forest = laying.forest;
        forest.shrink();
        Laid { forest, moved }
    }

    /// Every node once: tree after tree, and in a tree level after level, so that what one search meets lies together.
    fn order(&self) -> Vec<u32> {
        let mut order = Vec::with_capacity(self.nodes.len());
        for root in &self.roots {
            let mut next = order.len();
            order.push(*root);
            while let Some(sprout) = order.get(next).and_then(|old| self.nodes.get(*old as usize)) {
                order.extend(sprout.children());
                next += 1;
            }
        }
        order
    }
}

impl Sprout {
    fn children(&self) -> impl Iterator<Item = u32> {
        let literals = self.literals.values().copied();
        literals.chain(self.uint).chain(self.uuid).chain(self.regexes.values().copied()).chain(self.any)
    }
}

/// Trees as they are searched.
#[derive(Debug)]
pub(super) struct Laid {
    pub(super) forest: Forest,
    moved: Vec<u32>,
}

impl Laid {
    /// Where a tree's root is now.
    pub(super) fn root(&self, planted: Root) -> Root {
        Root(moved_to(&self.moved, planted.0))
    }
}

/// A position outside the trees stays outside.
fn moved_to(moved: &[u32], old: u32) -> u32 {
    moved.get(old as usize).copied().unwrap_or(u32::MAX)
}

/// Trees while they are laid down, node by node in their final order.
struct Laying<'a> {
    forest: Forest,
    /// Where each literal's text is already.
    texts: HashMap<Arc<str>, Places>,
    moved: &'a [u32],
}

impl Laying<'_> {
    fn node(
        &mut self,
        sprout: &Sprout,
        rank: &impl Fn(u32) -> Rank,
        priority_of: impl Fn(u32) -> Option<i32>,
    ) {
        let literals = self.literals(&sprout.literals);
        let parameters = self.parameters(sprout, priority_of);
        let leaves = self.leaves(&sprout.leaves, rank);
        let tails_end = self.leaves(&sprout.tails, rank).end;
        self.forest.nodes.push(Node { literals, parameters, leaves, tails_end });
    }

    fn literals(&mut self, children: &BTreeMap<Arc<str>, u32>) -> Literals {
        if children.len() > SCANNED_LITERALS_MAX {
            let number = to_u32(self.forest.wide.len());
            let to = |child: &u32| moved_to(self.moved, *child);
            let hashed = children.iter().map(|(text, child)| (Arc::clone(text), to(child))).collect();
            self.forest.wide.push(hashed);
            return Literals::Hashed(number);
        }
        let start = to_u32(self.forest.literals.len());
        for (text, child) in children {
            let literal = Literal { text: self.text(text), child: moved_to(self.moved, *child) };
            self.forest.literals.push(literal);
        }
        Literals::Scanned(Places { start, end: to_u32(self.forest.literals.len()) })
    }

    fn text(&mut self, text: &Arc<str>) -> Places {
        if let Some(known) = self.texts.get(text) {
            return *known;
        }
        let start = to_u32(self.forest.texts.len());
        self.forest.texts.push_str(text);
        let places = Places { start, end: to_u32(self.forest.texts.len()) };
        self.texts.insert(Arc::clone(text), places);
        places
    }

    fn parameters(&mut self, sprout: &Sprout, priority_of: impl Fn(u32) -> Option<i32>) -> Option<Place> {
        let Sprout { uint, uuid, regexes, any, .. } = sprout;
        if uint.is_none() && uuid.is_none() && regexes.is_empty() && any.is_none() {
            return None;
        }
        let to = |child: u32| moved_to(self.moved, child);
        let mut by_priority: Vec<_> = regexes.iter().collect();
        by_priority.sort_by_key(|(_, child)| Reverse(priority_of(**child)));
        let regexes = by_priority.into_iter().map(|(regex, child)| (Arc::clone(regex), to(*child))).collect();
        let parameters = Parameters { uint: uint.map(to), uuid: uuid.map(to), regexes, any: any.map(to) };
        let place = Place::new(self.forest.parameters.len());
        self.forest.parameters.push(parameters);
        place
    }

    fn leaves(&mut self, leaves: &[Leaf], rank: &impl Fn(u32) -> Rank) -> Places {
        let start = to_u32(self.forest.leaves.len());
        let mut leaves = leaves.to_vec();
        leaves.sort_by_key(|leaf| (leaf.ending, Reverse(rank(leaf.entry)), leaf.entry));
        self.forest.leaves.extend(leaves);
        Places { start, end: to_u32(self.forest.leaves.len()) }
    }
}

impl Forest {
    /// Gives the room back that the lists grew beyond their length.
    fn shrink(&mut self) {
        self.nodes.shrink_to_fit();
        self.literals.shrink_to_fit();
        self.texts.shrink_to_fit();
        self.parameters.shrink_to_fit();
        self.leaves.shrink_to_fit();
    }
}
