//! The name of a service.
//!
//! Decides which names are well formed. Never asks whether a service of that name exists.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The name of a service as its registry knows it: 1 to [`ServiceName::BYTES_MAX`] ASCII letters,
/// digits, `-`, `_` and `.`, beginning with a letter, a digit or `_`.
///
/// Consul accepts more in its API and warns that such names cannot be found by DNS. We refuse
/// them: the name becomes a segment of a URL, a metric label and a log field, and none of these
/// needs a second spelling. Case is kept, as Consul keeps it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName(Arc<str>);

/// Why a text is not a [`ServiceName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceNameError {
    /// The text is empty.
    #[error("a service name cannot be empty")]
    Empty,
    /// The text is longer than [`ServiceName::BYTES_MAX`].
    #[error("a service name has at most {max} bytes, this one has {bytes}", max = ServiceName::BYTES_MAX)]
    TooLong {
        /// Length of the text in bytes.
        bytes: usize,
    },
    /// A character that is not allowed, or not allowed in front.
    #[error(
        "a service name has only letters, digits, `-`, `_` and `.`, and begins with a letter, a digit or `_`: \
         found {found:?} at byte {at}"
    )]
    Character {
        /// The first offending character.
        found: char,
        /// Its byte offset.
        at: usize,
    },
}

impl ServiceName {
    /// The longest name, in bytes.
    pub const BYTES_MAX: usize = 128;

    /// The name spelled `text`.
    ///
    /// # Errors
    /// Says what is wrong when `text` is empty, too long or has a character outside the set above.
    pub fn new(text: &str) -> Result<Self, ServiceNameError> {
        if text.is_empty() {
            return Err(ServiceNameError::Empty);
        }
        if text.len() > Self::BYTES_MAX {
            return Err(ServiceNameError::TooLong { bytes: text.len() });
        }
        let allowed = |at: usize, found: char| {
            found.is_ascii_alphanumeric() || found == '_' || (at > 0 && matches!(found, '-' | '.'))
        };
        match text.char_indices().find(|&(at, found)| !allowed(at, found)) {
            Some((at, found)) => Err(ServiceNameError::Character { found, at }),
            None => Ok(Self(text.into())),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServiceName {
    type Err = ServiceNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl AsRef<str> for ServiceName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_names() {
        for text in ["order-service", "web", "a.b_c-9", "_internal", "API", &"x".repeat(128)] {
            assert_eq!(ServiceName::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn a_name_that_could_change_a_url_is_refused_where_it_goes_wrong() {
        for (text, at) in
            [("a/b", 1), ("../x", 0), ("a b", 1), ("a?tag=x", 1), ("-a", 0), ("grün", 2), ("a\r", 1)]
        {
            match ServiceName::new(text) {
                Err(ServiceNameError::Character { at: found, .. }) => assert_eq!(found, at, "{text:?}"),
                other => panic!("{text:?} gave {other:?}"),
            }
        }
    }

    #[test]
    fn empty_and_overlong_names_are_refused() {
        assert_eq!(ServiceName::new(""), Err(ServiceNameError::Empty));
        assert_eq!(ServiceName::new(&"x".repeat(129)), Err(ServiceNameError::TooLong { bytes: 129 }));
    }
}
