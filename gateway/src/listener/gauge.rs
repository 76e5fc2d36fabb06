//! How many connections are open, counted by guards that cannot be forgotten.
//!
//! Decides whether one more connection fits under the caps; never closes one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// A count that its [`Seat`]s keep right by being dropped.
#[derive(Debug, Default)]
struct Count {
    open: AtomicUsize,
    emptied: Notify,
}

impl Count {
    /// Adds one unless `max` are open.
    fn try_add(&self, max: usize) -> bool {
        let one_more = |open: usize| (open < max).then_some(open + 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    fn remove(&self) {
        // Release pairs with the Acquire in `InFlight::count`: who sees zero sees all that was done before.
        if self.open.fetch_sub(1, Ordering::Release) == 1 {
            self.emptied.notify_waiters();
        }
    }
}

/// The open connections of the process or of one listener. Clones share the count.
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<Count>);

impl InFlight {
    /// Connections open now.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.open.load(Ordering::Acquire)
    }

    /// Resolves once no connection is open. Meant for the drain: without one, it may resolve and be wrong at once.
    pub async fn idle(&self) {
        loop {
            let emptied = self.0.emptied.notified();
            tokio::pin!(emptied);
            // Registered before the look, so that an end between the two is not missed.
            emptied.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            emptied.await;
        }
    }
}

/// One connection's place in the process's and in its listener's count; freed when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    process: InFlight,
    listener: InFlight,
}

impl Seat {
    /// A place, unless the process or the listener is full.
    pub(super) fn take(process: (&InFlight, usize), listener: (&InFlight, usize)) -> Option<Self> {
        if !process.0.0.try_add(process.1) {
            return None;
        }
        if !listener.0.0.try_add(listener.1) {
            process.0.0.remove();
            return None;
        }
        Some(Self { process: process.0.clone(), listener: listener.0.clone() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.listener.0.remove();
        self.process.0.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_refused_when_either_count_is_full_and_leaves_no_trace() {
        let (process, listener) = (InFlight::default(), InFlight::default());
        let first = Seat::take((&process, 2), (&listener, 1));
        assert!(first.is_some());
        assert!(Seat::take((&process, 2), (&listener, 1)).is_none());
        assert_eq!((process.count(), listener.count()), (1, 1));
        drop(first);
        assert_eq!((process.count(), listener.count()), (0, 0));
    }

    #[tokio::test]
    async fn idle_resolves_when_the_last_seat_is_free() {
        let (process, listener) = (InFlight::default(), InFlight::default());
        let seat = Seat::take((&process, 9), (&listener, 9));
        let idle = process.idle();
        tokio::pin!(idle);
        assert!(futures_util::poll!(idle.as_mut()).is_pending());
        drop(seat);
        idle.await;
    }
}
