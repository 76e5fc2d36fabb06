//! What a change makes of a document. Values in, values out.

use json_patch::{Patch, PatchOperation};
use portcullis_schema::{MASK, merge_patch, nearest, unmask};
use serde_json::{Map, Value};
use thiserror::Error;

/// Most operations of one JSON patch.
const OPERATIONS_MAX: usize = 1_000;
/// Most values in a document that a JSON patch copies into: a copy of a copy doubles.
const VALUES_MAX: usize = 1_000_000;

/// The named things that have resources of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `routes`.
    Route,
    /// `upstreams`.
    Upstream,
    /// `policies`.
    Policy,
    /// `consumers`.
    Consumer,
}

impl Kind {
    /// The top-level key they stand under.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Route => "routes",
            Self::Upstream => "upstreams",
            Self::Policy => "policies",
            Self::Consumer => "consumers",
        }
    }

    /// One of them.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Upstream => "upstream",
            Self::Policy => "policy",
            Self::Consumer => "consumer",
        }
    }

    /// The JSON pointer of one.
    #[must_use]
    pub fn pointer(self, name: &str) -> String {
        format!("/{}/{}", self.key(), name.replace('~', "~0").replace('/', "~1"))
    }
}

/// A change to the whole document, or to one named thing in it.
#[derive(Debug, Clone)]
pub enum Change {
    /// Put this in its place.
    Put(Value),
    /// Lay this merge patch over it (RFC 7396).
    Merge(Value),
    /// Do these operations on it (RFC 6902).
    Operations(Patch),
    /// Take it away.
    Delete,
}

/// A change that makes no sense for the document it is made to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChangeError {
    /// There is no such thing.
    #[error("there is no {word} `{name}`{hint}")]
    Unknown {
        /// `route`, `upstream` …
        word: &'static str,
        /// The name asked for.
        name: String,
        /// What was probably meant, as the end of the sentence.
        hint: String,
    },
    /// An operation of a JSON patch does not fit.
    #[error("{0}")]
    Operation(String),
    /// A mask stands where there is no secret.
    #[error("`***` at `{0}` stands for no secret that is known here; write the secret, or `${{VARIABLE}}`")]
    Masked(String),
}

impl ChangeError {
    /// That there is no such thing, with what was probably meant.
    #[must_use]
    pub fn unknown(kind: Kind, name: &str, document: &Value) -> Self {
        let known = document.get(kind.key()).and_then(Value::as_object);
        let near = nearest(name, known.into_iter().flatten().map(|(known, _)| known.as_str()));
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        Self::Unknown { word: kind.word(), name: name.to_owned(), hint }
    }
}

impl Change {
    /// The document as it is wanted. `secrets` are the places in `document` that were shown masked.
    ///
    /// # Errors
    /// When the change does not fit the document.
    pub fn apply(
        self,
        at: Option<(Kind, &str)>,
        document: &Value,
        secrets: &[String],
    ) -> Result<Value, ChangeError> {
        let mut wanted = document.clone();
        match at {
            None => self.apply_to(&mut wanted)?,
            Some((kind, name)) => {
                if let (None, false) = (document.pointer(&kind.pointer(name)), matches!(self, Self::Put(_))) {
                    return Err(ChangeError::unknown(kind, name, document));
                }
                let things = wanted
                    .as_object_mut()
                    .map(|top| top.entry(kind.key()).or_insert_with(|| Value::Object(Map::new())));
                let Some(Value::Object(things)) = things else {
                    return Err(ChangeError::unknown(kind, name, document));
                };
                if matches!(self, Self::Delete) {
                    things.remove(name);
                } else {
                    self.apply_to(things.entry(name).or_insert(Value::Null))?;
                }
            }
        }
        let masked = unmask(&mut wanted, secrets, document);
        // Three stars that somebody wrote into a file are what they are.
        match masked.into_iter().find(|pointer| document.pointer(pointer).is_none_or(|known| *known != MASK))
        {
            None => Ok(wanted),
            Some(pointer) => Err(ChangeError::Masked(pointer)),
        }
    }

