//! One watched service: drives the query's state machine and the brake, and publishes what traffic is told.
//!
//! It decides nothing about indexes or losses; it carries answers from the client to those who decide, and keeps
//! the books. It ends when nobody holds a receiver of its watch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_discovery_model::{EndpointSet, Freshness, Health};
use tokio::sync::watch;
use tracing::{info, warn};

use super::client::{ClientError, Target};
use super::query::{Ask, Event, Next, Query, QuerySettings, Trouble, Update};
use super::shared::{Road, Shared};
use super::translate::{SkipReason, Translated, translate};
use super::watches::{Watches, retire};
use crate::clock::wall;
use crate::fail_static::Brake;
use crate::status::{Taken, WatchStatus};
use crate::{ServiceQuery, Watched};

/// How long a service on a feed goes without being read when the feed says nothing. The feed names every change
/// that Consul shows; this is for those it does not.
const REREAD: Duration = Duration::from_secs(300);

/// What a watch is made of; cloned when it has to begin again.
#[derive(Debug, Clone)]
pub(crate) struct Watcher {
    pub(crate) query: ServiceQuery,
    pub(crate) shared: Arc<Shared>,
    pub(crate) road: Arc<Road>,
    pub(crate) sender: Arc<watch::Sender<Option<Arc<Watched>>>>,
    pub(crate) status: Arc<WatchStatus>,
    pub(crate) watches: Arc<Watches>,
}

/// What one life of a watch knows.
struct Life {
    watcher: Watcher,
    brake: Brake,
    /// When the registry was last heard, by the wall clock; of the restored set before that.
    heard: Option<SystemTime>,
    in_contact: bool,
    held_since: Option<SystemTime>,
    skipped: BTreeMap<SkipReason, u64>,
    poked: Option<watch::Receiver<u64>>,
}

impl Watcher {
    pub(crate) async fn run(self) {
        let shared = Arc::clone(&self.shared);
        let settings = match self.road.as_ref() {
            Road::Own(_) => shared.query_settings,
            // The feed ends the wait whenever it likes.
            Road::Feed(_) => QuerySettings { wait: Duration::ZERO, ..shared.query_settings },
        };
        let mut query = Query::<EndpointSet>::new(settings);
        let mut rng = shared.rng(&self.query);
        let mut life = Life::new(self);
        let mut event = Event::<EndpointSet>::Woke;
        loop {
            let answered = match &event {
                Event::Answered(_, set) => Some(set.clone()),
                Event::Woke | Event::Failed(_) => None,
            };
            let (stepped, next, update) = query.step(event, shared.elapsed(), &mut rng);
            query = stepped;
            life.take(update, answered.is_some() && query.last() == answered.as_ref());
            match life.perform(next).await {
                Some(happened) => event = happened,
                None => return,
            }
        }
    }
}

impl Life {
    fn new(watcher: Watcher) -> Self {
        let settings = watcher.shared.brake_settings;
        // After a panic the sender still holds what was told; after a restart of the process the disk does.
        let told = watcher.sender.borrow().clone();
        let recalled = watcher.shared.last_known.as_ref().and_then(|known| known.recall(&watcher.query));
        let (brake, heard) = match (recalled, told) {
            (Some(known), _) => (Brake::restored(settings, known.set), Some(known.since)),
            (None, Some(told)) => (Brake::restored(settings, told.set.clone()), Some(wall())),
            (None, None) => (Brake::new(settings), None),
        };
        let poked = match watcher.road.as_ref() {
            Road::Own(_) => None,
            Road::Feed(feed) => Some(feed.subscribe(watcher.query.name.as_str())),
        };
        let mut life = Self {
            watcher,
            brake,
            heard,
            in_contact: false,
            held_since: None,
            skipped: BTreeMap::new(),
            poked,
        };
        life.publish();
        life
    }

    fn take(&mut self, update: Option<Update<EndpointSet>>, believed: bool) {
        let (status, now) = (&self.watcher.status, self.watcher.shared.elapsed());
        if believed {
            status.contact(now);
            self.heard = Some(wall());
        }
        let service = self.watcher.query.name.as_str();
        match update {
            None if believed => status.taken(Taken::Unchanged),
            None => {}
            Some(Update::Changed(set)) => {
                self.in_contact = true;
                let applied = self.brake.offer(&set, now).is_some();
                let held = self.brake.held_since().is_some();
                status.taken(match (held, applied) {
                    (true, _) => Taken::Held,
                    (false, true) => Taken::Applied,
                    (false, false) => Taken::Unchanged,
                });
                if held {
                    warn!(service, named = set.len(), "a sudden loss of endpoints is held back");
                }
                self.remember(applied);
            }
            Some(Update::Lost) => {
                self.in_contact = false;
                self.brake.lost_contact();
                warn!(service, "contact with consul is lost, the last known endpoints stay");
            }
            Some(Update::Regained) => {
                self.in_contact = true;
                self.brake.regained_contact(now);
                status.taken(Taken::Unchanged);
                info!(service, "contact with consul is back");
            }
        }
        self.publish();
    }

