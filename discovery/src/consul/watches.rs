//! The watches that run: one per query, shared by all who ask the same.
//!
//! It decides when a watch begins and that none outlives its last receiver.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::shared::{Road, Shared};
use super::watcher::Watcher;
use crate::status::WatchStatus;
use crate::{EndpointWatch, ServiceQuery, ServiceStatus, Watched};

#[derive(Debug, Default)]
pub(crate) struct Watches(Mutex<HashMap<ServiceQuery, Running>>);

#[derive(Debug)]
struct Running {
    sender: Arc<watch::Sender<Option<Arc<Watched>>>>,
    status: Arc<WatchStatus>,
    road: Arc<Road>,
}

impl Watches {
    pub(crate) fn join(self: &Arc<Self>, query: &ServiceQuery, shared: &Arc<Shared>) -> EndpointWatch {
        let mut running = self.lock();
        if let Some(found) = running.get(query) {
            return EndpointWatch::new(found.sender.subscribe());
        }
        let (sender, receiver) = watch::channel(None);
        let watcher = Watcher {
            query: query.clone(),
            shared: Arc::clone(shared),
            road: Arc::new(shared.road(query.datacenter.as_ref())),
            sender: Arc::new(sender),
            status: Arc::default(),
            watches: Arc::clone(self),
        };
        let begun = Running {
            sender: Arc::clone(&watcher.sender),
            status: Arc::clone(&watcher.status),
            road: Arc::clone(&watcher.road),
        };
        running.insert(query.clone(), begun);
        drop(running);
        shared.supervise("consul watch", move || watcher.clone().run());
        EndpointWatch::new(receiver)
    }

    pub(crate) fn status(&self, shared: &Shared) -> Vec<ServiceStatus> {
        let now = shared.elapsed();
        let mut all: Vec<ServiceStatus> = self
            .lock()
            .iter()
            .map(|(query, running)| {
                let heard = match running.road.as_ref() {
                    Road::Own(_) => None,
                    Road::Feed(feed) => Some(feed.contact()),
                };
                running.status.snapshot(query, now, heard)
            })
            .collect();
        all.sort_by(|a, b| a.query.cmp(&b.query));
        all
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ServiceQuery, Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends `watcher` unless somebody has joined since its last receiver went. Joining takes the same lock, so
/// nobody can be left with a watch that has just ended.
pub(crate) fn retire(watcher: &Watcher) -> bool {
    let mut running = watcher.watches.lock();
    let alone = watcher.sender.receiver_count() == 0;
    if alone {
        running.remove(&watcher.query);
    }
    alone
}
