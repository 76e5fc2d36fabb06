//! The path trees: one root per host, one node per segment of a pattern, or per run of literals that nothing parts.
//!
//! Decides which routes a path leads to and in which order they are tried. Never looks at a method or a header:
//! the caller's `fits` does, and a node whose routes do not fit is left for the next, less specific one.
//!
//! A search visits each node at most once, so its cost is bounded by the routes under one host that share the
//! path's segments, and by the path's length where literals decide. Ten thousand routes are found cold in the cache:
//! nodes are small, those of one host lie side by side and are asked for together, and whether a route asks for more than
//! host and path is said where its path ends.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use portcullis_prefetch::prefetch;
use smallvec::SmallVec;

use super::pattern::{ParamKind, PatternRegex};

/// Up to this many literal children a scan is faster than hashing.
pub(super) const SCANNED_LITERALS_MAX: u8 = 12;

/// Keys are the operator's, never the client's, so a hasher without a secret is safe and repeatable.
pub(super) type FixedHash = FixedState;

/// How much of a host's tree is asked for before a search begins, in nodes and in literals; most are smaller.
const NODES_EXPECTED: usize = 16;
const LITERALS_EXPECTED: usize = 16;

/// Where a host's tree starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Root {
    /// Its first node.
    pub(super) node: u32,
    /// Its first entry in [`Forest::literals`].
    pub(super) literal: u32,
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
    pub(super) wide: Vec<HashMap<Arc<str>, u32, FixedHash>>,
    /// Children by a parameter, of nodes that have several or one by an expression.
    pub(super) several: Vec<Parameters>,
    /// The places where several routes end.
    pub(super) shared_ends: Vec<SharedEnd>,
    /// Their routes.
    pub(super) candidates: Vec<Candidate>,
}

/// A span of one of the forest's lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) start: u32,
    pub(super) end: u32,
}

#[derive(Debug)]
#[repr(align(32))]
pub(super) struct Node {
    /// The literal segments it stands for, with slashes between them.
    pub(super) text: Option<Text>,
    pub(super) literals: Literals,
    pub(super) parameter: Parameter,
    pub(super) end: End,
}

/// Where a text is in [`Forest::texts`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Text {
    start: Place,
    length: u32,
}

/// A route whose host and path are those of the request: its entry, and in the lowest bit whether that is all it asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate(u32);

/// The routes that end at a node.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Nothing,
    /// The path of this one ends here.
    Route(Candidate),
    /// The `/**` of this one begins here.
    Tail(Candidate),
    /// More than one: under this number in [`Forest::shared_ends`].
    Shared(u32),
}

/// Spans of [`Forest::candidates`], first choice first.
#[derive(Debug, Clone, Copy)]
pub(super) struct SharedEnd {
    /// Routes whose path ends here.
    pub(super) routes: Places,
    /// Routes whose `/**` begins here.
    pub(super) tails: Places,
}

/// Where the children of a node by a literal segment are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Literals {
    /// So many in [`Forest::literals`] from here on, few enough to be looked at one by one.
    Scanned { start: u32, count: u8 },
    /// Under this number in [`Forest::wide`].
    Hashed(u32),
}

/// One child by a literal segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Literal {
    /// The [`mark`] of its first segment: a scan compares these, and looks at a text only where they agree.
    pub(super) mark: u32,
    pub(super) child: u32,
}

/// The children of a node by a parameter.
#[derive(Debug, Clone, Copy)]
pub(super) enum Parameter {
    Nothing,
    /// This one alone.
    One {
        kind: Plain,
        child: u32,
    },
    /// Under this number in [`Forest::several`].
    Several(u32),
}

/// What a parameter without an expression takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plain {
    Uint,
    Uuid,
    Any,
}

/// A place in a list, kept as one more so that none takes no room.
#[derive(Debug, Clone, Copy)]
struct Place(std::num::NonZeroU32);

/// Children by a parameter, from the most specific kind to the least.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    pub(super) uint: Option<u32>,
    pub(super) uuid: Option<u32>,
    pub(super) regexes: Box<[(Arc<PatternRegex>, u32)]>,
    pub(super) any: Option<u32>,
}

