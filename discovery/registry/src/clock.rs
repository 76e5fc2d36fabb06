//! The only reader of the clock and of chance in this crate.
//! Everything else is handed the time since the start.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use tokio::time::Instant;

/// The shortest sleep, so that a deadline in the past is no busy loop.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// The moment the registry started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start(Instant);

impl Start {
    #[expect(clippy::disallowed_methods, reason = "this module is the registry's clock")]
    pub(crate) fn now() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// A number that differs from call to call, for jitter and ids only. The standard library seeds its hashers from the
/// system's entropy; that saves a dependency.
pub(crate) fn draw() -> u64 {
    RandomState::new().hash_one(0_u8)
}
