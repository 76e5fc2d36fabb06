//! Whether a set of endpoints is what the registry says now, or what it said last.
//!
//! Decides nothing: it is the word with which discovery tells the gateway, and the gateway tells
//! its operators. Never reads the clock.

use std::time::SystemTime;

/// How current a set of endpoints is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// The registry answered and nothing newer is known.
    Live,
    /// The registry does not answer, or its answer is not believed yet: this is the last set.
    Stale {
        /// When the set was last known to be live, by the wall clock.
        since: SystemTime,
    },
}
