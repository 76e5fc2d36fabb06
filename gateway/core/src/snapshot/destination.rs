//! Where a route sends a request, and how long that may take.
//!
//! Decides which of several weighted upstreams a request goes to. Never picks an endpoint: the upstream's cell does.

use std::sync::Arc;
use std::time::Duration;

use super::Upstream;
use crate::upstream::BreakerIdx;

/// Times of a request towards one upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timeouts {
    /// Until a connection stands.
    pub connect: Duration,
    /// From the whole request to the answer's head, retries included; `None` for no bound.
    pub request: Option<Duration>,
    /// Longest silence of an endpoint, and longest wait for it to take bytes; `None` for no bound.
    pub idle: Option<Duration>,
}

impl Timeouts {
    /// `idle` where the document has none for this `request`: an endpoint that may take its time for the head
    /// must not be cut off for its silence before that.
    #[must_use]
    pub fn idle_for(request: Option<Duration>) -> Option<Duration> {
        request.map(|request| request.max(Duration::from_secs(60)))
    }
}

impl Default for Timeouts {
    /// The times that the documentation names.
    fn default() -> Self {
        let request = Some(Duration::from_secs(30));
        Self { connect: Duration::from_secs(1), request, idle: Self::idle_for(request) }
    }
}

/// An upstream as one route uses it.
#[derive(Debug, Clone)]
pub struct Destination {
    /// Whom to ask.
    pub upstream: Arc<Upstream>,
    /// Which of the upstream's breakers guards this route's attempts, if any.
    pub breaker: Option<BreakerIdx>,
    /// The route's times towards this upstream.
    pub timeouts: Timeouts,
}

/// A destination and its share.
#[derive(Debug, Clone)]
pub struct WeightedDestination {
    /// Sum of the weights up to and including this one.
    pub cumulative: u64,
    /// Where this share goes.
    pub destination: Destination,
}

/// Where a route's requests go.
#[derive(Debug, Clone)]
pub enum Target {
    /// All to one.
    One(Destination),
    /// Shares, in the order of the targets' names.
    Weighted {
        /// Sum of all weights; at least 1.
        total: u64,
        /// Those with a weight above zero; at least one.
        items: Box<[WeightedDestination]>,
    },
}

impl Target {
    /// Where this request goes; `rng` is asked only if there is a choice.
    pub fn pick(&self, rng: &mut dyn FnMut() -> u64) -> Option<&Destination> {
        match self {
            Self::One(destination) => Some(destination),
            Self::Weighted { total, items } => {
                // scaling takes the high bits (Lemire 2019); the bias is below total / 2^64
                let scaled = (u128::from(rng()) * u128::from(*total)) >> 64;
                let idx = items.partition_point(|item| u128::from(item.cumulative) <= scaled);
                items.get(idx).map(|item| &item.destination)
            }
        }
    }

    /// Every destination there is.
    pub fn all(&self) -> impl Iterator<Item = &Destination> {
        let (one, many) = match self {
            Self::One(destination) => (Some(destination), &[][..]),
            Self::Weighted { items, .. } => (None, &**items),
        };
        one.into_iter().chain(many.iter().map(|item| &item.destination))
    }
}