    /// The brake's deadline has passed.
    fn tick(&mut self) {
        let applied = self.brake.tick(self.watcher.shared.elapsed()).is_some();
        if applied {
            info!(
                service = self.watcher.query.name.as_str(),
                "the loss of endpoints has lasted and is believed"
            );
        }
        self.remember(applied);
        self.publish();
    }

    fn remember(&self, applied: bool) {
        if let (true, Some(known), Some(set)) = (applied, &self.watcher.shared.last_known, self.brake.shown())
        {
            known.remember(&self.watcher.query, set, self.heard.unwrap_or_else(wall));
        }
    }

    fn publish(&mut self) {
        self.held_since = self.brake.held_since().and(self.held_since.or(self.heard));
        let Some(set) = self.brake.shown() else { return };
        let set = if self.watcher.query.passing_only {
            set.iter().filter(|endpoint| endpoint.health == Health::Passing).cloned().collect()
        } else {
            set.clone()
        };
        let since = if self.in_contact { self.held_since } else { self.heard.or(Some(wall())) };
        self.watcher.status.shown(set.len(), since);
        let freshness = since.map_or(Freshness::Live, |since| Freshness::Stale { since });
        let watched = Watched { set, freshness };
        self.watcher.sender.send_if_modified(|told| {
            let news = told.as_deref() != Some(&watched);
            if news {
                *told = Some(Arc::new(watched));
            }
            news
        });
    }

    /// Does what the query wants next; `None` when nobody listens any more.
    async fn perform(&mut self, next: Next) -> Option<Event<EndpointSet>> {
        let (watcher, mut poked) = (self.watcher.clone(), self.poked.take());
        let work = async move {
            let outcome = match next {
                Next::Sleep(pause) => {
                    tokio::time::sleep(pause).await;
                    Ok(None)
                }
                Next::Request(ask) => watcher.fetch(ask, poked.as_mut()).await.map(Some),
            };
            (outcome, poked)
        };
        tokio::pin!(work);
        let (outcome, poked) = loop {
            let deadline = self.brake.deadline().map(|at| self.watcher.shared.instant(at));
            tokio::select! {
                done = &mut work => break done,
                () = self.watcher.sender.closed() => {
                    if retire(&self.watcher) {
                        return None;
                    }
                }
                () = until(deadline) => self.tick(),
            }
        };
        self.poked = poked;
        Some(self.event(outcome))
    }

    fn event(&mut self, outcome: Result<Option<Fetched>, ClientError>) -> Event<EndpointSet> {
        match outcome {
            Ok(None) => Event::Woke,
            Ok(Some(Fetched::Answer(head, read))) => {
                self.count_skipped(read.skipped);
                Event::Answered(head, read.set)
            }
            Ok(Some(Fetched::FeedLost)) => Event::Failed(Trouble::Unreachable),
            Err(error) => {
                let trouble = error.trouble();
                self.watcher.status.error(trouble);
                warn!(service = self.watcher.query.name.as_str(), %error, "consul gave no usable answer");
                Event::Failed(trouble)
            }
        }
    }

    fn count_skipped(&mut self, skipped: BTreeMap<SkipReason, u64>) {
        if skipped == self.skipped {
            return;
        }
        for reason in SkipReason::ALL {
            self.watcher.status.skipped(reason, skipped.get(&reason).copied().unwrap_or(0));
        }
        let service = self.watcher.query.name.as_str();
        for (reason, count) in &skipped {
            warn!(service, reason = reason.label(), count, "entries of consul's answer cannot be used");
        }
        self.skipped = skipped;
    }
}

enum Fetched {
    Answer(super::query::AnswerHead, Translated),
    FeedLost,
}

impl Watcher {
    async fn fetch(
        &self,
        ask: Ask,
        poked: Option<&mut watch::Receiver<u64>>,
    ) -> Result<Fetched, ClientError> {
        let (Road::Feed(feed), Some(poked)) = (self.road.as_ref(), poked) else {
            return self.read(ask).await;
        };
        let mut state = feed.state();
        if ask.index > 0 {
            // What a blocking query would wait for, the feed says.
            tokio::select! {
                _ = poked.changed() => {}
                _ = state.wait_for(|state| state.lost()) => return Ok(Fetched::FeedLost),
                () = tokio::time::sleep(REREAD) => {}
            }
        } else {
            // While the feed is down, a thousand services must not each find out on their own.
            let _ended = state.wait_for(|state| !state.lost()).await;
        }
        let Ok(_permit) = self.shared.fetches.acquire().await else { return Ok(Fetched::FeedLost) };
        // Seen before reading, so that a change during the read is read again.
        poked.mark_unchanged();
        self.read(Ask { index: 0, ..ask }).await
    }

    async fn read(&self, ask: Ask) -> Result<Fetched, ClientError> {
        let target = Target {
            path: &["v1", "health", "service", self.query.name.as_str()],
            tag: self.query.tag.as_deref(),
            datacenter: self.query.datacenter.as_deref(),
        };
        let reply = self.shared.client.get(target, ask).await?;
        let read = translate(&reply.body).map_err(|error| ClientError::Malformed(error.to_string()))?;
        Ok(Fetched::Answer(reply.head, read))
    }
}

async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
