//! How a plugin says that it could not do its work: at build time and at run time.
//!
//! Neither text ever reaches a client: build errors go to the operator, faults to the log.

use thiserror::Error;

/// A filter failed on one request. The route's `failure: deny | bypass` decides what the client sees.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Fault {
    /// What went wrong, for the log: lower case, no full stop, no secret.
    pub message: String,
}

impl Fault {
    /// A fault with a text for the log.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

/// The settings of a plugin were refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}{message}", at(pointer))]
pub struct BuildError {
    /// Which setting, as a JSON pointer (RFC 6901) from the plugin's settings; empty for the settings as a whole.
    pub pointer: String,
    /// What is wrong with it and what would be right.
    pub message: String,
}

impl BuildError {
    /// An error about the setting that `pointer` names, for example `/origins/0`.
    #[must_use]
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }
}

fn at(pointer: &str) -> String {
    if pointer.is_empty() { String::new() } else { format!("{pointer}: ") }
}

/// One reference token of a JSON pointer, with `~` and `/` escaped (RFC 6901 §3).
#[must_use]
pub fn pointer_token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_where_before_what() {
        assert_eq!(BuildError::new("/a/0", "not a host").to_string(), "/a/0: not a host");
        assert_eq!(BuildError::new("", "not an object").to_string(), "not an object");
    }

    #[test]
    fn a_pointer_token_escapes_what_the_pointer_syntax_uses() {
        assert_eq!(pointer_token("a/b~c"), "a~1b~0c");
    }
}