/// What a search has before it.
#[derive(Debug, Clone, Copy)]
enum Rest {
    /// A segment that begins at this byte of the path.
    Segment(usize),
    /// Nothing: the path has ended.
    Nothing,
}

/// A search under way: the path and the parameters taken so far.
pub(super) struct Search<'a> {
    pub(super) path: &'a str,
    pub(super) spans: &'a mut SmallVec<[(u32, u32); 4]>,
}

/// How long the first segment of `rest` is, in bytes, and its [`mark`]: both from one look at each byte.
fn first_segment(rest: &[u8]) -> (usize, u32) {
    let mut mark = MARK_START;
    for (idx, byte) in rest.iter().enumerate() {
        if *byte == b'/' {
            return (idx, mark);
        }
        mark = marked(mark, *byte);
    }
    (rest.len(), mark)
}

/// The mark of a segment: its hash by FNV-1a (Fowler, Noll, Vo), for which texts as short as these are the best case.
pub(super) fn mark(segment: &str) -> u32 {
    segment.bytes().fold(MARK_START, marked)
}

const MARK_START: u32 = 0x811c_9dc5;

const fn marked(mark: u32, byte: u8) -> u32 {
    (mark ^ byte as u32).wrapping_mul(0x0100_0193)
}

impl Forest {
    /// The first route under `root` that the path leads to and that `fits`; its parameters are left in `search`. Routes
    /// that ask for nothing but host and path fit unasked.
    pub(super) fn search(
        &self,
        root: Root,
        search: &mut Search<'_>,
        fits: &mut impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        search.spans.clear();
        let first = search.path.starts_with('/').then_some(1)?;
        self.descend(root.node, Rest::Segment(first), search, fits)
    }

    /// Has the beginning of a tree brought, all at once instead of line by line on the way down.
    pub(super) fn expect_tree(&self, root: Root) {
        let first = |start: u32, count: usize| start as usize..start as usize + count;
        prefetch(within(&self.nodes, first(root.node, NODES_EXPECTED)));
        prefetch(within(&self.literals, first(root.literal, LITERALS_EXPECTED)));
    }

    /// Tries the node `at` with what is left of the path.
    fn descend(
        &self,
        at: u32,
        rest: Rest,
        search: &mut Search<'_>,
        fits: &mut impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        let node = self.nodes.get(at as usize)?;
        let found = match self.behind_text(node, rest, search.path)? {
            Rest::Segment(start) => self.descend_segment(node, start, search, fits),
            Rest::Nothing => first_fit(self.ending_at(node), fits),
        };
        found.or_else(|| first_fit(self.tails_of(node), fits))
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
        let (length, mark) = first_segment(path.as_bytes().get(start..)?);
        let end = start + length;
        let segment = path.get(start..end)?;
        let rest = if end < path.len() { Rest::Segment(end + 1) } else { Rest::Nothing };

        for child in self.literals(node, segment, mark) {
            if let Some(found) = self.descend(child, Rest::Segment(start), search, fits) {
                return Some(found);
            }
        }
        if segment.is_empty() {
            return None;
        }
        let span = (to_u32(start), to_u32(end));
        let mut behind = |child| {
            let depth = search.spans.len();
            search.spans.push(span);
            let found = self.descend(child, rest, search, fits);
            if found.is_none() {
                search.spans.truncate(depth);
            }
            found
        };
        match node.parameter {
            Parameter::Nothing => None,
            Parameter::One { kind, child } => kind.takes(segment).then(|| behind(child)).flatten(),
            Parameter::Several(number) => self.several.get(number as usize)?.taking(segment).find_map(behind),
        }
    }

    /// What comes behind the text of `node`, if what is left of the path begins with it.
    fn behind_text(&self, node: &Node, rest: Rest, path: &str) -> Option<Rest> {
        let Some(text) = node.text else { return Some(rest) };
        let Rest::Segment(start) = rest else { return None };
        let behind = path.as_bytes().get(start..)?.strip_prefix(text.in_texts(&self.texts))?;
        match behind.first() {
            None => Some(Rest::Nothing),
            Some(b'/') => Some(Rest::Segment(path.len() - behind.len() + 1)),
            Some(_) => None,
        }
    }

