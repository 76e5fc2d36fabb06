//! The only reader of the clock in the driver.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The monotonic clock.
#[expect(clippy::disallowed_methods, reason = "a load driver measures time; this is where it reads it")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970; zero for a clock set before that.
#[expect(clippy::disallowed_methods, reason = "a report says when it was made; this is where it reads it")]
pub(crate) fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
