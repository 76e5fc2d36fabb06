//! What whoever registered an endpoint says about it, as pairs of texts.
//!
//! Decides nothing. An endpoint without any, as most are, keeps no memory for them.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The metadata of an endpoint; ordered by key.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Meta(Option<Arc<BTreeMap<String, String>>>);

impl Meta {
    /// The value under `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.as_ref()?.get(key).map(String::as_str)
    }

    /// All pairs, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|pairs| pairs.iter()).map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl From<BTreeMap<String, String>> for Meta {
    fn from(pairs: BTreeMap<String, String>) -> Self {
        Self((!pairs.is_empty()).then(|| Arc::new(pairs)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pairs_are_no_metadata() {
        assert_eq!(Meta::from(BTreeMap::new()), Meta::default());
        assert_eq!(Meta::default().iter().count(), 0);
    }

    #[test]
    fn a_pair_is_found_by_its_key() {
        let meta = Meta::from(BTreeMap::from([("zone".to_owned(), "b".to_owned())]));
        assert_eq!((meta.get("zone"), meta.get("rack")), (Some("b"), None));
    }
}
