//! How much of the gateway's own log is written, for a while.
//!
//! What the start said holds again when the time is up: nobody has to remember to turn a debug log off.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portcullis_core::units::Moment;
use tokio::sync::Notify;
use tracing_subscriber::EnvFilter;

use crate::clock;

/// A level of the log; each writes what the ones before it write too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// What needs somebody.
    Error,
    /// And what may.
    Warn,
    /// And what happened.
    Info,
    /// And why.
    Debug,
    /// And everything else.
    Trace,
}

impl Level {
    /// In one word, as in `RUST_LOG`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Puts a filter in place of the one in use.
type Apply = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// The log's level.
pub struct LogLevel {
    /// What the start said: directives as in `RUST_LOG`.
    at_start: String,
    apply: Apply,
    set: Mutex<Option<Set>>,
    changed: Notify,
}

/// A level that was set, until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set {
    /// The level of the gateway's own lines.
    pub level: Level,
    /// When it ends.
    pub until: Moment,
    /// The same since 1970, for people.
    pub until_wall: Duration,
}

impl fmt::Debug for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogLevel")
            .field("at_start", &self.at_start)
            .field("set", &*self.set())
            .finish_non_exhaustive()
    }
}

impl LogLevel {
    /// The level that the start set by these directives; `apply` puts others in their place.
    pub fn new(
        at_start: impl Into<String>,
        apply: impl Fn(EnvFilter) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            at_start: at_start.into(),
            apply: Box::new(apply),
            set: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// What holds at the start.
    #[must_use]
    pub fn at_start(&self) -> &str {
        &self.at_start
    }

    /// What was set and has not ended yet.
    #[must_use]
    pub fn current(&self) -> Option<Set> {
        *self.set()
    }

    /// Sets the level of the gateway's own lines for a while; those of the libraries stay as they are.
    ///
    /// # Errors
    /// When the log cannot be changed, which leaves it as it was.
    pub fn hold(&self, level: Level, lasts: Duration) -> Result<Set, String> {
        let mut set = self.set();
        self.use_directives(&format!("{},portcullis={}", self.at_start, level.as_str()))?;
        let held = Set {
            level,
            until: clock::now() + lasts,
            until_wall: clock::since_epoch().saturating_add(lasts),
        };
        *set = Some(held);
        drop(set);
        self.changed.notify_one();
        Ok(held)
    }

    /// What the start said holds again.
    ///
    /// # Errors
    /// When the log cannot be changed, which leaves it as it was.
    pub fn release(&self) -> Result<(), String> {
        self.end(&mut self.set())
    }

    /// Ends what was set when its time is up, for as long as the process lives.
    pub async fn run(&self) {
        loop {
            let until = self.current().map(|set| set.until);
            let Some(until) = until else {
                self.changed.notified().await;
                continue;
            };
            let left = until.saturating_since(clock::now());
            tokio::select! {
                () = tokio::time::sleep(left) => self.end_if_due(),
                () = self.changed.notified() => {}
            }
        }
    }

    fn end_if_due(&self) {
        let mut set = self.set();
        if set.is_some_and(|set| set.until <= clock::now()) {
            match self.end(&mut set) {
                Ok(()) => tracing::info!("the log has its level of the start again"),
                Err(error) => {
                    *set = None;
                    tracing::error!(%error, "the level of the log cannot be set back");
                }
            }
        }
    }

    fn end(&self, set: &mut Option<Set>) -> Result<(), String> {
        self.use_directives(&self.at_start)?;
        *set = None;
        Ok(())
    }

    fn use_directives(&self, directives: &str) -> Result<(), String> {
        let filter = EnvFilter::try_new(directives).map_err(|error| error.to_string())?;
        (self.apply)(filter)
    }

    fn set(&self) -> MutexGuard<'_, Option<Set>> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn recorded() -> (LogLevel, Arc<Mutex<Vec<String>>>) {
        let applied = Arc::new(Mutex::new(Vec::new()));
        let theirs = applied.clone();
        let level = LogLevel::new("info,h2=error", move |filter| {
            theirs.lock().unwrap().push(filter.to_string());
            Ok(())
        });
        (level, applied)
    }

    #[tokio::test]
    async fn a_level_ends_by_itself_and_the_start_holds_again() {
        let (level, applied) = recorded();
        level.hold(Level::Debug, Duration::ZERO).unwrap();
        let ended = async {
            while level.current().is_some() {
                tokio::task::yield_now().await
            }
        };
        tokio::select! {
            () = level.run() => {}
            () = ended => {}
        }
        let applied = applied.lock().unwrap();
        assert!(applied[0].contains("portcullis=debug") && applied[0].contains("h2=error"), "{applied:?}");
        assert!(!applied[1].contains("portcullis"), "{applied:?}");
        assert_eq!(applied.len(), 2);
    }

    #[test]
    fn a_later_level_replaces_an_earlier_one() {
        let (level, _) = recorded();
        level.hold(Level::Debug, Duration::from_secs(60)).unwrap();
        level.hold(Level::Trace, Duration::from_secs(10)).unwrap();
        assert_eq!(level.current().map(|set| set.level), Some(Level::Trace));
        level.release().unwrap();
        assert_eq!(level.current(), None);
    }
}
