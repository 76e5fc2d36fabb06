//! Endpoint watches → upstream cells: one task a watched service, however many upstreams use it.
//!
//! Decides nothing about a set; hands each new one to every cell of the snapshot in use that asked
//! for it. After a swap, [`Follow::reconcile`] starts and ends watches and brings new cells up to date.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use portcullis_core::auth::JwksSource;
use portcullis_core::snapshot::{Snapshot, Upstream, UpstreamSource};
use portcullis_discovery::{EndpointWatch, ServiceQuery, Source, Watched};
use portcullis_discovery_model::ServiceName;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::events::{Before, Events};
use crate::live::Live;

/// Keeps the cells of the snapshot in use filled.
#[derive(Debug)]
pub struct Follow {
    source: Arc<dyn Source>,
    live: Arc<ArcSwap<Live>>,
    events: Arc<Events>,
    runtime: Handle,
    following: Mutex<BTreeMap<ServiceQuery, Following>>,
}

#[derive(Debug)]
struct Following {
    watch: EndpointWatch,
    task: JoinHandle<()>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Follow {
    /// Follows on `runtime` what the snapshots in `live` ask of `source`, and tells `events` what changed.
    #[must_use]
    pub fn new(
        source: Arc<dyn Source>,
        live: Arc<ArcSwap<Live>>,
        events: Arc<Events>,
        runtime: Handle,
    ) -> Self {
        Self { source, live, events, runtime, following: Mutex::default() }
    }

    /// Where the endpoints come from, to ask how it is.
    #[must_use]
    pub fn source(&self) -> &dyn Source {
        &*self.source
    }

    /// The endpoints of a service that is watched, as they are now.
    #[must_use]
    pub fn endpoints_of(&self, service: &str) -> Option<Arc<Watched>> {
        let following = self.following();
        let mut known = following.iter().filter(|(query, _)| query.name.as_str() == service);
        known.find_map(|(_, following)| following.watch.current())
    }

    /// Watches exactly what the snapshot in use asks for, and gives its cells what is known already.
    /// To be called after every swap.
    pub fn reconcile(&self) {
        let live = self.live.load_full();
        let wanted: BTreeSet<ServiceQuery> =
            queries(&live.snapshot).map(|(query, _)| query).chain(issuers(&live.snapshot)).collect();
        let mut following = self.following();
        following.retain(|query, _| wanted.contains(query));
        for query in wanted {
            let known = following.entry(query.clone()).or_insert_with(|| self.start(query.clone()));
            if let Some(watched) = known.watch.current() {
                give(&live.snapshot, &query, &watched, &self.events);
            }
        }
    }

    /// Waits until every watched service has had its first answer, at most `within`. The services
    /// that have not are named.
    pub async fn first_answers(&self, within: Duration) -> Vec<String> {
        let waiting: Vec<(ServiceQuery, EndpointWatch)> =
            self.following().iter().map(|(query, known)| (query.clone(), known.watch.clone())).collect();
        let deadline = tokio::time::sleep(within);
        tokio::pin!(deadline);
        let mut silent = Vec::new();
        for (query, mut watch) in waiting {
            let answered = tokio::select! {
                biased;
                first = watch.first() => first,
                () = &mut deadline => watch.current(),
            };
            if answered.is_none() {
                silent.push(query.name.to_string());
            }
        }
        silent
    }

    fn start(&self, query: ServiceQuery) -> Following {
        let watch = self.source.watch(&query);
        let (mut theirs, live, events) = (watch.clone(), self.live.clone(), self.events.clone());
        let task = async move {
            let mut newest = theirs.first().await;
            while let Some(watched) = newest {
                give(&live.load().snapshot, &query, &watched, &events);
                newest = theirs.changed().await;
            }
        };
        Following { watch, task: self.runtime.spawn(task) }
    }

    fn following(&self) -> MutexGuard<'_, BTreeMap<ServiceQuery, Following>> {
        self.following.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every upstream that is a service, with its question.
fn queries(snapshot: &Snapshot) -> impl Iterator<Item = (ServiceQuery, &Arc<Upstream>)> {
    snapshot.upstreams.values().filter_map(|upstream| Some((query_of(upstream)?, upstream)))
}

/// The services that serve issuers' keys; no route need use them as an upstream.
fn issuers(snapshot: &Snapshot) -> impl Iterator<Item = ServiceQuery> {
    snapshot.jwks.iter().filter_map(|cell| match cell.source() {
        JwksSource::Service { name, .. } => ServiceName::new(name).ok().map(ServiceQuery::new),
        JwksSource::Url(_) => None,
    })
}

fn query_of(upstream: &Upstream) -> Option<ServiceQuery> {
    match &upstream.source {
        UpstreamSource::Service { name, tag, datacenter, passing_only } => Some(ServiceQuery {
            name: name.clone(),
            tag: tag.clone(),
            datacenter: datacenter.clone(),
            passing_only: *passing_only,
        }),
        UpstreamSource::Hosts(_) => None,
    }
}

fn give(snapshot: &Snapshot, query: &ServiceQuery, watched: &Watched, events: &Events) {
    for (_, upstream) in queries(snapshot).filter(|(asked, _)| asked == query) {
        let before = Before { endpoints: upstream.cell.endpoints(), freshness: upstream.cell.freshness() };
        upstream.cell.replace(&watched.set, watched.freshness);
        events.tell_set(&upstream.name, &before, &watched.set, watched.freshness);
    }
}
