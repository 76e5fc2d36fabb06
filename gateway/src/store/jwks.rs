//! Fetching issuers' keys: on a timer, and at once when a token names a key nobody knows.
//!
//! When to fetch is the cell's decision (`core::auth::jwt`); here is the request, its bounds, and
//! who waits for it. A fetch that fails leaves the keys as they are.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::StreamExt;
use portcullis_core::auth::jwt::{JWKS_BYTES_MAX, JwksCell, JwksSource, KeySet, RefreshPlan};
use portcullis_core::snapshot::{Upstream, UpstreamSource};
use portcullis_core::upstream::Ask;
use reqwest::Client;
use thiserror::Error;
use tokio::sync::mpsc;

use crate::live::Live;
use crate::{clock, entropy};

/// Longest a request waits for an issuer because of an unknown key.
const REQUEST_WAIT: Duration = Duration::from_secs(2);
/// Longest one fetch takes. Shorter than `FETCH_TIME_MAX`, after which the cell counts it as failed.
const FETCH_WAIT: Duration = Duration::from_secs(10);
/// How often due refreshes are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Requests for a fetch that wait at once; more find the keys as they are.
const ASKS_MAX: usize = 64;

/// The data path's end: asks for a fetch and waits for it.
pub struct JwksKeeper {
    asks: mpsc::Sender<(Arc<JwksCell>, tokio::sync::oneshot::Sender<bool>)>,
}

impl fmt::Debug for JwksKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwksKeeper").finish_non_exhaustive()
    }
}

/// The fetching end, which runs for as long as the gateway does.
pub struct JwksFetcher {
    asks: mpsc::Receiver<(Arc<JwksCell>, tokio::sync::oneshot::Sender<bool>)>,
    live: Arc<ArcSwap<Live>>,
    client: Client,
}

impl fmt::Debug for JwksFetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwksFetcher").finish_non_exhaustive()
    }
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
pub fn keeper(live: Arc<ArcSwap<Live>>, client: Client) -> (JwksKeeper, JwksFetcher) {
    let (sender, asks) = mpsc::channel(ASKS_MAX);
    (JwksKeeper { asks: sender }, JwksFetcher { asks, live, client })
}

impl JwksKeeper {
    /// Fetches the keys of `cell` if its bounds allow one now. True if there are new ones.
    pub async fn refresh(&self, cell: &Arc<JwksCell>) -> bool {
        match cell.unknown_kid(clock::now()) {
            RefreshPlan::Fetch(_) => {}
            RefreshPlan::Wait(_) => return false,
        }
        let (done, fetched) = tokio::sync::oneshot::channel();
        if self.asks.try_send((cell.clone(), done)).is_err() {
            return false;
        }
        matches!(tokio::time::timeout(REQUEST_WAIT, fetched).await, Ok(Ok(true)))
    }
}

impl JwksFetcher {
    /// Fetches what is due and what is asked for, until the data path's end is gone.
    pub async fn run(mut self) {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => self.fetch_due().await,
                ask = self.asks.recv() => match ask {
                    Some((cell, done)) => {
                        // Nobody may be waiting any more; the keys are there all the same.
                        let _ = done.send(self.fetch(&cell).await);
                    }
                    None => return,
                },
            }
        }
    }

    async fn fetch_due(&self) {
        let cells = self.live.load().snapshot.jwks.clone();
        let due = cells.iter().filter(|cell| matches!(cell.plan(clock::now()), RefreshPlan::Fetch(_)));
        futures_util::future::join_all(due.map(|cell| self.fetch(cell))).await;
    }

    /// Fetches one key set; true if it changed.
    async fn fetch(&self, cell: &JwksCell) -> bool {
        if !cell.begin(clock::now()) {
            return false;
        }
        match tokio::time::timeout(FETCH_WAIT, self.read(cell.source())).await {
            Ok(Ok(keys)) => cell.publish(keys),
            Ok(Err(error)) => self.failed(cell, &error.to_string()),
            Err(_) => self.failed(cell, "the issuer did not answer in time"),
        }
    }

    fn failed(&self, cell: &JwksCell, error: &str) -> bool {
        cell.fail();
        tracing::warn!(source = ?cell.source(), %error, "keys cannot be fetched; those known stay in use");
        false
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

    /// An instance of the service that serves the keys, picked like one for traffic.
    fn url_of_service(&self, name: &Arc<str>, path: &str) -> Result<String, FetchError> {
        let live = self.live.load();
        let ask = Ask { now: clock::now(), breaker: None, tried: &[] };
        let picked = live
            .snapshot
            .upstreams
            .values()
            .filter(|upstream| is_service(upstream, name))
            .find_map(|upstream| upstream.cell.pick(&ask, &mut entropy::number).ok());
        let lease = picked.ok_or_else(|| FetchError::NoInstance(name.clone()))?;
        Ok(format!("http://{}{path}", lease.endpoint().address))
    }
}

fn is_service(upstream: &Upstream, wanted: &str) -> bool {
    match &upstream.source {
        UpstreamSource::Service { name, .. } => name.as_str() == wanted,
        UpstreamSource::Hosts(_) => false,
    }
}
