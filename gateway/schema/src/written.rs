//! The configuration as a value: files and overlay together, as they were written, variables and all.
//!
//! Decides what of it is shown (secrets are masked) and which part of it a place belongs to. Never what it means.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use serde_json::Value;

use crate::load::{Loaded, load_tree};
use crate::merge_patch::push_key;
use crate::outline::{MASK, secrets};
use crate::overlay::Overlay;
use crate::source::FileSource;
use crate::span::Span;
use crate::yaml::{Key, Kind, Node, written_value};

/// Left out: what it names has been read in.
const INCLUDE: &str = "include";

/// A configuration as it was written, as one tree.
#[derive(Debug)]
pub struct WrittenDocument {
    entries: Vec<(Key, Node)>,
    files: Value,
    secrets: HashSet<Span>,
}

/// Loads a configuration as [`load_with`](crate::load_with) does, and keeps what was written.
pub fn load_written(
    root: &Path,
    source: &dyn FileSource,
    env: &BTreeMap<String, String>,
    overlay: Option<&Overlay>,
) -> (Loaded, WrittenDocument) {
    let mut files = Value::Null;
    let (loaded, tree) = load_tree(root, source, env, overlay, &mut |entries| files = value(entries));
    let Kind::Map(entries) = tree.kind else {
        let nothing = WrittenDocument { entries: Vec::new(), files, secrets: HashSet::new() };
        return (loaded, nothing);
    };
    let secrets = secrets(&loaded.document, &loaded.sources).into_iter().collect();
    (loaded, WrittenDocument { entries, files, secrets })
}

fn value(entries: &[(Key, Node)]) -> Value {
    let shown = entries.iter().filter(|(key, _)| key.text != INCLUDE);
    shown.map(|(key, node)| (key.text.clone(), written_value(node))).collect()
}

impl WrittenDocument {
    /// Files and overlay together, secrets and all. Not to be shown.
    #[must_use]
    pub fn with_secrets(&self) -> Value {
        value(&self.entries)
    }

    /// The files alone, secrets and all. Not to be shown.
    #[must_use]
    pub fn files(&self) -> &Value {
        &self.files
    }

    /// Where something is written that is not shown, as JSON pointers.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut pointer = String::new();
        walk(&self.entries, &mut pointer, &mut |pointer, node, _| {
            if self.secrets.contains(&node.at) {
                found.push(pointer.to_owned());
            }
        });
        found
    }

    /// Which part was written at a place, as a JSON pointer: the innermost one around it.
    #[must_use]
    pub fn pointer(&self, at: Span) -> Option<String> {
        let mut best: Option<(u32, String)> = None;
        let mut pointer = String::new();
        walk(&self.entries, &mut pointer, &mut |pointer, node, key| {
            // What was replaced by the overlay stands under a key of the files.
            for around in [node.at, node.named, key] {
                let length = around.end.saturating_sub(around.start);
                let is_inside = around.file == at.file && around.start <= at.start && at.end <= around.end;
                if is_inside && best.as_ref().is_none_or(|(shortest, _)| length <= *shortest) {
                    best = Some((length, pointer.to_owned()));
                }
            }
        });
        best.map(|(_, pointer)| pointer)
    }
}

/// Shows every value with its pointer and the place of the key that it stands under.
fn walk(entries: &[(Key, Node)], pointer: &mut String, visit: &mut dyn FnMut(&str, &Node, Span)) {
    for (key, node) in entries {
        let length = pointer.len();
        push_key(pointer, &key.text);
        step(node, key.at, pointer, visit);
        pointer.truncate(length);
    }
}

fn step(node: &Node, key: Span, pointer: &mut String, visit: &mut dyn FnMut(&str, &Node, Span)) {
    visit(pointer, node, key);
    match &node.kind {
        Kind::Scalar(_) => {}
        Kind::Map(entries) => walk(entries, pointer, visit),
        Kind::List(items) => {
            let length = pointer.len();
            for (idx, item) in items.iter().enumerate() {
                push_key(pointer, &idx.to_string());
                step(item, item.at, pointer, visit);
                pointer.truncate(length);
            }
        }
    }
}

/// Puts the mask in the place of what stands at `secrets`.
pub fn mask(value: &mut Value, secrets: &[String]) {
    for pointer in secrets {
        if let Some(secret) = value.pointer_mut(pointer) {
            *secret = Value::from(MASK);
        }
    }
}

/// Puts back what a mask stands for: whoever changes what was shown to them sends the masks along.
///
/// `from` is what was shown, unmasked. Gives the pointers of masks that stand for nothing, or for nothing certain: in
/// a list that was changed, an item may have moved.
pub fn unmask(value: &mut Value, secrets: &[String], from: &Value) -> Vec<String> {
    if !secrets.is_empty() {
        put_back(value, secrets, from);
    }
    let mut left = Vec::new();
    masks(value, &mut String::new(), &mut left);
    left
}

fn put_back(value: &mut Value, secrets: &[String], from: &Value) {
    let (sent, mut shown) = (value.clone(), from.clone());
    mask(&mut shown, secrets);
    for pointer in secrets {
        let is_certain =
            list_around(pointer, from).is_none_or(|list| sent.pointer(list) == shown.pointer(list));
        if is_certain
            && let (Some(known), Some(masked)) = (from.pointer(pointer), value.pointer_mut(pointer))
            && *masked == MASK
        {
            *masked = known.clone();
        }
    }
}

/// The outermost list that a pointer leads through.
fn list_around<'p>(pointer: &'p str, value: &Value) -> Option<&'p str> {
    let ends = pointer.match_indices('/').map(|(at, _)| at);
    ends.filter_map(|end| pointer.get(..end)).find(|outer| value.pointer(outer).is_some_and(Value::is_array))
}

fn masks(value: &Value, pointer: &mut String, found: &mut Vec<String>) {
    let length = pointer.len();
    match value {
        Value::String(text) if text == MASK => found.push(pointer.clone()),
        Value::Object(entries) => {
            for (key, entry) in entries {
                push_key(pointer, key);
                masks(entry, pointer, found);
                pointer.truncate(length);
            }
        }
        Value::Array(items) => {
            for (idx, item) in items.iter().enumerate() {
                push_key(pointer, &idx.to_string());
                masks(item, pointer, found);
                pointer.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
