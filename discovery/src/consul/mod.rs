//! Consul as a source of endpoints: one paced blocking query for each watched service, within a bound on
//! connections, and one feed for all services beyond it.
//!
//! It decides who shares a watch and when it ends. It never forgets a set because Consul is silent.

mod catalogue;
pub mod client;
mod feed;
pub mod query;
mod shared;
mod token;
pub mod translate;
mod watcher;
mod watches;

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

use crate::fail_static::BrakeSettings;
use crate::last_known::{LastKnown, keep};
use crate::{EndpointWatch, OfferedService, ServiceQuery, ServiceStatus, Source};

use client::{ClientBuildError, ClientSettings, ConsulClient};
use query::QuerySettings;
use shared::Shared;
use watches::Watches;

/// Everything a Consul source obeys.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsulSettings {
    /// How to reach it.
    pub client: ClientSettings,
    /// Waits, pace, backoff and consistency of each query.
    pub query: QuerySettings,
    /// What a sudden loss of endpoints means.
    pub brake: BrakeSettings,
    /// Bound on queries to Consul at once, each on a connection; at least 4. A quarter reads services on behalf of
    /// the feed, two are the feed's, the rest are for one blocking query each. A further datacenter beyond the
    /// bound adds two. While connections break, a few more than this may be open for a moment, idle.
    pub connections_max: usize,
    /// Where last known sets are kept; nowhere when `None`.
    pub state_dir: Option<PathBuf>,
}

impl ConsulSettings {
    /// The defaults for a Consul at `address`.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            client: ClientSettings::new(address),
            query: QuerySettings::default(),
            brake: BrakeSettings::default(),
            connections_max: 32,
            state_dir: None,
        }
    }
}

/// A Consul.
#[derive(Debug)]
pub struct ConsulSource {
    shared: Arc<Shared>,
    watches: Arc<Watches>,
}

impl ConsulSource {
    /// Builds the source. Its tasks run on `runtime` and end with their receivers; `seed` feeds the jitter.
    /// Reads the last known sets, if any, and asks Consul nothing yet.
    ///
    /// # Errors
    /// Names the setting that cannot be used.
    pub fn new(settings: ConsulSettings, runtime: Handle, seed: u64) -> Result<Self, ClientBuildError> {
        let client = ConsulClient::new(settings.client)?;
        let last_known = settings.state_dir.map(|dir| Arc::new(LastKnown::load(&dir)));
        let known = last_known.as_ref().map(Arc::downgrade);
        let shared = Arc::new(Shared::new(
            client,
            settings.query,
            settings.brake,
            last_known,
            settings.connections_max,
            seed,
            runtime,
        ));
        if let Some(known) = known {
            shared.supervise("last known endpoints", move || keep(known.clone()));
        }
        Ok(Self { shared, watches: Arc::default() })
    }
}

impl Source for ConsulSource {
    fn watch(&self, query: &ServiceQuery) -> EndpointWatch {
        self.watches.join(query, &self.shared)
    }

    fn status(&self) -> Vec<ServiceStatus> {
        self.watches.status(&self.shared)
    }

    fn offered(&self) -> BoxFuture<'_, Result<Vec<OfferedService>, String>> {
        Box::pin(catalogue::read(&self.shared))
    }
}
