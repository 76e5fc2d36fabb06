//! What all watches of one Consul share: the client, the bounds on connections, the clock and where tasks run.
//!
//! It decides which services get a connection of their own. It never looks into an answer.

use std::collections::BTreeMap;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tracing::error;

use super::client::ConsulClient;
use super::feed::Feed;
use super::query::QuerySettings;
use crate::clock::now;
use crate::fail_static::BrakeSettings;
use crate::last_known::LastKnown;
use crate::status::nanos;

/// Connections a feed takes: one for the checks, one for the catalog.
const FEED_CONNECTIONS: usize = 2;
/// The least that leaves one connection for each use.
const CONNECTIONS_MIN: usize = 4;
/// The pause before a watch that panicked begins again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) client: ConsulClient,
    pub(crate) query_settings: QuerySettings,
    pub(crate) brake_settings: BrakeSettings,
    pub(crate) last_known: Option<Arc<LastKnown>>,
    /// One permit for each reading of a service that has no connection of its own.
    pub(crate) fetches: Semaphore,
    direct: Arc<Semaphore>,
    feeds: Mutex<BTreeMap<Option<Arc<str>>, Weak<Feed>>>,
    runtime: Handle,
    seed: u64,
    origin: Instant,
}

/// How a watch reaches Consul.
#[derive(Debug)]
pub(crate) enum Road {
    /// A connection of its own, for as long as the watch lives.
    Own(#[expect(dead_code, reason = "held for its release on drop")] OwnedSemaphorePermit),
    /// The feed says when to read, and a few connections are shared for reading.
    Feed(Arc<Feed>),
}

impl Shared {
    pub(crate) fn new(
        client: ConsulClient,
        query_settings: QuerySettings,
        brake_settings: BrakeSettings,
        last_known: Option<Arc<LastKnown>>,
        connections_max: usize,
        seed: u64,
        runtime: Handle,
    ) -> Self {
        let connections = connections_max.max(CONNECTIONS_MIN);
        let n_fetches = (connections / 4).max(1);
        Self {
            client,
            query_settings,
            brake_settings,
            last_known,
            fetches: Semaphore::new(n_fetches),
            direct: Arc::new(Semaphore::new(connections - n_fetches - FEED_CONNECTIONS)),
            feeds: Mutex::default(),
            runtime,
            seed,
            origin: now(),
        }
    }

    /// A connection of its own while there is one, the datacenter's feed otherwise.
    pub(crate) fn road(self: &Arc<Self>, datacenter: Option<&Arc<str>>) -> Road {
        if let Ok(permit) = Arc::clone(&self.direct).try_acquire_owned() {
            return Road::Own(permit);
        }
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        feeds.retain(|_, feed| feed.strong_count() > 0);
        let key = datacenter.cloned();
        let feed = feeds.get(&key).and_then(Weak::upgrade).unwrap_or_else(|| {
            let feed = Feed::start(self, key.clone());
            feeds.insert(key, Arc::downgrade(&feed));
            feed
        });
        Road::Feed(feed)
    }

    /// Time since the source was built.
    pub(crate) fn elapsed(&self) -> Duration {
        now().saturating_duration_since(self.origin)
    }

    pub(crate) fn elapsed_nanos(&self) -> u64 {
        nanos(self.elapsed())
    }

    /// The moment `elapsed` after the source was built.
    pub(crate) fn instant(&self, elapsed: Duration) -> Instant {
        self.origin + elapsed
    }

    /// Randomness of one task, derived from the seed the shell gave (SplitMix64, Steele et al. 2014).
    pub(crate) fn rng(&self, task: &dyn std::fmt::Debug) -> impl FnMut() -> u64 + Send + use<> {
        let mut hasher = DefaultHasher::new();
        (self.seed, format!("{task:?}")).hash(&mut hasher);
        let mut state = hasher.finish();
        move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }
    }

    /// Runs `task` on the runtime the shell gave, and again if it panics: a defect in one watch must not end
    /// it for good. It ends when the task returns.
    pub(crate) fn supervise<F>(&self, what: &'static str, task: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.runtime.spawn(async move {
            while AssertUnwindSafe(task()).catch_unwind().await.is_err() {
                error!(what, "a watch panicked and begins again");
                tokio::time::sleep(RESTART_PAUSE).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::consul::client::ClientSettings;

    #[tokio::test]
    async fn d26_a_watch_that_panics_begins_again_and_one_that_ends_does_not() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = ConsulClient::new(ClientSettings::new("127.0.0.1:1")).expect("a client");
        let (query, brake) = (QuerySettings::default(), BrakeSettings::default());
        let shared = Shared::new(client, query, brake, None, 4, 7, Handle::current());
        let lives = Arc::new(AtomicUsize::new(0));
        let (ended, mut end) = tokio::sync::mpsc::channel(8);
        let count = Arc::clone(&lives);
        shared.supervise("a test", move || {
            let (life, ended) = (count.fetch_add(1, Ordering::SeqCst), ended.clone());
            async move {
                assert!(life > 0, "the first life ends in a panic, on purpose");
                let _told = ended.send(life).await;
            }
        });
        assert_eq!(end.recv().await, Some(1));
        assert_eq!(end.recv().await, None, "the supervisor has let its task go");
        assert_eq!(lives.load(Ordering::SeqCst), 2);
    }
}
