//! Why a step of the story does not hold: what was seen, and whose log says more.

use std::fmt;

/// What was seen instead of what the story tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    /// In a sentence.
    what: String,
    /// The process whose log is worth a look.
    pub(super) log: Option<String>,
}

impl Broken {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), log: None }
    }

    /// Points at the log of a process.
    pub(super) fn see(mut self, log: impl Into<String>) -> Self {
        self.log = Some(log.into());
        self
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Broken {}

/// For looks that may fail for a while: see [`super::wait::until`].
impl From<Broken> for String {
    fn from(broken: Broken) -> Self {
        broken.what
    }
}

/// Goes on if `held`; else the step ends with `what` was seen.
pub(super) fn ensure(held: bool, what: impl FnOnce() -> String) -> Result<(), Broken> {
    if held { Ok(()) } else { Err(Broken::new(what())) }
}
