//! The only reader of the clock here, and the pause between two looks.

use std::time::{Duration, Instant};

/// Time between two looks at something that is waited for.
const POLL: Duration = Duration::from_millis(10);

#[expect(clippy::disallowed_methods, reason = "a run is bounded in time; this is where it reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The pause between two looks; the loop has the deadline.
pub(crate) async fn poll() {
    tokio::time::sleep(POLL).await;
}
