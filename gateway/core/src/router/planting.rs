//! The path trees while routes are still being added, and how they are laid down.
//!
//! Decides the order in which the children and the routes of a node are tried, and where in memory each node is.
//! Never searches: `tree` does.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::pattern::{ParamKind, PathPattern, PatternRegex, Segment};
use super::tree::{
    Candidate, End, Forest, Literal, Literals, Node, Parameter, Parameters, Places, Plain, Root,
    SCANNED_LITERALS_MAX, SharedEnd, Text, mark, to_u32,
};

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

/// Trees that grow.
#[derive(Debug, Default)]
pub(super) struct Planting {
    nodes: Vec<Sprout>,
    roots: Vec<u32>,
}

#[derive(Debug, Default)]
struct Sprout {
    /// The literal segments it stands for, with slashes between them.
    text: Option<Arc<str>>,
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
        Root { node: root, literal: 0 }
    }

    fn sprout(&mut self) -> u32 {
        let idx = to_u32(self.nodes.len());
        self.nodes.push(Sprout::default());
        idx
    }

    /// Adds `entry` with `priority` under `root` at each place where `path` may end.
    pub(super) fn insert(&mut self, root: Root, path: &PathPattern, entry: u32, priority: i32) {
        let mut at = root.node;
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
        if child == fresh {
            let text = if let Segment::Literal(text) = segment { Some(Arc::clone(text)) } else { None };
            self.nodes.push(Sprout { text, ..Sprout::default() });
        }
        child
    }

    /// Lays the trees down; `rank` orders the routes of one place, and `unconditional` says of a route that it asks for
    /// nothing but host and path.
    pub(super) fn freeze(mut self, rank: impl Fn(u32) -> Rank, unconditional: impl Fn(u32) -> bool) -> Laid {
        self.join();
        let order = self.order();
        let mut moved = vec![0; self.nodes.len()];
        for (new, old) in (0_u32..).zip(&order) {
            if let Some(place) = moved.get_mut(*old as usize) {
                *place = new;
            }
        }
        let mut laying = Laying {
            forest: Forest::default(),
            texts: HashMap::new(),
            places: Vec::new(),
            moved: &moved,
            rank,
            unconditional,
        };
        for old in &order {
            if let Some(sprout) = self.nodes.get(*old as usize) {
                laying.node(sprout, |child| self.nodes.get(child as usize)?.priority_max);
            }
        }
        let Laying { mut forest, places, .. } = laying;
        forest.shrink();
        Laid { forest, places, moved }
    }

    /// Joins every node that leads to one literal and to nothing else with the node behind it: a search meets fewer.
    fn join(&mut self) {
        for idx in 0..self.nodes.len() {
            while let Some(only) = self.nodes.get(idx).and_then(Sprout::only_way_on) {
                let behind = self.nodes.get_mut(only as usize).map(std::mem::take).unwrap_or_default();
                if let Some(node) = self.nodes.get_mut(idx) {
                    node.take_over(behind);
                }
            }
        }
    }

    /// Every node once: tree after tree, and in a tree branch after branch, so that what one search meets lies together.
    fn order(&self) -> Vec<u32> {
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut open: Vec<u32> = self.roots.iter().rev().copied().collect();
        while let Some(old) = open.pop() {
            order.push(old);
            if let Some(sprout) = self.nodes.get(old as usize) {
                let first = open.len();
                open.extend(sprout.children());
                open.get_mut(first..).unwrap_or_default().reverse();
            }
        }
        order
    }
}

impl Sprout {
    /// The one node behind this one, if that is by a literal and no route ends here.
    fn only_way_on(&self) -> Option<u32> {
        let Self { literals, uint, uuid, regexes, any, leaves, tails, .. } = self;
        let by_parameter = uint.is_some() || uuid.is_some() || any.is_some() || !regexes.is_empty();
        let parts = literals.len() > 1 || by_parameter || !leaves.is_empty() || !tails.is_empty();
        literals.values().next().copied().filter(|_| !parts)
    }

    /// Stands for its own text and that of `behind`, and leads where that led.
    fn take_over(&mut self, behind: Self) {
        let text = match (self.text.take(), &behind.text) {
            (Some(own), Some(text)) => Some(format!("{own}/{text}").into()),
            (None, text) => text.clone(),
            (own, None) => own,
        };
        *self = Self { text, priority_max: self.priority_max, ..behind };
    }

    fn children(&self) -> impl Iterator<Item = u32> {
        let literals = self.literals.values().copied();
        literals.chain(self.uint).chain(self.uuid).chain(self.regexes.values().copied()).chain(self.any)
    }
}

/// Trees as they are searched.
#[derive(Debug)]
pub(super) struct Laid {
    pub(super) forest: Forest,
    /// Every place where routes meet: the routes of one path of one host, first choice first.
    pub(super) places: Vec<Vec<Leaf>>,
    moved: Vec<u32>,
}

impl Laid {
    /// Where a tree's root is now.
    pub(super) fn root(&self, planted: Root) -> Root {
        let node = moved_to(&self.moved, planted.node);
        let literal = match self.forest.nodes.get(node as usize).map(|root| root.literals) {
            Some(Literals::Scanned { start, .. }) => start,
            Some(Literals::Hashed(_)) | None => u32::MAX,
        };
        Root { node, literal }
    }
}

