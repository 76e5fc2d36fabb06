//! One watch over everything, for the services that have no connection of their own.
//!
//! It decides which services are to be read again. Two blocking queries tell it: every check of the datacenter
//! (which services' health moved) and the catalog's index (that anything at all moved, seen or unseen).
//! It never reads a service itself and never holds more than these two connections per datacenter.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use portcullis_consul_wire::CheckStatus;
use serde::Deserialize;
use tokio::sync::watch;
use tracing::{info, warn};

use super::client::{ClientError, Reply, Target};
use super::query::{Ask, Event, Next, Query, Update};
use super::shared::Shared;

/// How seldom everything is read again because the catalog moved: the checks already named what can be named.
const SWEEP_PACE: Duration = Duration::from_secs(10);

/// Whether both queries of a feed are in contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct FeedState {
    pub(crate) checks_lost: bool,
    pub(crate) catalog_lost: bool,
}

impl FeedState {
    pub(crate) fn lost(self) -> bool {
        self.checks_lost || self.catalog_lost
    }
}

/// The feed of one datacenter.
#[derive(Debug)]
pub(crate) struct Feed {
    pokes: Mutex<BTreeMap<Arc<str>, watch::Sender<u64>>>,
    state: watch::Receiver<FeedState>,
    contact: AtomicU64,
}

impl Feed {
    /// Starts the feed's two queries; they end when the last `Arc` of it is dropped.
    pub(crate) fn start(shared: &Arc<Shared>, datacenter: Option<Arc<str>>) -> Arc<Self> {
        let (sender, state) = watch::channel(FeedState::default());
        let feed = Arc::new(Self {
            pokes: Mutex::default(),
            state,
            contact: AtomicU64::new(shared.elapsed_nanos()),
        });
        let sender = Arc::new(sender);
        for kind in [Kind::Checks, Kind::Catalog] {
            let follow = Follow {
                feed: Arc::downgrade(&feed),
                shared: Arc::clone(shared),
                datacenter: datacenter.clone(),
                state: Arc::clone(&sender),
                kind,
            };
            shared.supervise("consul feed", move || follow.clone().run());
        }
        feed
    }

    /// A receiver that changes whenever `service` is to be read again.
    pub(crate) fn subscribe(&self, service: &str) -> watch::Receiver<u64> {
        let mut pokes = self.pokes();
        pokes.retain(|_, sender| sender.receiver_count() > 0);
        pokes.entry(Arc::from(service)).or_insert_with(|| watch::channel(0).0).subscribe()
    }

    pub(crate) fn state(&self) -> watch::Receiver<FeedState> {
        self.state.clone()
    }

    /// When both queries last had an answer, at the latest.
    pub(crate) fn contact(&self) -> Duration {
        Duration::from_nanos(self.contact.load(Ordering::Relaxed))
    }

    fn poke(&self, which: &Moved) {
        for (name, sender) in self.pokes().iter() {
            if which.whole || which.services.contains(name.as_ref()) {
                sender.send_modify(|count| *count = count.wrapping_add(1));
            }
        }
    }

