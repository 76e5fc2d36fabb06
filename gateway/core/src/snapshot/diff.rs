//! What a reload changes, for its report.
//!
//! Decides which routes, upstreams, listeners and consumers came, went or mean something else. Changes nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::Snapshot;

/// How one named thing differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It means something else.
    Changed,
}

/// All named things that differ, by kind and name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Routes.
    pub routes: BTreeMap<Arc<str>, Change>,
    /// Upstreams.
    pub upstreams: BTreeMap<Arc<str>, Change>,
    /// Listeners.
    pub listeners: BTreeMap<Arc<str>, Change>,
    /// Consumers.
    pub consumers: BTreeMap<Arc<str>, Change>,
}

impl Difference {
    /// What `new` changes of `old`.
    #[must_use]
    pub fn between(old: &Snapshot, new: &Snapshot) -> Self {
        let routes = |snapshot: &Snapshot| -> BTreeMap<Arc<str>, u64> {
            snapshot.router.iter().map(|(name, route)| (Arc::clone(name), route.fingerprint)).collect()
        };
        Self {
            routes: changes(&routes(old), &routes(new), |one, other| one == other),
            upstreams: changes(&old.upstreams, &new.upstreams, |one, other| {
                one.source == other.source
                    && one.protocol == other.protocol
                    && one.cell.settings() == other.cell.settings()
            }),
            listeners: changes(&old.listeners, &new.listeners, |one, other| one == other),
            consumers: changes(&old.consumers, &new.consumers, |one, other| {
                one.limit.as_ref().map(|limit| limit.settings())
                    == other.limit.as_ref().map(|limit| limit.settings())
            }),
        }
    }

    /// Whether nothing that has a name differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        [&self.routes, &self.upstreams, &self.listeners, &self.consumers].iter().all(|kind| kind.is_empty())
    }
}

fn changes<T>(
    old: &BTreeMap<Arc<str>, T>,
    new: &BTreeMap<Arc<str>, T>,
    is_same: impl Fn(&T, &T) -> bool,
) -> BTreeMap<Arc<str>, Change> {
    let gone =
        old.keys().filter(|name| !new.contains_key(*name)).map(|name| (Arc::clone(name), Change::Removed));
    let came = new.iter().filter_map(|(name, now)| {
        let change = match old.get(name) {
            None => Change::Added,
            Some(before) if is_same(before, now) => return None,
            Some(_) => Change::Changed,
        };
        Some((Arc::clone(name), change))
    });
    gone.chain(came).collect()
}

impl fmt::Display for Difference {
    /// One line, such as `routes +1 ~2, upstreams -1`; `nothing` if there is no difference.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            ("routes", &self.routes),
            ("upstreams", &self.upstreams),
            ("listeners", &self.listeners),
            ("consumers", &self.consumers),
        ];
        let mut separator = "";
        for (kind, changes) in kinds.into_iter().filter(|(_, changes)| !changes.is_empty()) {
            write!(f, "{separator}{kind}")?;
            for (sign, change) in [('+', Change::Added), ('-', Change::Removed), ('~', Change::Changed)] {
                let count = changes.values().filter(|known| **known == change).count();
                if count > 0 {
                    write!(f, " {sign}{count}")?;
                }
            }
            separator = ", ";
        }
        if separator.is_empty() { f.write_str("nothing") } else { Ok(()) }
    }
}
