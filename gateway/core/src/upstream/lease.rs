//! The right to send one attempt to one endpoint.
//!
//! Decides nothing. While it lives the attempt is counted in flight; however it ends, finished or
//! dropped, every count and permit is given back exactly once.

use std::sync::Arc;

use portcullis_discovery_model::Endpoint;

use super::EndpointState;
use super::gauge::Seat;
use crate::breaker::Permit;
use crate::units::Moment;

/// How an attempt ended, as far as breakers care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The endpoint did its part.
    Success,
    /// It did not.
    Failure,
}

/// One attempt to one endpoint. Dropped without [`Lease::finish`] it counts as cancelled: it
/// leaves the in-flight counts and says nothing to the breakers.
///
/// A breaker that probes waits for the verdict: finish when the reply's head is in, or hold the
/// lease to the end of the body if in-flight counts matter more.
#[derive(Debug)]
#[must_use = "a lease dropped at once is a cancelled attempt"]
pub struct Lease {
    occupied: Occupied,
    /// Of the upstream's breaker and of the endpoint's.
    permits: [Option<Permit>; 2],
    _seat: Seat,
}

/// One attempt counted in at an endpoint.
#[derive(Debug)]
pub(super) struct Occupied(Arc<EndpointState>);

impl Lease {
    pub(super) fn new(occupied: Occupied, permits: [Option<Permit>; 2], seat: Seat) -> Self {
        Self { occupied, permits, _seat: seat }
    }

    /// Where to send the attempt.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        self.occupied.0.endpoint()
    }

    /// Tells the breakers how the attempt went, and counts it out.
    pub fn finish(mut self, verdict: Verdict, now: Moment) {
        self.report(verdict, now);
    }

    /// Tells the breakers how the attempt went; it stays counted in flight until the lease is
    /// dropped. For a reply whose head is in and whose body still streams. Only the first report
    /// counts.
    pub fn report(&mut self, verdict: Verdict, now: Moment) {
        for permit in self.permits.iter_mut().filter_map(Option::take) {
            match verdict {
                Verdict::Success => permit.success(now),
                Verdict::Failure => permit.failure(now),
            }
        }
    }
}

impl Occupied {
    pub(super) fn new(state: &Arc<EndpointState>) -> Self {
        state.enter();
        Self(Arc::clone(state))
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        self.0.leave();
    }
}
