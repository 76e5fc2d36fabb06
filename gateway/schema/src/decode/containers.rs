//! How lists, maps, optional keys, `none` and secrets are read.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::reader::clean_doc;
use super::{Decode, Decoder, Definitions, Field, Properties, Property, Reader, about};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::merge::{Merge, Setting};
use crate::routes::Weights;
use crate::span::{At, Entry, Map};
use crate::value::{FilePath, HeaderName, Name, QueryName, Secret, SecretSource, Target};
use crate::yaml::{Kind, Node, Scalar};

/// A list that may be written as a single value when it has one element.
#[derive(Debug, Clone, Default)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T: Clone> Merge for OneOrMany<T> {}

impl<T: Decode> Decode for At<T> {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        Some(Self::new(T::decode(node, decoder)?, node.at))
    }

    fn describe(definitions: &mut Definitions) -> Value {
        T::describe(definitions)
    }
}

impl<T: Decode> Decode for Setting<T> {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        if node.scalar().is_some_and(|scalar| scalar.is_bare() && scalar.text == "none") {
            return Some(Self::Off);
        }
        T::decode(node, decoder).map(Self::On)
    }

    fn describe(definitions: &mut Definitions) -> Value {
        json!({ "anyOf": [{ "const": "none" }, T::describe(definitions)] })
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        let Kind::List(items) = &node.kind else {
            decoder.wrong_shape(node, "a list");
            return None;
        };
        Some(items.iter().filter_map(|item| T::decode(item, decoder)).collect())
    }

    fn describe(definitions: &mut Definitions) -> Value {
        json!({ "type": "array", "items": T::describe(definitions) })
    }
}

