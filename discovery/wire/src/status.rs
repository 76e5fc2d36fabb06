//! The status of a check, and the order from good to bad.
//! Writers are strict; readers of health answers take an unknown word as critical.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The status of one check, or the aggregate of many. Ordered from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CheckStatus {
    /// The check passed.
    Passing,
    /// The check passed with a warning; the instance may still be used.
    Warning,
    /// The check failed.
    Critical,
    /// The instance or its node was put into maintenance. Only ever an aggregate, never a check's own status.
    Maintenance,
}

/// A word that is not a status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown check status {0:?}, expected passing, warning or critical")]
pub struct UnknownStatus(pub String);

impl CheckStatus {
    /// The word Consul writes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Maintenance => "maintenance",
        }
    }

    /// Reads a word of a health answer: what we do not know is not healthy, so it is critical.
    #[must_use]
    pub fn parse_lenient(word: &str) -> Self {
        word.parse().unwrap_or(Self::Critical)
    }
}

impl FromStr for CheckStatus {
    type Err = UnknownStatus;

    fn from_str(word: &str) -> Result<Self, UnknownStatus> {
        match word {
            "passing" => Ok(Self::Passing),
            "warning" => Ok(Self::Warning),
            "critical" => Ok(Self::Critical),
            "maintenance" => Ok(Self::Maintenance),
            other => Err(UnknownStatus(other.to_owned())),
        }
    }
}

impl fmt::Display for CheckStatus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl Serialize for CheckStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for CheckStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        word.parse().map_err(serde::de::Error::custom)
    }
}

/// For health answers: `null`, `""` and unknown words read as critical.
pub(crate) fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CheckStatus, D::Error> {
    let word = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    Ok(CheckStatus::parse_lenient(&word))
}

/// For registrations: `null` and `""` read as "not said"; an unknown word is an error.
pub(crate) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<CheckStatus>, D::Error> {
    match Option::<String>::deserialize(deserializer)?.as_deref() {
        None | Some("") => Ok(None),
        Some(word) => word.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_goes_from_best_to_worst() {
        assert!(CheckStatus::Passing < CheckStatus::Warning);
        assert!(CheckStatus::Warning < CheckStatus::Critical);
        assert!(CheckStatus::Critical < CheckStatus::Maintenance);
    }

    #[test]
    fn an_unknown_word_is_critical_in_an_answer_and_an_error_in_a_request() {
        assert_eq!(CheckStatus::parse_lenient("sleepy"), CheckStatus::Critical);
        assert!("sleepy".parse::<CheckStatus>().is_err());
    }
}
