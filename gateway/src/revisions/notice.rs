//! What happened to the configuration, for whoever wants to hear of it.

use portcullis_core::confirm::Worse;

/// Notices kept for a listener that is slow.
pub(super) const NOTICES_MAX: usize = 64;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// A change is in use and on the disk.
    Applied {
        /// Its revision.
        revision: u64,
    },
    /// A change is in use on trial.
    OnTrial {
        /// Its revision.
        revision: u64,
    },
    /// A change on trial was confirmed.
    Confirmed {
        /// Its revision.
        revision: u64,
    },
    /// A change on trial was taken back.
    Reverted {
        /// Its revision.
        revision: u64,
        /// Why.
        why: Reverted,
    },
}

/// Why a change on trial was taken back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reverted {
    /// Somebody asked for it.
    Asked,
    /// Nobody confirmed it in time.
    Deadline,
    /// It did worse than what was before.
    Worse(Worse),
}

impl Reverted {
    /// In one word, for labels.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Deadline => "deadline",
            Self::Worse(Worse::Errors { .. }) => "errors",
            Self::Worse(Worse::Slower { .. }) => "slower",
        }
    }
}

impl std::fmt::Display for Reverted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Asked => f.write_str("somebody asked for it"),
            Self::Deadline => f.write_str("nobody confirmed it in time"),
            Self::Worse(worse) => worse.fmt(f),
        }
    }
}
