//! Whether this node should be given traffic.

use std::sync::atomic::{AtomicU8, Ordering};

/// The phase of the process's life; only ever moves on.
#[derive(Debug, Default)]
pub struct Readiness(AtomicU8);

/// A phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The registry has not answered for every routed service yet.
    Starting,
    /// Traffic is taken.
    Ready,
    /// No new connection is taken; requests in progress finish.
    Draining,
}

impl Phase {
    /// In one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
        }
    }
}

impl Readiness {
    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Draining,
        }
    }

    /// Traffic may come.
    pub fn ready(&self) {
        self.0.fetch_max(1, Ordering::AcqRel);
    }

    /// No new traffic.
    pub fn draining(&self) {
        self.0.fetch_max(2, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draining_node_never_becomes_ready_again() {
        let readiness = Readiness::default();
        assert_eq!(readiness.phase(), Phase::Starting);
        readiness.ready();
        readiness.draining();
        readiness.ready();
        assert_eq!(readiness.phase(), Phase::Draining);
    }
}
