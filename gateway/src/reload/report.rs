//! What came of a reload, for people and programs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::snapshot::Difference;
use portcullis_schema::{Diagnostic, Sources, Style, count, render};
use serde_json::{Value, json};

/// A reload that was applied.
#[derive(Debug, Clone)]
pub struct Report {
    /// The generation now in use.
    pub generation: u64,
    /// What differs from the one before.
    pub difference: Difference,
    /// Warnings, rendered; empty if there are none.
    pub warnings: String,
    /// From the first byte read to the swap.
    pub took: Duration,
}

/// A reload that was refused: nothing has changed.
#[derive(Debug, Clone)]
pub enum Refusal {
    /// The configuration has errors.
    Invalid {
        /// What is wrong, at its places.
        diagnostics: Vec<Diagnostic>,
        /// The files, to show the places.
        sources: Arc<Sources>,
    },
    /// Routes do not do what their tests say.
    TestsFailed {
        /// What does not hold, at its places.
        diagnostics: Vec<Diagnostic>,
        /// The files, to show the places.
        sources: Arc<Sources>,
    },
    /// Keys differ that only a restart can change.
    NeedsRestart {
        /// The keys.
        keys: Vec<&'static str>,
    },
    /// A listener cannot be opened.
    Listeners {
        /// Which, why, and the way out.
        reason: String,
    },
    /// The overlay cannot be read or written.
    Store {
        /// Which file, why, and the way out.
        reason: String,
    },
    /// A configuration is in use on trial.
    OnTrial,
}

/// The last reload, whichever way it went.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// When, since 1970.
    pub at: Duration,
    /// How it went.
    pub result: Result<Report, Refusal>,
}

impl Refusal {
    /// In one word, for logs: `invalid`, `tests_failed`, `needs_restart`, `listeners`, `store` or `on_trial`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "invalid",
            Self::TestsFailed { .. } => "tests_failed",
            Self::NeedsRestart { .. } => "needs_restart",
            Self::Listeners { .. } => "listeners",
            Self::Store { .. } => "store",
            Self::OnTrial => "on_trial",
        }
    }

    /// As a problem document (RFC 9457) with one element in `errors` for each finding.
    #[must_use]
    pub fn to_problem(&self) -> Value {
        let errors: Vec<Value> = match self {
            Self::Invalid { diagnostics, sources } | Self::TestsFailed { diagnostics, sources } => {
                diagnostics.iter().map(|diagnostic| diagnostic.to_json(sources)).collect()
            }
            Self::NeedsRestart { .. } | Self::Listeners { .. } | Self::Store { .. } | Self::OnTrial => {
                Vec::new()
            }
        };
        json!({
            "type": "about:blank",
            "title": "configuration refused",
            "status": 422,
            "code": self.code(),
            "detail": self.to_string(),
            "errors": errors,
        })
    }

    /// In full, as the terminal shows it.
    #[must_use]
    pub fn rendered(&self, style: Style) -> String {
        match self {
            Self::Invalid { diagnostics, sources } | Self::TestsFailed { diagnostics, sources } => {
                render(diagnostics, sources, style)
            }
            Self::NeedsRestart { .. } | Self::Listeners { .. } | Self::Store { .. } | Self::OnTrial => {
                format!("{self}\n")
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { diagnostics, .. } => f.write_str(&count(diagnostics)),
            Self::TestsFailed { diagnostics, .. } => {
                write!(f, "{} route tests do not hold", diagnostics.len())
            }
            Self::NeedsRestart { keys } => {
                write!(
                    f,
                    "only a restart can change {}; put them back or restart the gateway",
                    keys.join(", ")
                )
            }
            Self::Listeners { reason } | Self::Store { reason } => f.write_str(reason),
            Self::OnTrial => f.write_str(
                "a configuration is in use on trial; confirm or revert it first, or wait until it reverts by itself",
            ),
        }
    }
}

impl std::error::Error for Refusal {}