    /// The children of `node` whose text may begin with this segment, whose mark this is: hardly ever more than one.
    fn literals<'a>(&'a self, node: &Node, segment: &str, mark: u32) -> impl Iterator<Item = u32> + 'a {
        let (scanned, hashed) = match node.literals {
            Literals::Scanned { start, count } => (Places { start, end: start + u32::from(count) }, None),
            Literals::Hashed(number) => (
                Places::default(),
                self.wide.get(number as usize).and_then(|wide| wide.get(segment)).copied(),
            ),
        };
        let marked = scanned.of(&self.literals).iter().filter(move |literal| literal.mark == mark);
        marked.map(|literal| literal.child).chain(hashed)
    }

    /// Routes whose path ends at `node`, first choice first.
    fn ending_at<'a>(&'a self, node: &'a Node) -> &'a [Candidate] {
        match &node.end {
            End::Route(candidate) => std::slice::from_ref(candidate),
            End::Shared(number) => self.shared_end(*number, |shared| shared.routes),
            End::Nothing | End::Tail(_) => &[],
        }
    }

    /// Routes whose `/**` begins at `node`, first choice first.
    fn tails_of<'a>(&'a self, node: &'a Node) -> &'a [Candidate] {
        match &node.end {
            End::Tail(candidate) => std::slice::from_ref(candidate),
            End::Shared(number) => self.shared_end(*number, |shared| shared.tails),
            End::Nothing | End::Route(_) => &[],
        }
    }

    fn shared_end(&self, number: u32, part: impl Fn(&SharedEnd) -> Places) -> &[Candidate] {
        let shared = self.shared_ends.get(number as usize);
        shared.map(|shared| part(shared).of(&self.candidates)).unwrap_or_default()
    }
}

/// Requests and configurations are bounded far below 4 GiB, so the saturation is never seen.
pub(super) fn to_u32(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

fn first_fit(candidates: &[Candidate], fits: &mut impl FnMut(u32) -> bool) -> Option<u32> {
    let found = candidates.iter().find(|candidate| candidate.is_unconditional() || fits(candidate.entry()));
    found.map(|candidate| candidate.entry())
}

/// As much of `range` as there is of `list`.
fn within<T>(list: &[T], range: std::ops::Range<usize>) -> &[T] {
    list.get(range.start..range.end.min(list.len())).unwrap_or_default()
}

impl Places {
    /// What is there in `list`.
    fn of<T>(self, list: &[T]) -> &[T] {
        list.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

impl Place {
    fn new(idx: usize) -> Self {
        Self(std::num::NonZeroU32::MIN.saturating_add(to_u32(idx)))
    }

    const fn idx(self) -> usize {
        self.0.get() as usize - 1
    }
}

impl Candidate {
    pub(super) const fn new(entry: u32, unconditional: bool) -> Self {
        Self(entry << 1 | unconditional as u32)
    }

    const fn entry(self) -> u32 {
        self.0 >> 1
    }

    const fn is_unconditional(self) -> bool {
        self.0 & 1 == 1
    }
}

impl Text {
    /// The text at the end of `texts` from this byte on.
    pub(super) fn last(texts: &str, start: usize) -> Self {
        Self { start: Place::new(start), length: to_u32(texts.len() - start) }
    }

    fn in_texts(self, texts: &str) -> &[u8] {
        let start = self.start.idx();
        texts.as_bytes().get(start..start + self.length as usize).unwrap_or_default()
    }
}

impl Plain {
    fn takes(self, segment: &str) -> bool {
        match self {
            Self::Uint => ParamKind::Uint.accepts(segment),
            Self::Uuid => ParamKind::Uuid.accepts(segment),
            Self::Any => true,
        }
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
    fn a_path_is_cut_into_the_segments_whose_marks_are_kept() {
        check_first("orders/42", 6, "orders");
        check_first("orders", 6, "orders");
        check_first("/", 0, "");
        check_first("", 0, "");
    }

    fn check_first(rest: &str, length: usize, segment: &str) {
        assert_eq!(first_segment(rest.as_bytes()), (length, mark(segment)), "{rest:?}");
    }

    #[test]
    fn two_nodes_fit_a_cache_line() {
        assert_eq!(size_of::<Node>(), 32);
    }
}
