//! How many attempts are in flight.
//!
//! Decides whether one more fits under a bound. Each one counted in is counted out exactly once,
//! when its [`Seat`] is dropped.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

#[derive(Debug, Default)]
pub(super) struct Gauge(AtomicU32);

/// One attempt counted in.
#[derive(Debug)]
pub(super) struct Seat(Arc<Gauge>);

impl Gauge {
    /// Counts one in, unless `max` are in already.
    pub(super) fn enter(gauge: &Arc<Self>, max: Option<NonZeroU32>) -> Result<Seat, NonZeroU32> {
        match max {
            None => {
                gauge.add();
            }
            // Compare-and-swap rather than add and take back: of two that ask for the last seat
            // one must get it.
            Some(max) => {
                let fits = |count: u32| (count < max.get()).then_some(count + 1);
                gauge.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, fits).map_err(|_| max)?;
            }
        }
        Ok(Seat(Arc::clone(gauge)))
    }

    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn subtract(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }

    pub(super) fn count(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.subtract();
    }
}