impl<T: Decode> Decode for OneOrMany<T> {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        if let Kind::List(_) = &node.kind {
            return Vec::decode(node, decoder).map(Self);
        }
        Some(Self(vec![T::decode(node, decoder)?]))
    }

    fn describe(definitions: &mut Definitions) -> Value {
        let one = T::describe(definitions);
        json!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

/// What may stand as the key of a [`Map`].
pub(crate) trait MapKey: Sized + Ord + Clone {
    /// What it is, in words.
    const WHAT: &'static str;
    /// Whether an entry is kept, empty, when its value is broken, so that its name is still known.
    const KEEPS_BROKEN: bool;

    fn parse_key(text: &str) -> Result<Self, String>;
}

impl MapKey for Name {
    const WHAT: &'static str = "a name";
    const KEEPS_BROKEN: bool = true;

    fn parse_key(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(str::to_owned)
    }
}

impl MapKey for HeaderName {
    const WHAT: &'static str = "a header's name";
    const KEEPS_BROKEN: bool = false;

    fn parse_key(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(str::to_owned)
    }
}

impl MapKey for QueryName {
    const WHAT: &'static str = "a query parameter's name";
    const KEEPS_BROKEN: bool = false;

    fn parse_key(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(str::to_owned)
    }
}

impl MapKey for Target {
    const WHAT: &'static str = "a target";
    const KEEPS_BROKEN: bool = false;

    fn parse_key(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl<K: MapKey, T: Decode + Default> Decode for Map<K, T> {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        let Kind::Map(entries) = &node.kind else {
            decoder.wrong_shape(node, &format!("a map, with {} as each key", K::WHAT));
            return None;
        };
        let mut map = Self::new();
        for (key, node) in entries {
            let parsed = match K::parse_key(&key.text) {
                Ok(parsed) => parsed,
                Err(why) => {
                    let message = format!("`{}` is not {}", key.text, K::WHAT);
                    decoder.error(Code::BadName, key.at, message, &format!("not {}", K::WHAT), Some(why));
                    // What stands below is still looked at: its mistakes are mistakes too.
                    T::decode(node, decoder);
                    continue;
                }
            };
            if let Some(first) = map.get(&parsed) {
                let diagnostic =
                    Diagnostic::new(Code::DuplicateName, format!("`{}` is defined twice", key.text))
                        .label(key.at, "again here")
                        .label(first.at, "first here");
                decoder.sink.push(diagnostic);
                continue;
            }
            match T::decode(node, decoder) {
                Some(value) => map.insert(parsed, Entry { at: key.at, value }),
                None if K::KEEPS_BROKEN => map.insert(parsed, Entry { at: key.at, value: T::default() }),
                None => None,
            };
        }
        Some(map)
    }

    fn describe(definitions: &mut Definitions) -> Value {
        json!({ "type": "object", "additionalProperties": T::describe(definitions) })
    }
}

impl Merge for Weights {}

impl Decode for Weights {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        let map: BTreeMap<Target, Entry<At<u32>>> = Map::decode(node, decoder)?;
        if map.values().all(|entry| entry.value.value == 0) && !decoder.sink.covers(node.at) {
            let message = "`weights` sends nothing anywhere".to_owned();
            let help = Some("give at least one upstream a weight above 0".to_owned());
            decoder.error(Code::OutOfRange, node.at, message, "all zero", help);
        }
        Some(Self(map))
    }

    fn describe(definitions: &mut Definitions) -> Value {
        Map::<Target, At<u32>>::describe(definitions)
    }
}

impl<T: Decode> Field for Option<T> {
    fn read(reader: &mut Reader<'_, '_, '_>, key: &'static str) -> Self {
        let (_, node) = reader.take(key)?;
        T::decode(node, reader.decoder)
    }

    fn properties(key: &'static str, doc: &str, properties: &mut Properties, definitions: &mut Definitions) {
        properties.push(Property { key, schema: described(T::describe(definitions), doc), of: None });
    }
}

impl<K: MapKey, T: Decode + Default> Field for Map<K, T> {
    fn read(reader: &mut Reader<'_, '_, '_>, key: &'static str) -> Self {
        <Option<Self> as Field>::read(reader, key).unwrap_or_default()
    }

    fn properties(key: &'static str, doc: &str, properties: &mut Properties, definitions: &mut Definitions) {
        <Option<Self> as Field>::properties(key, doc, properties, definitions);
    }
}

/// The three keys of a secret, for the secrets that the language has.
fn secret_keys(key: &'static str) -> [&'static str; 3] {
    match key {
        "token" => ["token", "token_env", "token_file"],
        _ => [key, "", ""],
    }
}

impl Field for Option<SecretSource> {
    fn read(reader: &mut Reader<'_, '_, '_>, key: &'static str) -> Self {
        let [inline, from_env, from_file] = secret_keys(key);
        let (inline, from_env, from_file) =
            (reader.take(inline), reader.take(from_env), reader.take(from_file));
        let written: Vec<_> =
            [inline, from_env, from_file].into_iter().flatten().map(|(key, _)| key).collect();
        if let [first, second, ..] = written.as_slice() {
            let message = format!("`{}` and `{}` are two sources of one secret", first.text, second.text);
            let diagnostic = Diagnostic::new(Code::Exclusive, message)
                .label(second.at, "again here")
                .label(first.at, "first here");
            reader.decoder.sink.push(diagnostic);
        }
        if let Some((key, node)) = inline {
            if node.scalar().is_some_and(|scalar| scalar.written.is_none() && !scalar.is_null()) {
                let warning =
                    Diagnostic::new(Code::SecretInFile, format!("`{}` is written in the file", key.text))
                        .label(key.at, "a secret")
                        .help(format!("use `{0}_env` or `{0}_file`", key.text));
                reader.decoder.sink.push(warning);
            }
            return <At<Secret<String>>>::decode(node, reader.decoder).map(SecretSource::Value);
        }
        if let Some((_, node)) = from_env {
            return secret_from_env(node, reader.decoder).map(SecretSource::Value);
        }
        let (_, node) = from_file?;
        let path = <At<FilePath>>::decode(node, reader.decoder)?;
        Some(SecretSource::File(path.map(|path| path.as_path().to_path_buf())))
    }

    fn properties(key: &'static str, doc: &str, properties: &mut Properties, _: &mut Definitions) {
        let doc = clean_doc(doc);
        let [inline, from_env, from_file] = secret_keys(key);
        let mut add = |key, description: String| {
            let schema = json!({ "type": "string", "description": description });
            properties.push(Property { key, schema, of: None });
        };
        add(inline, doc);
        add(
            from_env,
            format!("Instead of `{inline}`: the environment variable that holds it. Read once, at start."),
        );
        add(from_file, format!("Instead of `{inline}`: the file that holds it. Read again when it changes."));
    }
}

fn secret_from_env(node: &Node, decoder: &mut Decoder<'_>) -> Option<At<Secret<String>>> {
    let Some(name) = node.scalar().filter(|scalar| !Scalar::is_null(scalar)).map(|scalar| &scalar.text)
    else {
        decoder.wrong_shape(node, "the name of an environment variable");
        return None;
    };
    if let Some(value) = decoder.env.get(name).filter(|value| !value.is_empty()) {
        return Some(At::new(Secret::new(value.clone()), node.at));
    }
    let message = format!("the environment variable `{name}` is not set");
    let help = Some("set it to the secret, or use the key that ends in `_file`".to_owned());
    decoder.error(Code::MissingVariable, node.at, message, "not set", help);
    None
}

/// Adds a description to a schema, and the default that it names. Draft 2020-12 allows both beside `$ref`.
pub(super) fn described(mut schema: Value, doc: &str) -> Value {
    let doc = clean_doc(doc);
    if let Some(object) = schema.as_object_mut() {
        if let Some(default) = about(&doc).literal_default() {
            object.insert("default".to_owned(), default);
        }
        object.insert("description".to_owned(), json!(doc));
    }
    schema
}
