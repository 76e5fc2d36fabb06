//! Fetching issuers' keys: on a timer, and at once when a token names a key nobody knows.
//!
//! When to fetch is the cell's decision (`core::auth::jwt`); here is the request, its bounds, and
//! who waits for it. A fetch that fails leaves the keys as they are.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::StreamExt;
use portcullis_core::auth::jwt::{JWKS_BYTES_MAX, JwksCell, JwksSource, KeySet};
use portcullis_discovery_model::Health;
use reqwest::Client;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::follow::Follow;
use crate::live::Live;
use crate::{clock, entropy};

/// Longest a request waits for an issuer because of an unknown key.
const REQUEST_WAIT: Duration = Duration::from_secs(2);
/// Longest one fetch takes. Shorter than `FETCH_TIME_MAX`, after which the cell counts it as failed.
const FETCH_WAIT: Duration = Duration::from_secs(10);
/// How often due refreshes are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Requests that wait for keys at once; more find the keys as they are.
const ASKS_MAX: usize = 1024;

/// A request that would like new keys, and where to tell it whether there are any.
type Wish = (Arc<JwksCell>, oneshot::Sender<bool>);

/// The data path's end: asks for a fetch and waits for it.
#[derive(Debug)]
pub struct JwksKeeper {
    wishes: mpsc::Sender<Wish>,
}

/// The fetching end, which runs for as long as the gateway does.
#[derive(Debug)]
pub struct JwksFetcher {
    wishes: mpsc::Receiver<Wish>,
    issuers: Arc<Issuers>,
    /// Fetches under way, each with the requests that wait for it.
    under_way: Vec<(Arc<JwksCell>, Vec<oneshot::Sender<bool>>)>,
    fetches: JoinSet<(Arc<JwksCell>, bool)>,
}

/// Where keys come from.
#[derive(Debug)]
struct Issuers {
    live: Arc<ArcSwap<Live>>,
    follow: Arc<Follow>,
    client: Client,
}

/// Why keys could not be fetched.
#[derive(Debug, Error)]
enum FetchError {
    #[error("no instance of `{0}` is known")]
    NoInstance(Arc<str>),
    #[error("{0}")]
    Request(#[from] reqwest::Error),
    #[error("more than {JWKS_BYTES_MAX} bytes")]
    TooLarge,
    #[error("{0}")]
    Keys(String),
}

/// Both ends. `client` must have a time limit on connecting.
#[must_use]
pub fn keeper(live: Arc<ArcSwap<Live>>, follow: Arc<Follow>, client: Client) -> (JwksKeeper, JwksFetcher) {
    let (sender, wishes) = mpsc::channel(ASKS_MAX);
    let issuers = Arc::new(Issuers { live, follow, client });
    let fetcher = JwksFetcher { wishes, issuers, under_way: Vec::new(), fetches: JoinSet::new() };
    (JwksKeeper { wishes: sender }, fetcher)
}

impl JwksKeeper {
    /// Waits for a fetch of the keys of `cell`, one under way or a new one if its bounds allow that.
    /// True if there are new keys.
    pub async fn refresh(&self, cell: &Arc<JwksCell>) -> bool {
        // Noted in the cell: when its bounds do not allow a fetch now, the next one is due the sooner.
        let _ = cell.unknown_kid(clock::now());
        let (done, fetched) = oneshot::channel();
        if self.wishes.try_send((cell.clone(), done)).is_err() {
            return false;
        }
        matches!(tokio::time::timeout(REQUEST_WAIT, fetched).await, Ok(Ok(true)))
    }
}

impl JwksFetcher {
    /// Fetches every key set once, so that the first token finds its key. Bounded by the fetches' own limit.
    pub async fn prime(&mut self) {
        self.start_due();
        while let Some(fetched) = self.fetches.join_next().await {
            self.finish(fetched.ok());
        }
    }

