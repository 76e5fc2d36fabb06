//! Entity tags: equal for equal values, whatever order their keys were written in.
//!
//! Keyed, because a secret is part of what is tagged, and a plain hash of a short one can be guessed. The key lasts as
//! long as the process.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Bytes of a hash that a tag shows: 128 bits do not collide by accident.
const TAG_BYTES: usize = 16;

/// Makes the tags of one process.
#[derive(Clone)]
pub struct Etags {
    key: [u8; 32],
}

impl std::fmt::Debug for Etags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Etags(***)")
    }
}

impl Etags {
    /// Tags by this key.
    #[must_use]
    pub const fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The strong tag of a value, quotes included.
    #[must_use]
    pub fn of(&self, value: &Value) -> String {
        format!("\"{}\"", self.digest(value))
    }

    /// The strong tag of the whole document at a revision.
    #[must_use]
    pub fn of_document(&self, revision: u64, value: &Value) -> String {
        format!("\"rev-{revision}-{}\"", self.digest(value))
    }

    fn digest(&self, value: &Value) -> String {
        let mut text = Vec::new();
        canonical(value, &mut text);
        let hash = Sha256::new().chain_update(self.key).chain_update(&text).finalize();
        hex::encode(hash.iter().copied().take(TAG_BYTES).collect::<Vec<u8>>())
    }
}

/// The value as JSON with its keys in order.
fn canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(entries) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by_key(|(key, _)| key.as_str());
            out.push(b'{');
            for (key, entry) in sorted {
                written(key, out);
                out.push(b':');
                canonical(entry, out);
                out.push(b',');
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for item in items {
                canonical(item, out);
                out.push(b',');
            }
            out.push(b']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => written(value, out),
    }
}

fn written(value: &impl Serialize, out: &mut Vec<u8>) {
    // A value of JSON and a place in memory: neither can fail.
    let _ = serde_json::to_writer(out, value);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tag_follows_the_value_and_the_key() {
        let etags = Etags::new([1; 32]);
        let value = json!({ "a": [1, "2"], "b": {} });
        assert_eq!(etags.of(&value), etags.of(&serde_json::from_str(r#"{"b":{},"a":[1,"2"]}"#).unwrap()));
        assert_ne!(etags.of(&value), etags.of(&json!({ "a": ["1", 2], "b": {} })));
        assert_ne!(etags.of(&value), Etags::new([2; 32]).of(&value));
        assert_eq!(etags.of(&value).len(), 2 * TAG_BYTES + 2);
        assert_ne!(etags.of_document(1, &value), etags.of_document(2, &value));
    }
}
