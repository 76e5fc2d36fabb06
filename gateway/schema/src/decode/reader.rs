//! Reading a map key by key, and accounting for every key in it.

use serde_json::{Map as Json, Value, json};

use super::{Decode, Decoder, Definition, Definitions, Properties};
use crate::codes::Code;
use crate::span::Span;
use crate::suggest::nearest;
use crate::yaml::{Key, Kind, Node};

/// A map whose keys are known in advance. Implemented by `keys!` only.
pub(crate) trait Keys: Sized {
    /// Its name in the JSON Schema.
    const NAME: &'static str;
    /// What it is, in words, for messages: "a listener".
    const WHAT: &'static str;
    /// Its description.
    const DOC: &'static str;
    /// Keys that a later version brings, with a sentence each.
    const LATER: &'static [(&'static str, &'static str)] = &[];

    /// Keys that somebody may look for here, and what to use instead.
    const INSTEAD: &'static [(&'static str, &'static str)] = &[];

    fn read(reader: &mut Reader<'_, '_, '_>) -> Self;

    fn properties(
        properties: &mut Properties,
        required: &mut Vec<&'static str>,
        definitions: &mut Definitions,
    );

    /// Reads the short form. `None`: this is not the short form.
    fn short(_node: &Node, _decoder: &mut Decoder<'_>) -> Option<Option<Self>> {
        None
    }

    fn describe_short() -> Option<Value> {
        None
    }

    /// Rules over several keys.
    fn check(&self, _node: &Node, _decoder: &mut Decoder<'_>) {}
}

/// A map being read: hands out each key once and reports what nobody asked for.
pub(crate) struct Reader<'n, 'd, 'a> {
    pub(crate) decoder: &'d mut Decoder<'a>,
    at: Span,
    what: &'static str,
    entries: Vec<Option<&'n (Key, Node)>>,
    known: Vec<&'static str>,
}

impl<'n, 'd, 'a> Reader<'n, 'd, 'a> {
    pub(crate) fn new(
        entries: &'n [(Key, Node)],
        at: Span,
        what: &'static str,
        decoder: &'d mut Decoder<'a>,
    ) -> Self {
        Self { decoder, at, what, entries: entries.iter().map(Some).collect(), known: Vec::with_capacity(32) }
    }

    /// Takes the value of a key.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<&'n (Key, Node)> {
        self.known.push(key);
        let entry = self.entries.iter_mut().find(|entry| entry.is_some_and(|(k, _)| k.text == key))?;
        entry.take()
    }

    /// Reports a key that must be there and is not.
    pub(crate) fn require(&mut self, key: &'static str) {
        if self.entries.iter().flatten().any(|(k, _)| k.text == key) {
            return;
        }
        let (message, what) = (format!("{} needs the key `{key}`", self.what), self.what);
        let label = format!("{what} without `{key}`");
        self.decoder.error(Code::MissingKey, self.at, message, &label, None);
    }

    /// Reports every key that was not taken.
    pub(crate) fn finish<T: Keys>(self) {
        let Self { decoder, what, entries, known, .. } = self;
        for (key, _) in entries.into_iter().flatten() {
            if let Some((name, why)) = T::LATER.iter().find(|(name, _)| *name == key.text) {
                let message = format!("`{name}` is not in this version");
                decoder.error(Code::NotInThisVersion, key.at, message, "not yet", Some((*why).to_owned()));
                continue;
            }
            let message = format!("unknown key `{}` in {what}", key.text);
            let instead = T::INSTEAD.iter().find(|(name, _)| *name == key.text);
            let help =
                instead.map_or_else(|| unknown_key_help(&key.text, &known), |(_, help)| (*help).to_owned());
            decoder.error(Code::UnknownKey, key.at, message, "no such key", Some(help));
        }
    }

    /// The keys that were asked for so far.
    #[cfg(test)]
    pub(crate) fn known(&self) -> &[&'static str] {
        &self.known
    }
}

fn unknown_key_help(written: &str, known: &[&'static str]) -> String {
    if written == "<<" {
        return "merge keys are not part of the language; put what is shared into `policies`".to_owned();
    }
    match nearest(written, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known keys: {}", known.join(", ")),
    }
}

/// Reads a map, or its short form.
pub(crate) fn decode_keys<T: Keys>(node: &Node, decoder: &mut Decoder<'_>) -> Option<T> {
    let Kind::Map(entries) = &node.kind else {
        return T::short(node, decoder).unwrap_or_else(|| {
            decoder.wrong_shape(node, &format!("{} (a map of keys)", T::WHAT));
            None
        });
    };
    let mut reader = Reader::new(entries, node.named, T::WHAT, decoder);
    let value = T::read(&mut reader);
    reader.finish::<T>();
    value.check(node, decoder);
    Some(value)
}

/// The JSON Schema of a map: a reference to its definition.
pub(crate) fn describe_keys<T: Keys>(definitions: &mut Definitions) -> Value {
    if !definitions.contains_key(T::NAME) {
        // Reserve the name first, so that a type that contains itself ends.
        definitions.insert(T::NAME, Definition::default());
        let (mut properties, mut required) = (Properties::new(), Vec::new());
        T::properties(&mut properties, &mut required, definitions);
        let by_key: Json<String, Value> =
            properties.iter().map(|property| (property.key.to_owned(), property.schema.clone())).collect();
        let mut map = json!({ "type": "object", "properties": by_key, "additionalProperties": false });
        if let (false, Some(object)) = (required.is_empty(), map.as_object_mut()) {
            object.insert("required".into(), json!(required));
        }
        let mut schema = match T::describe_short() {
            Some(short) => json!({ "anyOf": [short, map] }),
            None => map,
        };
        let doc = clean_doc(T::DOC);
        if let Some(object) = schema.as_object_mut() {
            object.insert("description".into(), json!(doc));
        }
        let (what, later, instead) = (T::WHAT, T::LATER, T::INSTEAD);
        let definition = Definition { schema, what, doc, properties, required, later, instead };
        definitions.insert(T::NAME, definition);
    }
    json!({ "$ref": format!("#/$defs/{}", T::NAME) })
}

/// A doc comment as one paragraph.
pub(crate) fn clean_doc(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Wraps a decoder of one text into the shape every leaf has.
pub(crate) fn decode_text<T: Decode>(
    node: &Node,
    decoder: &mut Decoder<'_>,
    what: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    let Some(scalar) = node.scalar().filter(|scalar| !scalar.is_null() && !scalar.lost) else {
        decoder.wrong_shape(node, what);
        return None;
    };
    match parse(&scalar.text) {
        Ok(value) => Some(value),
        Err(why) => {
            let why =
                if scalar.written.is_some() { "look at what the variable holds".to_owned() } else { why };
            decoder.bad_value(Code::BadValue, node, what, why);
            None
        }
    }
}
