//! Where things are: file paths and URLs, as far as they can be judged without touching them.

use std::fmt;
use std::path::{Path, PathBuf};

/// A path to a file, taken relative to the directory of the main configuration file unless absolute.
/// Reading it is the shell's work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePath(PathBuf);

impl FilePath {
    /// Checks that something was written.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.trim().is_empty() || text.contains('\0') {
            return Err("a path to a file is not empty");
        }
        Ok(Self(PathBuf::from(text)))
    }

    /// The path as written.
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

/// An absolute `http://` or `https://` URL, kept as written, without user information.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// Checks scheme and authority. The rest is left to who calls it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let Some(rest) = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")) else {
            return Err("a URL starts with `http://` or `https://`");
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
        if authority.is_empty() || authority.starts_with(':') {
            return Err("the URL names no host");
        }
        if authority.contains('@') {
            return Err("a URL carries no user or password here");
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("a URL contains no blanks");
        }
        Ok(Self(text.to_owned()))
    }

    /// The URL as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it starts with `https://`.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
