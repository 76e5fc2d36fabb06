//! From tree to types, one entry at a time, so that one mistake hides no other.
//!
//! Decides what each shape and each key may hold, and describes the same as JSON Schema: both come from one
//! definition (`keys!`), so they cannot drift apart. Knows nothing of names defined elsewhere.

mod about;
mod containers;
mod keys;
mod leaves;
mod reader;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Sink};
use crate::span::Span;
use crate::yaml::Node;

pub(crate) use about::{About, about};
pub use containers::OneOrMany;
pub(crate) use keys::keys;
pub(crate) use reader::{Keys, Reader, decode_keys, decode_text, describe_keys};

/// What decoding needs besides the tree.
pub(crate) struct Decoder<'a> {
    pub(crate) sink: &'a mut Sink,
    pub(crate) env: &'a BTreeMap<String, String>,
    /// Places of secrets written in a file, to be masked in every excerpt.
    pub(crate) secrets: Vec<Span>,
}

/// The maps of the language, by type name.
pub(crate) type Definitions = BTreeMap<&'static str, Definition>;

/// One map of the language: its JSON Schema, and what a schema has no words for.
#[derive(Debug, Default)]
pub(crate) struct Definition {
    pub(crate) schema: Value,
    /// What it is, in words: "a listener".
    pub(crate) what: &'static str,
    /// Its description.
    pub(crate) doc: String,
    pub(crate) properties: Properties,
    pub(crate) required: Vec<&'static str>,
    /// Keys that a later version brings, with a sentence each.
    pub(crate) later: &'static [(&'static str, &'static str)],
    /// Keys that somebody may look for here, and what to use instead.
    pub(crate) instead: &'static [(&'static str, &'static str)],
}

/// The keys of one map, in the order of the language.
pub(crate) type Properties = Vec<Property>;

/// One key of a map.
#[derive(Debug)]
pub(crate) struct Property {
    pub(crate) key: &'static str,
    pub(crate) schema: Value,
    /// The map whose key it is, when that map's keys stand in this one.
    pub(crate) of: Option<&'static str>,
}

/// Can be read from one node. `None` means that the reason has been reported.
pub(crate) trait Decode: Sized {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self>;

    /// The JSON Schema of what `decode` accepts.
    fn describe(definitions: &mut Definitions) -> Value;
}

/// Can be read from a map under one key, or under several (a secret), or from the map itself (flattened).
pub(crate) trait Field: Sized {
    fn read(reader: &mut Reader<'_, '_, '_>, key: &'static str) -> Self;

    fn properties(key: &'static str, doc: &str, properties: &mut Properties, definitions: &mut Definitions);
}

impl Decoder<'_> {
    /// Reports an error at a place.
    pub(crate) fn error(&mut self, code: Code, at: Span, message: String, label: &str, help: Option<String>) {
        let mut diagnostic = Diagnostic::new(code, message).label(at, label);
        diagnostic.help = help;
        self.sink.push(diagnostic);
    }

    /// Reports that a node has the wrong shape.
    pub(crate) fn wrong_shape(&mut self, node: &Node, expected: &str) {
        if node.scalar().is_some_and(|scalar| scalar.lost) {
            return;
        }
        let code = if node.scalar().is_some_and(crate::yaml::Scalar::is_null) {
            Code::MissingValue
        } else {
            Code::WrongType
        };
        let message = format!("expected {expected}, found {}", node.shape());
        self.error(code, node.at, message, &format!("expected {expected}"), None);
    }

    /// Reports that a text does not mean what it should; `why` says what would be right.
    pub(crate) fn bad_value(&mut self, code: Code, node: &Node, what: &str, why: String) {
        if node.scalar().is_some_and(|scalar| scalar.lost) {
            return;
        }
        let shown = node.scalar().map_or("", crate::yaml::Scalar::shown);
        let message = format!("`{shown}` is not {what}");
        self.error(code, node.at, message, &format!("not {what}"), Some(why));
    }
}
