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

/// What of a document is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'p> {
    /// All of it.
    Document,
    /// One named thing.
    Thing(Kind, &'p str),
    /// What a JSON pointer (RFC 6901) names.
    Part(&'p str),
}

impl Place<'_> {
    /// Its JSON pointer.
    #[must_use]
    pub fn pointer(self) -> String {
        match self {
            Self::Document => String::new(),
            Self::Thing(kind, name) => kind.pointer(name),
            Self::Part(pointer) => pointer.to_owned(),
        }
    }

    /// That there is no such thing.
    #[must_use]
    pub fn unknown(self, document: &Value) -> ChangeError {
        match self {
            Self::Thing(kind, name) => ChangeError::unknown(kind, name, document),
            Self::Document | Self::Part(_) => ChangeError::NoPart(self.pointer()),
        }
    }
}

/// A change to the whole document, or to a part of it.
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
    /// There is no such part.
    #[error("there is nothing at `{0}`; `GET /api/v1/config` shows what there is")]
    NoPart(String),
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
    pub fn apply(self, place: Place<'_>, document: &Value, secrets: &[String]) -> Result<Value, ChangeError> {
        let mut wanted = document.clone();
        match place {
            Place::Document => self.apply_to(&mut wanted)?,
            Place::Thing(kind, _) => {
                // The first of its kind brings the key along.
                if let (Self::Put(_), Value::Object(top)) = (&self, &mut wanted) {
                    top.entry(kind.key()).or_insert_with(|| Value::Object(Map::new()));
                }
                self.apply_at(place, &mut wanted)?;
            }
            Place::Part(_) => self.apply_at(place, &mut wanted)?,
        }
        let masked = unmask(&mut wanted, secrets, document);
        // Three stars that somebody wrote into a file are what they are.
        match masked.into_iter().find(|pointer| document.pointer(pointer).is_none_or(|known| *known != MASK))
        {
            None => Ok(wanted),
            Some(pointer) => Err(ChangeError::Masked(pointer)),
        }
    }

    /// Below a map something may be put where nothing was; everything else needs what it changes.
    fn apply_at(self, place: Place<'_>, wanted: &mut Value) -> Result<(), ChangeError> {
        let pointer = place.pointer();
        let is_there = wanted.pointer(&pointer).is_some();
        let Some((parent, token)) = pointer.rsplit_once('/') else { return self.apply_to(wanted) };
        let around = wanted.pointer_mut(parent).and_then(Value::as_object_mut);
        match (self, around) {
            (Self::Put(value), Some(around)) => {
                around.insert(token.replace("~1", "/").replace("~0", "~"), value);
            }
            (Self::Delete, Some(around)) if is_there => {
                around.remove(&token.replace("~1", "/").replace("~0", "~"));
            }
            (change, _) => match wanted.pointer_mut(&pointer) {
                Some(target) => change.apply_to(target)?,
                None => return Err(place.unknown(wanted)),
            },
        }
        Ok(())
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
        let wanted = change.apply(Place::Thing(Kind::Route, "orders"), &document(), &[])?;
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
        let made = Change::Put(json!({})).apply(Place::Thing(Kind::Policy, "new"), &document(), &[]).unwrap();
        assert_eq!(made["policies"], json!({ "new": {} }));
    }

    #[test]
    fn what_is_not_there_is_named_with_what_is() {
        let refused = Change::Delete.apply(Place::Thing(Kind::Route, "order"), &document(), &[]).unwrap_err();
        assert_eq!(refused.to_string(), "there is no route `order`; did you mean `orders`?");
        let refused = on_orders(operations(json!([{ "op": "remove", "path": "/nothing" }]))).unwrap_err();
        assert!(refused.to_string().starts_with("operation 0: "), "{refused}");
    }

    #[test]
    fn a_part_is_changed_where_its_pointer_leads() {
        let document = json!({ "routes": { "a/b": { "to": ["x", "y"] } } });
        let put = |pointer, value| Change::Put(value).apply(Place::Part(pointer), &document, &[]);
        assert_eq!(put("/routes/a~1b/to/1", json!("z")).unwrap()["routes"]["a/b"]["to"], json!(["x", "z"]));
        assert_eq!(put("/routes/a~1b/c~0d", json!(1)).unwrap()["routes"]["a/b"]["c~d"], json!(1));
        assert_eq!(put("/policies", json!({})).unwrap()["policies"], json!({}));
        for nowhere in
            ["/policies/p", "/routes/a~1b/to/2", "/routes/a~1b/to/-", "/routes/a~1b/to/x", "/routes/a/b"]
        {
            assert_eq!(put(nowhere, json!(1)), Err(ChangeError::NoPart(nowhere.to_owned())));
        }
        let merged = Change::Merge(json!({ "to": "z" })).apply(Place::Part("/routes/a~1b"), &document, &[]);
        assert_eq!(merged.unwrap()["routes"]["a/b"], json!({ "to": "z" }));
        let merged = Change::Merge(json!({})).apply(Place::Part("/routes/b"), &document, &[]);
        assert_eq!(merged, Err(ChangeError::NoPart("/routes/b".to_owned())));
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