    fn pokes(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, watch::Sender<u64>>> {
        self.pokes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Checks,
    Catalog,
}

#[derive(Clone)]
struct Follow {
    feed: Weak<Feed>,
    shared: Arc<Shared>,
    datacenter: Option<Arc<str>>,
    state: Arc<watch::Sender<FeedState>>,
    kind: Kind,
}

impl Follow {
    async fn run(self) {
        let mut query = Query::<Picture>::new(self.shared.query_settings);
        let mut event = Event::Woke;
        let mut swept = None;
        let mut rng = self.shared.rng(&(self.kind, &self.datacenter));
        loop {
            let before = query.last().cloned();
            let (stepped, next, update) = query.step(event, self.shared.elapsed(), &mut rng);
            query = stepped;
            if self.kind == Kind::Catalog && matches!(update, Some(Update::Changed(_))) {
                self.lost(false);
                let now = self.shared.elapsed();
                let due = swept.map_or(now, |at: Duration| (at + SWEEP_PACE).max(now));
                swept = Some(due);
                tokio::select! {
                    () = tokio::time::sleep_until(self.shared.instant(due)) => {}
                    () = self.state.closed() => return,
                }
            }
            let Some(feed) = self.feed.upgrade() else { return };
            self.tell(&feed, before.as_ref(), update);
            drop(feed);
            let work = async {
                match next {
                    Next::Sleep(pause) => {
                        tokio::time::sleep(pause).await;
                        Event::Woke
                    }
                    Next::Request(ask) => self.ask(ask).await,
                }
            };
            event = tokio::select! {
                event = work => event,
                () = self.state.closed() => return,
            };
        }
    }

    fn tell(&self, feed: &Feed, before: Option<&Picture>, update: Option<Update<Picture>>) {
        match update {
            None => {}
            Some(Update::Changed(now)) => {
                self.lost(false);
                // The first picture says nothing about what happened while it was being taken.
                feed.poke(&before.map_or(Moved::everything(), |before| Moved::between(before, &now)));
            }
            Some(Update::Lost) => self.lost(true),
            Some(Update::Regained) => {
                self.lost(false);
                info!(feed = ?self.kind, "consul answers again");
            }
        }
    }

    fn lost(&self, lost: bool) {
        self.state.send_if_modified(|state| {
            let flag = match self.kind {
                Kind::Checks => &mut state.checks_lost,
                Kind::Catalog => &mut state.catalog_lost,
            };
            std::mem::replace(flag, lost) != lost
        });
    }

    async fn ask(&self, ask: Ask) -> Event<Picture> {
        let path: &[&str] = match self.kind {
            Kind::Checks => &["v1", "health", "state", "any"],
            Kind::Catalog => &["v1", "catalog", "services"],
        };
        let target = Target { path, tag: None, datacenter: self.datacenter.as_deref() };
        let read = self.shared.client.get(target, ask).await.and_then(|reply| self.read(reply));
        match read {
            Ok(event) => event,
            Err(error) => {
                warn!(feed = ?self.kind, %error, "consul cannot be watched");
                Event::Failed(error.trouble())
            }
        }
    }

    fn read(&self, reply: Reply) -> Result<Event<Picture>, ClientError> {
        let picture = match self.kind {
            Kind::Checks => Picture::of_checks(&reply.body),
            Kind::Catalog => Picture::of_index(&reply.body, reply.head.index.as_deref()),
        };
        let picture = picture.map_err(|error| ClientError::Malformed(error.to_string()))?;
        if let (Kind::Checks, Some(feed)) = (self.kind, self.feed.upgrade()) {
            feed.contact.store(self.shared.elapsed_nanos(), Ordering::Relaxed);
        }
        Ok(Event::Answered(reply.head, picture))
    }
}

/// What a feed's answer looked like, as hashes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Picture {
    /// What concerns every service: the nodes' own checks, or the catalog's index.
    whole: u64,
    services: BTreeMap<String, u64>,
}

/// Which services are to be read again.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct Moved {
    whole: bool,
    services: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct CheckLine {
    node: String,
    #[serde(rename = "CheckID")]
    check_id: String,
    #[serde(deserialize_with = "status")]
    status: CheckStatus,
    #[serde(rename = "ServiceID")]
    service_id: String,
    service_name: String,
}

impl Default for CheckLine {
    fn default() -> Self {
        Self {
            node: String::new(),
            check_id: String::new(),
            status: CheckStatus::Critical,
            service_id: String::new(),
            service_name: String::new(),
        }
    }
}

/// An unknown word is critical here as it is in an entry.
fn status<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<CheckStatus, D::Error> {
    let word = String::deserialize(deserializer)?;
    Ok(word.parse().unwrap_or(CheckStatus::Critical))
}

impl Picture {
    fn of_checks(body: &[u8]) -> Result<Self, serde_json::Error> {
        let checks: Option<Vec<CheckLine>> = serde_json::from_slice(body)?;
        let mut picture = Self::default();
        for check in checks.unwrap_or_default() {
            let hash = hash(&(&check.node, &check.check_id, check.status as u8, &check.service_id));
            // A sum, because Consul promises no order.
            let sum = if check.service_name.is_empty() {
                &mut picture.whole
            } else {
                picture.services.entry(check.service_name).or_default()
            };
            *sum = sum.wrapping_add(hash);
        }
        Ok(picture)
    }

    fn of_index(body: &[u8], index: Option<&str>) -> Result<Self, serde_json::Error> {
        let _services: BTreeMap<String, serde::de::IgnoredAny> = serde_json::from_slice(body)?;
        Ok(Self { whole: hash(&index), services: BTreeMap::new() })
    }
}

impl Moved {
    fn everything() -> Self {
        Self { whole: true, services: BTreeSet::new() }
    }

    fn between(before: &Picture, now: &Picture) -> Self {
        let gone = before.services.keys().filter(|name| !now.services.contains_key(*name));
        let differs = |(name, hash): &(&String, &u64)| before.services.get(*name) != Some(*hash);
        let other = now.services.iter().filter(differs).map(|(name, _)| name);
        Self { whole: before.whole != now.whole, services: gone.chain(other).cloned().collect() }
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(service: &str, id: &str, status: &str) -> String {
        format!(
            r#"{{"Node":"n","CheckID":"{id}","Status":"{status}","ServiceID":"{id}","ServiceName":"{service}"}}"#
        )
    }

    fn picture(checks: &[String]) -> Picture {
        Picture::of_checks(format!("[{}]", checks.join(",")).as_bytes()).expect("checks")
    }

    fn moved(before: &[String], now: &[String]) -> (bool, Vec<String>) {
        let moved = Moved::between(&picture(before), &picture(now));
        (moved.whole, moved.services.into_iter().collect())
    }

    #[test]
    fn only_the_service_whose_check_moved_is_read_again() {
        let (web, api) = (check("web", "w1", "passing"), check("api", "a1", "passing"));
        let web_down = check("web", "w1", "critical");
        assert_eq!(moved(&[web.clone(), api.clone()], &[api.clone(), web_down]), (false, vec!["web".into()]));
        assert_eq!(moved(&[web.clone(), api.clone()], &[api.clone(), web.clone()]), (false, vec![]));
        assert_eq!(moved(&[web.clone(), api.clone()], &[api]), (false, vec!["web".into()]));
        assert_eq!(moved(&[], &[web]), (false, vec!["web".into()]));
    }

    #[test]
    fn a_nodes_own_check_concerns_every_service() {
        let up = check("", "serfHealth", "passing");
        let down = check("", "serfHealth", "critical");
        assert_eq!(moved(&[up], &[down]), (true, vec![]));
    }

    #[test]
    fn the_catalog_moves_with_its_index_and_must_be_an_object() {
        let at = |index| Picture::of_index(b"{\"web\":[]}", Some(index)).expect("a catalog");
        assert!(Moved::between(&at("5"), &at("6")).whole);
        assert_eq!(at("5"), at("5"));
        assert!(Picture::of_index(b"<html>", Some("5")).is_err());
        assert!(Picture::of_checks(b"{}").is_err());
    }
}
