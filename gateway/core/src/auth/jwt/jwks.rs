//! One issuer's keys as they are now, and the state of fetching them.
//!
//! The shell asks [`JwksCell::plan`], fetches, and reports with [`JwksCell::publish`] or [`JwksCell::fail`]. A failed
//! fetch leaves the keys as they were. Reading keys takes no lock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwapOption, Guard};

use super::keys::KeySet;
use super::refresh::{Refresh, RefreshPlan};
use crate::units::Moment;

/// Where an issuer publishes its keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum JwksSource {
    /// At this `http` or `https` URL.
    Url(Arc<str>),
    /// At this path of any endpoint of a discovered service.
    Service {
        /// The service's name.
        name: Arc<str>,
        /// The path, starting with `/`.
        path: Arc<str>,
    },
}

/// The moving part of every gate that trusts one issuer. Carried over a reload if the source is the same.
#[derive(Debug)]
pub struct JwksCell {
    source: JwksSource,
    keys: ArcSwapOption<KeySet>,
    refresh: Mutex<Refresh>,
}

impl JwksCell {
    /// A cell without keys: every gate on it refuses until some are published.
    #[must_use]
    pub fn new(source: JwksSource) -> Self {
        Self { source, keys: ArcSwapOption::empty(), refresh: Mutex::default() }
    }

    /// Where the keys come from; the identity by which a reload carries the cell.
    #[must_use]
    pub const fn source(&self) -> &JwksSource {
        &self.source
    }

    /// The keys as they are now.
    #[must_use]
    pub fn current(&self) -> Option<Arc<KeySet>> {
        self.keys.load_full()
    }

    /// The keys as they are now, without touching their count.
    pub(super) fn load(&self) -> Guard<Option<Arc<KeySet>>> {
        self.keys.load()
    }

    /// Whether the shell should fetch at `now`, and if not, when to ask again.
    #[must_use]
    pub fn plan(&self, now: Moment) -> RefreshPlan {
        self.refresh().plan(now)
    }

    /// Says that a token named an unknown key. Returns what to do about it; on `Fetch`, call [`JwksCell::begin`].
    pub fn unknown_kid(&self, now: Moment) -> RefreshPlan {
        let mut refresh = self.refresh();
        refresh.want();
        refresh.plan(now)
    }

    /// Starts a fetch if the plan still says so; `false` if somebody else has started one.
    #[must_use]
    pub fn begin(&self, now: Moment) -> bool {
        let mut refresh = self.refresh();
        let due = matches!(refresh.plan(now), RefreshPlan::Fetch(_));
        if due {
            refresh.begin(now);
        }
        due
    }

    /// The fetch brought these keys. Returns whether they differ from the ones before; if they do not, nothing
    /// changes and hot tokens stay hot.
    pub fn publish(&self, mut keys: KeySet) -> bool {
        let mut refresh = self.refresh();
        refresh.succeed();
        let old = self.keys.load();
        if old.as_ref().is_some_and(|old| old.is_same_as(&keys)) {
            return false;
        }
        keys.generation = old.as_ref().map_or(1, |old| old.generation.wrapping_add(1));
        self.keys.store(Some(Arc::new(keys)));
        true
    }

    /// The fetch failed, or what it brought was no key set. The keys stay as they are.
    pub fn fail(&self) {
        self.refresh().fail();
    }

    /// The state is plain numbers, whole at every step: a panic elsewhere cannot have torn it.
    fn refresh(&self) -> MutexGuard<'_, Refresh> {
        self.refresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::issuer::Issuer;
    use super::super::refresh::RefreshReason;
    use super::*;

    fn cell() -> JwksCell {
        JwksCell::new(JwksSource::Url("https://issuer.example/jwks".into()))
    }

    #[test]
    fn a_failed_fetch_leaves_the_keys_as_they_were() {
        let cell = cell();
        assert!(cell.current().is_none());
        assert!(cell.begin(Moment::ORIGIN));
        assert!(cell.publish(Issuer::es256("a").key_set()));
        cell.fail();
        assert_eq!(cell.current().unwrap().len(), 1);
    }

    #[test]
    fn only_one_of_two_callers_starts_a_fetch() {
        let cell = cell();
        assert_eq!(cell.plan(Moment::ORIGIN), RefreshPlan::Fetch(RefreshReason::First));
        assert!(cell.begin(Moment::ORIGIN));
        assert!(!cell.begin(Moment::ORIGIN));
    }

    #[test]
    fn the_same_keys_again_change_nothing() {
        let cell = cell();
        let issuer = Issuer::es256("a");
        assert!(cell.publish(issuer.key_set()));
        let generation = cell.current().unwrap().generation;
        assert!(!cell.publish(issuer.key_set()));
        assert_eq!(cell.current().unwrap().generation, generation);
        assert!(cell.publish(Issuer::es256("b").key_set()));
        assert_ne!(cell.current().unwrap().generation, generation);
    }

    #[test]
    fn an_unknown_key_id_is_answered_with_a_fetch_only_after_the_interval() {
        let cell = cell();
        assert!(cell.begin(Moment::ORIGIN));
        assert!(cell.publish(Issuer::es256("a").key_set()));
        let soon = Moment::ORIGIN + Duration::from_secs(3);
        assert_eq!(cell.unknown_kid(soon), RefreshPlan::Wait(Duration::from_secs(7)));
        let later = Moment::ORIGIN + Duration::from_secs(10);
        assert_eq!(cell.unknown_kid(later), RefreshPlan::Fetch(RefreshReason::UnknownKid));
    }
}
