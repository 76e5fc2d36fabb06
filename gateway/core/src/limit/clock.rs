//! The clock that governor reads: whatever moment the present request was given.
//!
//! Decides nothing. governor's `check_key` takes no time, it asks its clock; and a clock is shared
//! by all threads while each request has its own `now`. So the moment is left in a cell of the
//! thread for the length of the call and the clock reads it there.

use std::cell::Cell;

use governor::clock::Clock;
use governor::nanos::Nanos;

use super::nanos;
use crate::units::Moment;

thread_local! {
    static NOW: Cell<Moment> = const { Cell::new(Moment::ORIGIN) };
}

/// Reads the moment of the innermost [`RequestClock::at`] on this thread.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestClock(());

impl RequestClock {
    /// What `work` makes of a clock that stands at `now`.
    pub(super) fn at<T>(now: Moment, work: impl FnOnce(RequestClock) -> T) -> T {
        NOW.set(now);
        work(RequestClock(()))
    }
}

impl Clock for RequestClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        nanos(NOW.get())
    }
}
