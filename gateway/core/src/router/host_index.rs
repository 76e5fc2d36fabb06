//! From a request's host to the trees of routes to try.
//!
//! Decides the order exact host, wildcards from the longest, any. A thousand hosts are found cold in the cache, so each is kept
//! in one line of it, whose place can be told, and asked for, before it is needed.

use std::collections::BTreeMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use portcullis_prefetch::prefetch;
use smallvec::SmallVec;

use super::HostPattern;
use super::tree::{FixedHash, Root};

/// Longest host that is kept beside its root, in bytes; a longer one costs a look at another line.
const HOST_BYTES_INLINE: usize = 40;
/// Slots for each host: with half of them free, most hosts are where they are looked for first.
const SLOTS_PER_HOST: usize = 2;

/// The hosts that routes name, while routes are still being added.
#[derive(Debug, Default)]
pub(super) struct HostNames {
    exact: BTreeMap<Arc<str>, Root>,
    below: BTreeMap<Arc<str>, Root>,
    any: Option<Root>,
}

impl HostNames {
    /// The root for `host`, made by `plant` the first time it is named.
    pub(super) fn root_of(&mut self, host: &HostPattern, plant: impl FnOnce() -> Root) -> Root {
        let (names, name) = match host {
            HostPattern::Exact(name) => (&mut self.exact, name),
            HostPattern::Below(suffix) => (&mut self.below, suffix),
        };
        *names.entry(Arc::clone(name)).or_insert_with(plant)
    }

    /// The root for routes that name no host.
    pub(super) fn root_of_any(&mut self, plant: impl FnOnce() -> Root) -> Root {
        *self.any.get_or_insert_with(plant)
    }

    /// The index of all of them; `to` says where a tree was laid down.
    pub(super) fn index(self, to: impl Fn(Root) -> Root) -> HostIndex {
        let Self { exact, below, any } = self;
        let [exact, below] = [exact, below].map(|names| HostTable::of(&names, &to));
        HostIndex { exact, below, any: any.map(to) }
    }
}

/// From a host to the roots of the trees that may hold its route.
#[derive(Debug)]
pub(super) struct HostIndex {
    exact: HostTable,
    below: HostTable,
    any: Option<Root>,
}

impl HostIndex {
    /// The roots to try for `host`, most specific first.
    pub(super) fn roots(&self, host: &str) -> impl Iterator<Item = Root> {
        let mut rest = if self.below.is_empty() { None } else { Some(host) };
        let below = std::iter::from_fn(move || {
            loop {
                let (label, suffix) = rest?.split_once('.')?;
                rest = Some(suffix);
                // an empty label is no label: `.example.com` is not below `example.com`
                let root = if label.is_empty() { None } else { self.below.get(suffix) };
                if root.is_some() {
                    return root;
                }
            }
        });
        self.exact.get(host).into_iter().chain(below).chain(self.any)
    }

    /// The root that a request for `host` most likely ends up under; wildcards are not worth a second look.
    pub(super) fn likeliest_root(&self, host: &str) -> Option<Root> {
        self.exact.get(host).or(self.any)
    }

    /// Has the line brought where [`Self::roots`] looks first.
    pub(super) fn expect(&self, host: &str) {
        if let Some(slot) = self.exact.slots.get(self.exact.first(host)) {
            prefetch(slot);
        }
    }
}

/// Hosts and their roots by hash, with linear probing (Knuth, TAOCP vol. 3, §6.4, algorithm L). Never changes.
#[derive(Debug)]
struct HostTable {
    /// A power of two of them, or none; at least one is free.
    slots: Box<[Option<Slot>]>,
}

#[derive(Debug)]
#[repr(align(64))]
struct Slot {
    host: SmallVec<[u8; HOST_BYTES_INLINE]>,
    root: Root,
}

impl HostTable {
    fn of(names: &BTreeMap<Arc<str>, Root>, to: impl Fn(Root) -> Root) -> Self {
        let n_slots = if names.is_empty() { 0 } else { (names.len() * SLOTS_PER_HOST).next_power_of_two() };
        let mut table = Self { slots: (0..n_slots).map(|_| None).collect() };
        for (name, root) in names {
            let free = table.probes(name).find(|idx| table.slots.get(*idx).is_some_and(Option::is_none));
            if let Some(slot) = free.and_then(|idx| table.slots.get_mut(idx)) {
                *slot = Some(Slot { host: name.as_bytes().into(), root: to(*root) });
            }
        }
        table
    }

    fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn get(&self, host: &str) -> Option<Root> {
        let mut probed = self.probes(host).map_while(|idx| self.slots.get(idx)?.as_ref());
        probed.find(|slot| *slot.host == *host.as_bytes()).map(|slot| slot.root)
    }

    /// Every slot once, in the order in which `host` is looked for.
    fn probes(&self, host: &str) -> impl Iterator<Item = usize> + use<> {
        let (first, last) = (self.first(host), self.slots.len().wrapping_sub(1));
        (0..self.slots.len()).map(move |step| first.wrapping_add(step) & last)
    }

    /// The slot in which `host` is looked for first; beyond all of them if there are none.
    fn first(&self, host: &str) -> usize {
        match self.slots.len() {
            0 => 0,
            #[expect(clippy::cast_possible_truncation, reason = "the low bits are all that is wanted")]
            n_slots => FixedHash::default().hash_one(host.as_bytes()) as usize & (n_slots - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(hosts: &[&str]) -> HostIndex {
        let mut names = HostNames::default();
        for (number, host) in (0..).zip(hosts) {
            let root = Root { node: number, literal: 0 };
            names.root_of(&HostPattern::parse(host).unwrap(), || root);
        }
        names.index(|root| Root { literal: root.node + 1, ..root })
    }

    fn nodes(index: &HostIndex, host: &str) -> Vec<u32> {
        index.roots(host).map(|root| root.node).collect()
    }

    #[test]
    fn every_host_is_found_and_no_other() {
        let hosts: Vec<String> = (0..500).map(|number| format!("h{number}.example")).collect();
        let index = index(&hosts.iter().map(String::as_str).collect::<Vec<_>>());
        for (number, host) in (0..).zip(&hosts) {
            index.expect(host);
            assert_eq!(nodes(&index, host), [number], "{host}");
            assert_eq!(index.roots(host).next().map(|root| root.literal), Some(number + 1));
        }
        assert!(nodes(&index, "h500.example").is_empty());
        assert!(nodes(&index, "").is_empty());
    }

    #[test]
    fn a_host_too_long_for_its_slot_is_found_too() {
        let long = format!("{}example", "label.".repeat(20));
        let index = index(&["short.example", &long]);
        assert_eq!(nodes(&index, &long), [1]);
    }

    #[test]
    fn the_exact_host_comes_before_the_wildcards_and_the_longest_of_them_first() {
        let index = index(&["*.example", "*.shop.example", "a.shop.example"]);
        assert_eq!(nodes(&index, "a.shop.example"), [2, 1, 0]);
        assert_eq!(nodes(&index, "shop.example"), [0]);
        assert_eq!(index.likeliest_root("a.shop.example").map(|root| root.node), Some(2));
        assert_eq!(index.likeliest_root("shop.example"), None);
        assert!(nodes(&index, "example").is_empty());
    }

    #[test]
    fn without_hosts_none_is_found() {
        let index = index(&[]);
        index.expect("a.example");
        assert!(nodes(&index, "a.example").is_empty());
    }

    #[test]
    fn a_slot_is_one_cache_line() {
        assert_eq!((size_of::<Option<Slot>>(), align_of::<Slot>()), (64, 64));
    }
}