/// A position outside the trees stays outside.
fn moved_to(moved: &[u32], old: u32) -> u32 {
    moved.get(old as usize).copied().unwrap_or(u32::MAX)
}

/// Trees while they are laid down, node by node in their final order.
struct Laying<'a, R, U> {
    forest: Forest,
    /// Where each literal's text is already.
    texts: HashMap<Arc<str>, Text>,
    places: Vec<Vec<Leaf>>,
    moved: &'a [u32],
    rank: R,
    unconditional: U,
}

impl<R: Fn(u32) -> Rank, U: Fn(u32) -> bool> Laying<'_, R, U> {
    fn node(&mut self, sprout: &Sprout, priority_of: impl Fn(u32) -> Option<i32>) {
        let text = sprout.text.as_ref().map(|text| self.text(text));
        let literals = self.literals(&sprout.literals);
        let parameter = self.parameter(sprout, priority_of);
        let end = self.end(sprout);
        self.forest.nodes.push(Node { text, literals, parameter, end });
    }

    fn literals(&mut self, children: &BTreeMap<Arc<str>, u32>) -> Literals {
        let to = |child: &u32| moved_to(self.moved, *child);
        let few = u8::try_from(children.len()).ok().filter(|count| *count <= SCANNED_LITERALS_MAX);
        let Some(count) = few else {
            let number = to_u32(self.forest.wide.len());
            let hashed = children.iter().map(|(text, child)| (Arc::clone(text), to(child))).collect();
            self.forest.wide.push(hashed);
            return Literals::Hashed(number);
        };
        let start = to_u32(self.forest.literals.len());
        let marked = children.iter().map(|(text, child)| Literal { mark: mark(text), child: to(child) });
        self.forest.literals.extend(marked);
        Literals::Scanned { start, count }
    }

    fn text(&mut self, text: &Arc<str>) -> Text {
        if let Some(known) = self.texts.get(text) {
            return *known;
        }
        let start = self.forest.texts.len();
        self.forest.texts.push_str(text);
        let kept = Text::last(&self.forest.texts, start);
        self.texts.insert(Arc::clone(text), kept);
        kept
    }

    fn parameter(&mut self, sprout: &Sprout, priority_of: impl Fn(u32) -> Option<i32>) -> Parameter {
        let Sprout { uint, uuid, regexes, any, .. } = sprout;
        let to = |child: u32| moved_to(self.moved, child);
        let one = |kind, child| Parameter::One { kind, child: to(child) };
        match (*uint, *uuid, *any, regexes.is_empty()) {
            (None, None, None, true) => return Parameter::Nothing,
            (Some(child), None, None, true) => return one(Plain::Uint, child),
            (None, Some(child), None, true) => return one(Plain::Uuid, child),
            (None, None, Some(child), true) => return one(Plain::Any, child),
            _ => {}
        }
        let mut by_priority: Vec<_> = regexes.iter().collect();
        by_priority.sort_by_key(|(_, child)| Reverse(priority_of(**child)));
        let regexes = by_priority.into_iter().map(|(regex, child)| (Arc::clone(regex), to(*child))).collect();
        let parameters = Parameters { uint: uint.map(to), uuid: uuid.map(to), regexes, any: any.map(to) };
        let number = to_u32(self.forest.several.len());
        self.forest.several.push(parameters);
        Parameter::Several(number)
    }

    fn end(&mut self, sprout: &Sprout) -> End {
        let end = match (sprout.leaves.as_slice(), sprout.tails.as_slice()) {
            ([], []) => return End::Nothing,
            ([only], []) => End::Route(self.candidate(only)),
            ([], [only]) => End::Tail(self.candidate(only)),
            _ => End::Shared(to_u32(self.forest.shared_ends.len())),
        };
        let [routes, tails] = [&sprout.leaves, &sprout.tails].map(|leaves| {
            let mut leaves = leaves.clone();
            leaves.sort_by_key(|leaf| (leaf.ending, Reverse((self.rank)(leaf.entry)), leaf.entry));
            leaves
        });
        if let End::Shared(_) = end {
            let [routes, tails] = [&routes, &tails].map(|leaves| self.candidates(leaves));
            self.forest.shared_ends.push(SharedEnd { routes, tails });
        }
        self.places.extend([routes, tails].into_iter().filter(|place| !place.is_empty()));
        end
    }

    fn candidates(&mut self, leaves: &[Leaf]) -> Places {
        let start = to_u32(self.forest.candidates.len());
        for leaf in leaves {
            let candidate = self.candidate(leaf);
            self.forest.candidates.push(candidate);
        }
        Places { start, end: to_u32(self.forest.candidates.len()) }
    }

    fn candidate(&self, leaf: &Leaf) -> Candidate {
        Candidate::new(leaf.entry, (self.unconditional)(leaf.entry))
    }
}

impl Forest {
    /// Gives the room back that the lists grew beyond their length.
    fn shrink(&mut self) {
        self.nodes.shrink_to_fit();
        self.literals.shrink_to_fit();
        self.texts.shrink_to_fit();
        self.several.shrink_to_fit();
        self.shared_ends.shrink_to_fit();
        self.candidates.shrink_to_fit();
    }
}
