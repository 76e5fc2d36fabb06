//! The keys of the language as a page: one part a map, one row a key.
//!
//! Decides only how the JSON Schema is told to people; what the keys are comes from where they are decoded.

use std::collections::VecDeque;
use std::fmt::Write as _;

use serde_json::Value;

use crate::json_schema::json_schema;

/// What leads from a reference to its definition.
const DEFINITIONS: &str = "#/$defs/";

/// Every key of the language in Markdown: the document first, then each map in the order in which it is met.
pub fn markdown() -> String {
    let schema = json_schema();
    let mut page = "# Keys of the configuration\n".to_owned();
    let mut next = VecDeque::from(references(&schema));
    let mut met = Vec::new();
    while let Some(name) = next.pop_front() {
        if met.contains(&name) {
            continue;
        }
        let Some(definition) = schema.get("$defs").and_then(|all| all.get(name)) else { continue };
        part(name, definition, &mut page);
        next.extend(references(definition));
        met.push(name);
    }
    page
}

/// The definitions that a schema refers to, in its order.
fn references(schema: &Value) -> Vec<&str> {
    match schema {
        Value::Object(entries) => {
            let own =
                entries.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix(DEFINITIONS));
            let inner =
                entries.iter().filter(|(key, _)| *key != "$defs").flat_map(|(_, inner)| references(inner));
            own.into_iter().chain(inner).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

fn part(name: &str, definition: &Value, page: &mut String) {
    // Writing to a string cannot fail.
    let _ = write!(
        page,
        "\n## {name}\n{}\n\n| key | value | |\n|---|---|---|\n",
        text(definition, "description")
    );
    // A map with a short form is a choice between the two.
    let choices = definition.get("anyOf").and_then(Value::as_array);
    let map = choices.and_then(|choices| choices.last()).unwrap_or(definition);
    let required: Vec<&str> = map
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (key, property) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let required = if required.contains(&key.as_str()) { " (required)" } else { "" };
        let (value, about) = (value(property), text(property, "description").replace('|', "\\|"));
        let _ = writeln!(page, "| `{key}`{required} | {value} | {about} |");
    }
}

/// What may stand there, in words.
fn value(schema: &Value) -> String {
    if let Some(name) =
        schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix(DEFINITIONS))
    {
        return format!("[{name}](#{})", name.to_ascii_lowercase());
    }
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        return choices.iter().map(value).collect::<Vec<_>>().join(" or ");
    }
    if let Some(only) = schema.get("const").and_then(Value::as_str) {
        return format!("`{only}`");
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return words
            .iter()
            .filter_map(Value::as_str)
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(" ");
    }
    let inner = |key: &str| schema.get(key).map(value).unwrap_or_default();
    match schema.get("type") {
        Some(Value::String(kind)) => match kind.as_str() {
            "array" => format!("list of {}", inner("items")),
            "object" if schema.get("additionalProperties").is_some_and(Value::is_object) => {
                format!("map of {}", inner("additionalProperties"))
            }
            "object" => "map".to_owned(),
            "integer" => "whole number".to_owned(),
            "boolean" => "`true` `false`".to_owned(),
            _ => examples(schema),
        },
        Some(_) => "text".to_owned(),
        None => "anything".to_owned(),
    }
}

fn examples(schema: &Value) -> String {
    let examples =
        schema.get("examples").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let examples: Vec<String> =
        examples.map(|example| format!("`{}`", example.replace('|', "\\|"))).collect();
    if examples.is_empty() { "text".to_owned() } else { examples.join(" ") }
}

fn text<'s>(schema: &'s Value, key: &str) -> &'s str {
    schema.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_schema_has_a_row_and_every_link_a_target() {
        let (page, schema) = (markdown(), json_schema());
        for (name, definition) in schema["$defs"].as_object().unwrap() {
            let start = page.find(&format!("\n## {name}\n")).unwrap_or_else(|| panic!("{name} has no part"));
            let part = page[start + 1..].split("\n## ").next().unwrap();
            let map = definition.get("anyOf").map_or(definition, |choices| &choices[1]);
            for key in map["properties"].as_object().unwrap().keys() {
                assert!(part.contains(&format!("\n| `{key}`")), "{name}.{key} has no row");
            }
        }
        for link in page.split("](#").skip(1) {
            let target = link.split(')').next().unwrap();
            assert!(page.to_ascii_lowercase().contains(&format!("\n## {target}\n")), "{target}");
        }
        assert!(page.contains("| `path` (required) |"));
    }
}
