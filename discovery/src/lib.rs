//! Who answers for a service: fixed hosts and Consul, each as a watch of endpoint sets.
//!
//! It decides when an answer is believed, held or kept, and says how fresh it is. It never picks an endpoint and
//! never probes one: that is the balancer's and the health checks' work.

mod clock;
pub mod consul;
pub mod fail_static;
pub mod fixed;
mod last_known;
#[cfg(test)]
mod samples;
mod status;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use portcullis_discovery_model::{EndpointSet, Freshness, ServiceName};
use tokio::sync::watch;

pub use status::{ServiceStatus, UpdateCounts};

/// What is asked of a registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceQuery {
    /// The service.
    pub name: ServiceName,
    /// Only instances with this tag.
    pub tag: Option<Arc<str>>,
    /// The datacenter to ask; the source's own when `None`.
    pub datacenter: Option<Arc<str>>,
    /// Leave out instances that warn or are critical. Without it they are listed with their health.
    pub passing_only: bool,
}

impl ServiceQuery {
    /// Every instance of `name`, in the source's own datacenter.
    #[must_use]
    pub fn new(name: ServiceName) -> Self {
        Self { name, tag: None, datacenter: None, passing_only: false }
    }
}

/// A set and how far it can be relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// The endpoints to use.
    pub set: EndpointSet,
    /// Whether the registry stands by the set right now.
    pub freshness: Freshness,
}

/// The newest set of one query; last value wins. The watch of a registry ends when nobody holds its receiver.
#[derive(Debug, Clone)]
pub struct EndpointWatch(watch::Receiver<Option<Arc<Watched>>>);

impl EndpointWatch {
    /// A watch over `receiver`; sources of one's own and tests use it.
    #[must_use]
    pub fn new(receiver: watch::Receiver<Option<Arc<Watched>>>) -> Self {
        Self(receiver)
    }

    /// The newest value; `None` until the first answer.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Watched>> {
        self.0.borrow().clone()
    }

    /// Waits for the first answer, or returns the newest value at once when there is one.
    /// `None` when the source has ended without an answer.
    pub async fn first(&mut self) -> Option<Arc<Watched>> {
        self.0.wait_for(Option::is_some).await.ok().and_then(|value| value.clone())
    }

    /// Waits for a value that this watch has not returned from [`EndpointWatch::changed`] or
    /// [`EndpointWatch::first`] yet. `None` when there will never be another: the last one stands.
    pub async fn changed(&mut self) -> Option<Arc<Watched>> {
        loop {
            self.0.changed().await.ok()?;
            let newest = self.0.borrow_and_update().clone();
            if newest.is_some() {
                return newest;
            }
        }
    }
}

/// A service that a registry has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedService {
    /// Its name, as the registry spells it.
    pub name: String,
    /// The tags of all its instances.
    pub tags: Vec<String>,
}

/// Somewhere endpoints come from.
pub trait Source: Send + Sync + std::fmt::Debug {
    /// Follows `query`. Callers that ask the same share one watch; it ends when the last receiver is dropped.
    fn watch(&self, query: &ServiceQuery) -> EndpointWatch;

    /// What is known about every query being followed.
    fn status(&self) -> Vec<ServiceStatus>;

    /// Every service there is, followed or not: one bounded read now. A source without a catalogue has none.
    ///
    /// # Errors
    /// Why there was no answer.
    fn offered(&self) -> BoxFuture<'_, Result<Vec<OfferedService>, String>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}
