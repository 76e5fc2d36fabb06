//! JSON merge patches (RFC 7396): laying one over a value, and finding the one between two values.
//!
//! Decides nothing about what a key means. A merge patch says "remove" with `null`, so it cannot write a `null` under a
//! key; [`diff`] refuses that instead of losing it.

use std::fmt;

use serde_json::{Map, Value};

/// A `null` under a key of what is wanted: a merge patch would remove the key instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NullAt {
    /// Where it is, as a JSON pointer (RFC 6901).
    pub pointer: String,
}

impl fmt::Display for NullAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is null, which a merge patch cannot write; leave the key out", self.pointer)
    }
}

impl std::error::Error for NullAt {}

/// Lays `patch` over `target`: maps are merged key by key, `null` removes, everything else replaces.
pub fn apply(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(entries) = target else { return };
    for (key, change) in changes {
        match change {
            Value::Null => {
                entries.remove(key);
            }
            Value::Object(_) => apply(entries.entry(key.clone()).or_insert(Value::Null), change),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                entries.insert(key.clone(), change.clone());
            }
        }
    }
}

/// The patch that makes `wanted` out of `from`; `None` if they are equal.
///
/// # Errors
/// When `wanted` holds a `null` under a key where `from` does not.
pub fn diff(from: &Value, wanted: &Value) -> Result<Option<Value>, NullAt> {
    between(from, wanted, &mut String::new(), &mut |pointer| Err(NullAt { pointer: pointer.to_owned() }))
}

/// The patch from `from` to `wanted` to be looked at; `None` if they are equal. A `null` that is wanted under a key is
/// shown, where laying the patch over `from` would take the key away.
#[must_use]
pub fn difference(from: &Value, wanted: &Value) -> Option<Value> {
    // Nothing is refused.
    between(from, wanted, &mut String::new(), &mut |_| Ok(())).unwrap_or_default()
}

/// `null` decides whether one may be wanted at a pointer.
fn between(
    from: &Value,
    wanted: &Value,
    pointer: &mut String,
    null: &mut dyn FnMut(&str) -> Result<(), NullAt>,
) -> Result<Option<Value>, NullAt> {
    if from == wanted {
        return Ok(None);
    }
    let Value::Object(wanted) = wanted else { return Ok(Some(wanted.clone())) };
    let nothing = Map::new();
    let before = from.as_object().unwrap_or(&nothing);
    let removed = before.keys().filter(|key| !wanted.contains_key(*key));
    let mut changes: Map<String, Value> = removed.map(|key| (key.clone(), Value::Null)).collect();
    for (key, value) in wanted {
        let length = pointer.len();
        push_key(pointer, key);
        let change = match before.get(key) {
            Some(known) if known == value => None,
            _ if value.is_null() => {
                null(pointer)?;
                Some(Value::Null)
            }
            Some(known) => between(known, value, pointer, null)?,
            // An empty map is something where there was nothing, so it is compared with what is no map.
            None => between(&Value::Null, value, pointer, null)?,
        };
        pointer.truncate(length);
        changes.extend(change.map(|change| (key.clone(), change)));
    }
    Ok(Some(Value::Object(changes)))
}

/// Adds one reference token to a JSON pointer.
pub(crate) fn push_key(pointer: &mut String, key: &str) {
    pointer.push('/');
    if key.contains(['~', '/']) {
        pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
    } else {
        pointer.push_str(key);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(from: Value, patch: Value, wanted: Value) {
        let mut target = from.clone();
        apply(&mut target, &patch);
        assert_eq!(target, wanted, "{from} with {patch}");
    }

    #[test]
    fn the_examples_of_the_standard_hold() {
        // RFC 7396, appendix A.
        check(json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"}));
        check(json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"}));
        check(json!({"a":"b"}), json!({"a":null}), json!({}));
        check(json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"}));
        check(json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"}));
        check(json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]}));
        check(json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}}));
        check(json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]}));
        check(json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"]));
        check(json!({"a":"b"}), json!(["c"]), json!(["c"]));
        check(json!({"a":"foo"}), Value::Null, Value::Null);
        check(json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1}));
        check(json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"}));
        check(json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}}));
    }

    #[test]
    fn a_null_that_would_be_lost_is_refused_where_it_is() {
        let refused = diff(&json!({"a": {}}), &json!({"a": {"b/c": {"d": null}}})).unwrap_err();
        assert_eq!(refused.pointer, "/a/b~1c/d");
        assert_eq!(difference(&json!({"a": {"b": 1}}), &json!({"a": null})), Some(json!({"a": null})));
        // One that was there before, or one in a list, stays.
        assert_eq!(diff(&json!({"a": null, "b": 1}), &json!({"a": null})).unwrap(), Some(json!({"b": null})));
        assert_eq!(diff(&json!({}), &json!({"a": [null]})).unwrap(), Some(json!({"a": [null]})));
    }

    #[test]
    fn equal_values_need_no_patch() {
        assert_eq!(diff(&json!({"a": {"b": [1, {}]}}), &json!({"a": {"b": [1, {}]}})).unwrap(), None);
        assert_eq!(diff(&json!({}), &json!({"a": {}})).unwrap(), Some(json!({"a": {}})));
        assert_eq!(diff(&json!({"a": 1}), &json!({"a": {}})).unwrap(), Some(json!({"a": {}})));
    }
}
