//! Changes to headers, with names and values ready to use.

use http::{HeaderName, HeaderValue};

use crate::headers::HeadEdit;

/// Changes to the header fields of a request or a reply: first removed, then set, then added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Taken away.
    pub remove: Box<[HeaderName]>,
    /// Put in place of whatever there was.
    pub set: Box<[(HeaderName, HeaderValue)]>,
    /// Put beside whatever there was.
    pub add: Box<[(HeaderName, HeaderValue)]>,
}

impl HeaderEdits {
    /// Changes `head`.
    pub fn apply(&self, head: &mut impl HeadEdit) {
        for name in &self.remove {
            head.remove(name);
        }
        for (name, value) in &self.set {
            head.set(name.clone(), value.clone());
        }
        for (name, value) in &self.add {
            head.append(name.clone(), value.clone());
        }
    }

    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}
