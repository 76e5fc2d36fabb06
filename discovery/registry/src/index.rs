//! Modify indexes: which number a reader of a topic gets, and that it only ever grows.
//! It decides numbers only; who waits for them is `wait`'s business.
//!
//! The rules are Consul's. One counter grows with each write; each service remembers the write that last touched it.
//! A service that does not exist answers with the last extinction of any service, or with the newest write of the
//! catalog if nothing was ever extinct: never with zero, because `index=0` does not block.

use std::collections::BTreeMap;

/// The index of a registry in which nothing was written yet. Greater than 1, because clients read 0 as 1.
pub const FIRST_INDEX: u64 = 2;

/// The counter, and the last write of each topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexes {
    last: u64,
    services: u64,
    checks: u64,
    kv: u64,
    extinction: Option<u64>,
    by_service: BTreeMap<String, ServiceIndex>,
}

/// The last writes that touched one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ServiceIndex {
    /// To an instance.
    instances: u64,
    /// To an instance or to a check.
    health: u64,
}

impl Default for Indexes {
    fn default() -> Self {
        Self {
            last: FIRST_INDEX,
            services: FIRST_INDEX,
            checks: FIRST_INDEX,
            kv: 0,
            extinction: None,
            by_service: BTreeMap::new(),
        }
    }
}

impl Indexes {
    /// The number the next write will carry.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.last.saturating_add(1)
    }

    /// The number of the newest write.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The newest write to any service instance.
    #[must_use]
    pub fn services(&self) -> u64 {
        self.services
    }

    /// The newest write to any check.
    #[must_use]
    pub fn checks(&self) -> u64 {
        self.checks
    }

    /// The newest write to the node, which is written once.
    #[must_use]
    pub fn node(&self) -> u64 {
        FIRST_INDEX
    }

    /// The newest write to the key-value store; 1 when there was none.
    #[must_use]
    pub fn kv(&self) -> u64 {
        self.kv.max(1)
    }

    /// The index of the instances and the checks of one service, existing or not.
    #[must_use]
    pub fn service(&self, name: &str) -> u64 {
        self.by_service.get(name).map_or_else(|| self.missing(), |index| index.health)
    }

    /// The index of the instances of one service, existing or not. Checks do not move it.
    #[must_use]
    pub fn instances(&self, name: &str) -> u64 {
        self.by_service.get(name).map_or_else(|| self.missing(), |index| index.instances)
    }

    /// Whether the service has an instance.
    #[must_use]
    pub fn exists(&self, name: &str) -> bool {
        self.by_service.contains_key(name)
    }

    fn missing(&self) -> u64 {
        self.extinction.unwrap_or(self.services.max(self.checks))
    }

    /// An instance of `name` was written.
    pub(crate) fn touch_service(&mut self, name: &str) {
        self.last = self.next();
        self.services = self.last;
        let both = ServiceIndex { instances: self.last, health: self.last };
        self.by_service.insert(name.to_owned(), both);
    }

    /// A check was written that belongs to these services.
    pub(crate) fn touch_checks<'n>(&mut self, names: impl Iterator<Item = &'n str>) {
        self.last = self.next();
        self.checks = self.last;
        for name in names {
            if let Some(index) = self.by_service.get_mut(name) {
                index.health = self.last;
            }
        }
    }

    /// The last instance of `name` has gone.
    pub(crate) fn extinct(&mut self, name: &str) {
        self.last = self.next();
        self.services = self.last;
        self.extinction = Some(self.last);
        self.by_service.remove(name);
    }

    /// A key was written or deleted.
    pub(crate) fn touch_kv(&mut self) {
        self.last = self.next();
        self.kv = self.last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_service_never_answers_zero() {
        assert!(Indexes::default().service("nobody") > 1);
    }

    #[test]
    fn the_extinction_of_a_service_is_seen_by_who_waits_for_it() {
        let mut indexes = Indexes::default();
        indexes.touch_service("web");
        let seen = indexes.service("web");
        indexes.extinct("web");
        assert!(indexes.service("web") > seen);
        let gone = indexes.service("web");
        indexes.touch_service("other");
        assert_eq!(indexes.service("web"), gone, "other services do not wake it");
        indexes.touch_service("web");
        assert!(indexes.service("web") > gone);
    }
}
