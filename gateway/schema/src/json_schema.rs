//! The language as JSON Schema, for editors. Comes from the same definitions that decode.

use serde_json::{Map as Json, Value, json};

use crate::decode::{Decode, Definitions};
use crate::document::Document;

/// The JSON Schema (draft 2020-12) of a configuration file.
pub fn json_schema() -> Value {
    let mut definitions = Definitions::new();
    let root = Document::describe(&mut definitions);
    let definitions: Json<String, Value> =
        definitions.into_iter().map(|(name, definition)| (name.to_owned(), definition.schema)).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Portcullis gateway configuration",
        "$ref": root.get("$ref"),
        "$defs": definitions,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::codes::Code;
    use crate::decode::{Decoder, Keys, Properties, Reader};
    use crate::diagnostic::Sink;
    use crate::source::MemorySource;
    use crate::span::Span;

    /// The keys that a map's decoder asks for, and those that its schema has.
    fn keys_of<T: Keys>() -> (&'static str, Vec<String>, Vec<String>) {
        let (mut sink, env) = (Sink::default(), BTreeMap::new());
        let mut decoder = Decoder { sink: &mut sink, env: &env, secrets: Vec::new() };
        let mut reader = Reader::new(&[], Span::default(), T::WHAT, &mut decoder);
        T::read(&mut reader);
        let mut asked: Vec<String> = reader.known().iter().map(|key| (*key).to_owned()).collect();
        let mut properties = Properties::new();
        T::properties(&mut properties, &mut Vec::new(), &mut Definitions::new());
        let mut described: Vec<String> = properties.iter().map(|property| property.key.to_owned()).collect();
        asked.sort();
        described.sort();
        (T::NAME, asked, described)
    }

    macro_rules! all_keys {
        ($($ty:ident),+ $(,)?) => { vec![$(keys_of::<crate::$ty>()),+] };
    }

    #[test]
    fn every_key_that_a_decoder_asks_for_is_in_the_schema_and_the_other_way_round() {
        let all = all_keys![
            AccessLog,
            Admin,
            AdminToken,
            ApiKey,
            ApiKeyHash,
            Backoff,
            Budget,
            Certificate,
            CircuitBreaker,
            Condition,
            Consul,
            ConsulTls,
            Consumer,
            Discovery,
            Document,
            Expect,
            Fallback,
            HeaderEdits,
            Host,
            Jwt,
            Listener,
            ListenerLimits,
            Metrics,
            PolicyKeys,
            RateLimit,
            Retry,
            Rewrite,
            Route,
            RouteTest,
            Telemetry,
            TestIdentity,
            Timeout,
            Tls,
            Upstream,
        ];
        let schema = json_schema();
        let definitions = schema["$defs"].as_object().unwrap();
        let names: Vec<&str> = all.iter().map(|(name, ..)| *name).collect();
        assert_eq!(
            names,
            definitions.keys().collect::<Vec<_>>(),
            "a map of the language is missing in this test"
        );
        for (name, asked, described) in all {
            assert_eq!(asked, described, "{name}");
        }
    }

    /// Every path of keys that the schema allows, as YAML in flow form around a value that nothing accepts.
    fn paths(schema: &Value, root: &Value, trail: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
        if let Some(name) =
            schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix("#/$defs/"))
        {
            return paths(&root["$defs"][name], root, trail, found);
        }
        for choice in schema.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
            paths(choice, root, trail, found);
        }
        for (key, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            trail.push(format!("{key}: "));
            found.push(trail.clone());
            paths(property, root, trail, found);
            trail.pop();
        }
        for (step, inner) in [("x: ", schema.get("additionalProperties")), ("[", schema.get("items"))] {
            if let Some(inner) = inner.filter(|inner| inner.is_object()) {
                trail.push(step.to_owned());
                paths(inner, root, trail, found);
                trail.pop();
            }
        }
    }

    fn document(path: &[String]) -> String {
        path.iter().rev().fold("\u{2205}".to_owned(), |inner, step| {
            if step == "[" { format!("[{inner}]") } else { format!("{{{step}{inner}}}") }
        })
    }

    #[test]
    fn every_key_of_the_schema_is_known_to_the_decoder() {
        let (schema, mut found) = (json_schema(), Vec::new());
        paths(&schema, &schema, &mut Vec::new(), &mut found);
        assert!(found.len() > 200, "only {} paths", found.len());
        for path in found {
            let source = MemorySource::new().with("g.yaml", document(&path));
            let loaded = crate::load(Path::new("g.yaml"), &source, &BTreeMap::new());
            let refused = loaded
                .diagnostics
                .iter()
                .find(|d| matches!(d.code, Code::UnknownKey | Code::NotInThisVersion | Code::Syntax));
            assert!(refused.is_none(), "{}: {refused:?}", document(&path));
        }
    }

    #[test]
    fn every_property_has_a_description() {
        let schema = json_schema();
        for (name, definition) in schema["$defs"].as_object().unwrap() {
            let map = definition.get("anyOf").map_or(definition, |choices| &choices[1]);
            for (key, property) in map["properties"].as_object().unwrap() {
                assert!(property["description"].is_string(), "{name}.{key}");
            }
        }
    }
}