    fn apply_to(self, target: &mut Value) -> Result<(), ChangeError> {
        match self {
            Self::Put(value) => *target = value,
            Self::Merge(patch) => merge_patch::apply(target, &patch),
            Self::Operations(patch) => operate(target, &patch)?,
            Self::Delete => *target = Value::Null,
        }
        Ok(())
    }
}

fn operate(target: &mut Value, patch: &Patch) -> Result<(), ChangeError> {
    if patch.0.len() > OPERATIONS_MAX {
        return Err(ChangeError::Operation(format!("more than {OPERATIONS_MAX} operations in one patch")));
    }
    for (idx, operation) in patch.0.iter().enumerate() {
        let done = json_patch::patch(target, std::slice::from_ref(operation));
        done.map_err(|error| ChangeError::Operation(format!("operation {idx}: {}", error.kind)))?;
        if matches!(operation, PatchOperation::Copy(_)) && n_values(target) > VALUES_MAX {
            return Err(ChangeError::Operation(format!("operation {idx}: more than {VALUES_MAX} values")));
        }
    }
    Ok(())
}

fn n_values(value: &Value) -> usize {
    match value {
        Value::Object(entries) => 1 + entries.values().map(n_values).sum::<usize>(),
        Value::Array(items) => 1 + items.iter().map(n_values).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({ "version": 1, "routes": { "orders": { "path": "/o", "to": "a" } } })
    }

    fn on_orders(change: Change) -> Result<Value, ChangeError> {
        let wanted = change.apply(Some((Kind::Route, "orders")), &document(), &[])?;
        Ok(wanted["routes"]["orders"].clone())
    }

    fn operations(text: Value) -> Change {
        Change::Operations(serde_json::from_value(text).unwrap())
    }

    #[test]
    fn each_kind_of_change_does_what_its_standard_says() {
        assert_eq!(on_orders(Change::Put(json!({ "path": "/p" }))).unwrap(), json!({ "path": "/p" }));
        let merged = on_orders(Change::Merge(json!({ "to": null, "methods": ["GET"] }))).unwrap();
        assert_eq!(merged, json!({ "path": "/o", "methods": ["GET"] }));
        let patched = on_orders(operations(json!([
            { "op": "test", "path": "/to", "value": "a" },
            { "op": "replace", "path": "/to", "value": "b" },
            { "op": "add", "path": "/methods", "value": ["GET"] },
        ])));
        assert_eq!(patched.unwrap(), json!({ "path": "/o", "to": "b", "methods": ["GET"] }));
        assert_eq!(on_orders(Change::Delete).unwrap(), Value::Null);
        let made = Change::Put(json!({})).apply(Some((Kind::Policy, "new")), &document(), &[]).unwrap();
        assert_eq!(made["policies"], json!({ "new": {} }));
    }

    #[test]
    fn what_is_not_there_is_named_with_what_is() {
        let refused = Change::Delete.apply(Some((Kind::Route, "order")), &document(), &[]).unwrap_err();
        assert_eq!(refused.to_string(), "there is no route `order`; did you mean `orders`?");
        let refused = on_orders(operations(json!([{ "op": "remove", "path": "/nothing" }]))).unwrap_err();
        assert!(refused.to_string().starts_with("operation 0: "), "{refused}");
    }

    #[test]
    fn copies_of_copies_end_at_the_bound() {
        let doubling = (0..64).map(|n| json!({ "op": "copy", "from": "", "path": format!("/x{n}") }));
        let refused = on_orders(operations(Value::from(doubling.collect::<Vec<_>>()))).unwrap_err();
        assert!(refused.to_string().contains("values"), "{refused}");
    }

    #[test]
    fn a_mask_that_hides_nothing_is_refused() {
        let refused = on_orders(Change::Merge(json!({ "to": "***" }))).unwrap_err();
        assert_eq!(refused, ChangeError::Masked("/routes/orders/to".to_owned()));
    }
}
