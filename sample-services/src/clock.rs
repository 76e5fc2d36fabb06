//! The only reader of the clock.
//!
//! Decisions take `now_ms` as an argument; who calls them asks here.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[cfg(test)]
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// Milliseconds since 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A time in milliseconds, as tables and tokens count it.
#[must_use]
pub fn as_ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Measures how long something takes.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The milliseconds since the start.
    #[must_use]
    pub fn elapsed_ms(&self) -> f64 {
        self.0.elapsed().as_secs_f64() * 1000.0
    }
}

/// The clock of a service: the machine's, or in tests one that is set by hand.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    #[cfg(test)]
    set_to: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// Milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        #[cfg(test)]
        if let Some(time) = &self.set_to {
            return time.load(Ordering::SeqCst);
        }
        now_ms()
    }

    #[cfg(test)]
    pub(crate) fn set_to(time_ms: i64) -> Self {
        Self { set_to: Some(Arc::new(AtomicI64::new(time_ms))) }
    }

    #[cfg(test)]
    pub(crate) fn advance(&self, by: Duration) {
        if let Some(time) = &self.set_to {
            time.fetch_add(as_ms(by), Ordering::SeqCst);
        }
    }
}