    /// Fetches what is due and what is asked for, until the data path's end is gone.
    pub async fn run(mut self) {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => self.start_due(),
                Some(fetched) = self.fetches.join_next() => self.finish(fetched.ok()),
                wish = self.wishes.recv() => match wish {
                    Some((cell, done)) => self.take(cell, done),
                    None => return,
                },
            }
        }
    }

    fn start_due(&mut self) {
        for cell in self.issuers.live.load_full().snapshot.jwks.clone() {
            if self.waiting_for(&cell).is_none() {
                self.start(cell);
            }
        }
    }

    /// Joins a wish to the fetch under way, or to a new one.
    fn take(&mut self, cell: Arc<JwksCell>, done: oneshot::Sender<bool>) {
        if self.waiting_for(&cell).is_none() {
            self.start(cell.clone());
        }
        match self.waiting_for(&cell) {
            Some(waiting) => waiting.push(done),
            None => {
                // The request may have given up; its keys are as they were all the same.
                let _ = done.send(false);
            }
        }
    }

    fn waiting_for(&mut self, cell: &Arc<JwksCell>) -> Option<&mut Vec<oneshot::Sender<bool>>> {
        self.under_way.iter_mut().find(|(known, _)| Arc::ptr_eq(known, cell)).map(|(_, waiting)| waiting)
    }

    /// Starts a fetch, if the cell's bounds allow one now.
    fn start(&mut self, cell: Arc<JwksCell>) {
        if !cell.begin(clock::now()) {
            return;
        }
        self.under_way.push((cell.clone(), Vec::new()));
        let issuers = self.issuers.clone();
        self.fetches.spawn(async move {
            let changed = issuers.fetch(&cell).await;
            (cell, changed)
        });
    }

    fn finish(&mut self, fetched: Option<(Arc<JwksCell>, bool)>) {
        let Some((cell, changed)) = fetched else { return };
        let (ended, still) = std::mem::take(&mut self.under_way)
            .into_iter()
            .partition::<Vec<_>, _>(|(known, _)| Arc::ptr_eq(known, &cell));
        self.under_way = still;
        for done in ended.into_iter().flat_map(|(_, waiting)| waiting) {
            // A request that has given up waits no more.
            let _ = done.send(changed);
        }
    }
}

impl Issuers {
    /// Fetches one key set; true if it changed.
    async fn fetch(&self, cell: &JwksCell) -> bool {
        match tokio::time::timeout(FETCH_WAIT, self.read(cell.source())).await {
            Ok(Ok(keys)) => cell.publish(keys),
            Ok(Err(error)) => failed(cell, &error.to_string()),
            Err(_) => failed(cell, "the issuer did not answer in time"),
        }
    }

    async fn read(&self, source: &JwksSource) -> Result<KeySet, FetchError> {
        let url = match source {
            JwksSource::Url(url) => url.to_string(),
            JwksSource::Service { name, path } => self.url_of_service(name, path)?,
        };
        let answer = self.client.get(url).send().await?.error_for_status()?;
        let mut body = Vec::new();
        let mut chunks = answer.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            if body.len() + chunk.len() > JWKS_BYTES_MAX {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        KeySet::parse(&body).map_err(|error| FetchError::Keys(error.to_string()))
    }

    /// A healthy instance of the service that serves the keys, any of them.
    fn url_of_service(&self, name: &Arc<str>, path: &str) -> Result<String, FetchError> {
        let watched = self.follow.endpoints_of(name).ok_or_else(|| FetchError::NoInstance(name.clone()))?;
        let healthy: Vec<_> =
            watched.set.iter().filter(|endpoint| endpoint.health != Health::Critical).collect();
        let any = usize::try_from(entropy::number()).unwrap_or_default().checked_rem(healthy.len());
        let endpoint =
            any.and_then(|any| healthy.get(any)).ok_or_else(|| FetchError::NoInstance(name.clone()))?;
        Ok(format!("http://{}{path}", endpoint.address))
    }
}

fn failed(cell: &JwksCell, error: &str) -> bool {
    cell.fail();
    tracing::warn!(source = ?cell.source(), %error, "keys cannot be fetched; those known stay in use");
    false
}
