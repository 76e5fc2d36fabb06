//! Secrets, and the three ways to write one.

use std::fmt;
use std::path::PathBuf;

use crate::merge::Merge;
use crate::span::At;

/// A value that is never shown: `Debug` prints a mask, and there is no `Display`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for the one place that sends it.
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A secret field `x`, written as `x`, `x_env` or `x_file`; exactly one of them.
#[derive(Debug, Clone)]
pub enum SecretSource {
    /// Written in the file, or read from the environment variable that `x_env` named.
    Value(At<Secret<String>>),
    /// In a file of its own. The shell reads it, and reads it again when it changes.
    File(At<PathBuf>),
}

impl Merge for SecretSource {}
