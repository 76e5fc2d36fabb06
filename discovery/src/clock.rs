//! The only reader of the clocks in this crate; whoever decides gets the time passed.

use std::time::SystemTime;

use tokio::time::Instant;

#[expect(clippy::disallowed_methods, reason = "the one monotonic clock of this crate")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one wall clock of this crate; it only dates what is stale"
)]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}
