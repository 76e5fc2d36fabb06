//! The keys of the language as a page: one part a map, one row a key, in the order of the language.
//!
//! Decides only how the definitions are told to people; what the keys are comes from where they are decoded.

mod kinds;

use std::fmt::Write as _;

use serde_json::Value;

use crate::decode::{About, Decode, Definition, Definitions, Property, about};
use crate::document::Document;
use kinds::{KINDS, Number};

/// What leads from a reference to its definition.
const DEFINITIONS: &str = "#/$defs/";
/// Keys on the way to a map; a map that holds itself ends here.
const DEPTH_MAX: usize = 12;
/// What stands for a name that somebody chose.
const NAMED: &str = "<name>";

const HEAD: &str = "\
# Keys of the configuration

Every key of version 1 of the language, its kind, its default and what it does. A key without a default is off unless it is written, if nothing
else is said. `<name>` stands for a name of your choice. How files, layers and variables work together: [configuration.md](configuration.md).
";

/// Every key of the language in Markdown: the document first, then each map in the order in which it is met.
pub fn markdown() -> String {
    let mut definitions = Definitions::new();
    let root = Document::describe(&mut definitions);
    let mut page = Page { definitions: &definitions, parts: Vec::new() };
    page.meet(&root, &mut Vec::new());
    page.write()
}

/// One map of the language and every place where it stands.
struct Part<'d> {
    name: &'static str,
    definition: &'d Definition,
    places: Vec<Vec<&'static str>>,
}

struct Page<'d> {
    definitions: &'d Definitions,
    /// In the order in which they are met, each after the map that holds it.
    parts: Vec<Part<'d>>,
}

impl Page<'_> {
    /// Notes every map that a schema leads to, with the keys that lead there.
    fn meet(&mut self, schema: &Value, trail: &mut Vec<&'static str>) {
        if let Some((name, definition)) =
            referred(schema).and_then(|name| self.definitions.get_key_value(name))
        {
            self.note(name, definition, trail);
            for property in &definition.properties {
                if trail.len() == DEPTH_MAX {
                    break;
                }
                trail.push(property.key);
                self.meet(&property.schema, trail);
                trail.pop();
            }
            return;
        }
        for choice in schema.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
            self.meet(choice, trail);
        }
        if let Some(item) = schema.get("items") {
            self.meet(item, trail);
        }
        if let Some(entry) = schema.get("additionalProperties") {
            trail.push(NAMED);
            self.meet(entry, trail);
            trail.pop();
        }
    }
}

impl<'d> Page<'d> {
    fn note(&mut self, name: &'static str, definition: &'d Definition, trail: &[&'static str]) {
        let place = trail.to_vec();
        match self.parts.iter_mut().find(|part| part.name == name) {
            Some(part) if part.places.contains(&place) => {}
            Some(part) => part.places.push(place),
            None => self.parts.push(Part { name, definition, places: vec![place] }),
        }
    }

    fn write(&self) -> String {
        let mut page = HEAD.to_owned();
        page.push('\n');
        for part in &self.parts {
            let first = part.definition.doc.split_inclusive(". ").next().unwrap_or_default().trim_end();
            line(&mut page, &format!("- {}: {first}", part.link()));
        }
        line(
            &mut page,
            "- [Values](#values): how durations, sizes, names and other single values are written.",
        );
        for part in &self.parts {
            self.part(part, &mut page);
        }
        page.push_str("\n## Values\n| kind | | such as |\n|---|---|---|\n");
        for (kind, what, such_as) in KINDS {
            line(&mut page, &format!("| {kind} | {what} | {such_as} |"));
        }
        page
    }

    fn part(&self, part: &Part<'_>, page: &mut String) {
        let definition = part.definition;
        line(page, &format!("\n## {}\n{}", part.heading(), definition.doc));
        let places: Vec<String> = part.places.iter().map(|place| format!("`{}`", place.join("."))).collect();
        if part.places.len() > 1 {
            line(page, &format!("\nAt {}.", places.join(", ")));
        }
        page.push_str("\n| key | value | default | |\n|---|---|---|---|\n");
        for property in definition.properties.iter().filter(|property| property.of.is_none()) {
            let is_required = definition.required.contains(&property.key);
            line(page, &self.row(property, is_required));
        }
        if let Some(whole) = definition.properties.iter().find_map(|property| property.of) {
            line(page, &format!("\nAnd every key of {}.", self.link(whole)));
        }
        for (key, how) in definition.instead {
            line(page, &format!("\nNo `{key}`: {how}."));
        }
        let later: Vec<String> = definition.later.iter().map(|(key, _)| format!("`{key}`")).collect();
        if !later.is_empty() {
            line(page, &format!("\nNot in this version, and refused by name: {}.", later.join(", ")));
        }
    }

    fn row(&self, property: &Property, is_required: bool) -> String {
        let description = property.schema.get("description").and_then(Value::as_str).unwrap_or_default();
        let About { text, range, default } = about(description);
        let mut value = self.value(&property.schema, Number::One);
        if let Some(range) = range {
            let _ = write!(value, ", {range}");
        }
        let default = if is_required { "required".to_owned() } else { default.unwrap_or_default() };
        let cells = [value, default, text].map(|cell| cell.replace('|', "\\|"));
        format!("| `{}` | {} |", property.key, cells.join(" | "))
    }

    /// What may stand there, in words.
    fn value(&self, schema: &Value, number: Number) -> String {
        if let Some(name) = referred(schema) {
            return self.link(name);
        }
        if let Some(title) = text(schema, "title").or_else(|| plain(schema)) {
            return format!("[{}](#values)", number.of(title));
        }
        if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
            let choices: Vec<String> = choices.iter().map(|choice| self.value(choice, number)).collect();
            return choices.join(" or ");
        }
        if let Some(only) = text(schema, "const") {
            return format!("`{only}`");
        }
        let inner = |key: &str| schema.get(key).map(|inner| self.value(inner, Number::Many));
        match text(schema, "type") {
            Some("array") => format!("list of {}", inner("items").unwrap_or_default()),
            Some("object") => format!("map of {}", inner("additionalProperties").unwrap_or_default()),
            Some("boolean") => "`true` `false`".to_owned(),
            Some(_) | None => words(schema),
        }
    }

    fn link(&self, name: &str) -> String {
        self.parts.iter().find(|part| part.name == name).map(Part::link).unwrap_or_default()
    }
}

impl Part<'_> {
    /// The keys that every way to it ends with; a map without such keys is called what it is.
    fn heading(&self) -> String {
        let mut common: &[&str] = self.places.first().map_or(&[], Vec::as_slice);
        for place in &self.places {
            while !place.ends_with(common) {
                common = common.get(1..).unwrap_or_default();
            }
        }
        if common.iter().any(|key| *key != NAMED) {
            return format!("`{}`", common.join("."));
        }
        let what = self.definition.what;
        let name =
            ["a ", "an ", "the "].iter().find_map(|article| what.strip_prefix(article)).unwrap_or(what);
        let mut letters = name.chars();
        letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
    }

    fn link(&self) -> String {
        let heading = self.heading();
        format!("[{heading}](#{})", anchor(&heading))
    }
}

/// How code hosts name the place of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn line(page: &mut String, text: &str) {
    page.push_str(text);
    page.push('\n');
}

fn referred(schema: &Value) -> Option<&str> {
    text(schema, "$ref")?.strip_prefix(DEFINITIONS)
}

/// The kind of a value that has no other name.
fn plain(schema: &Value) -> Option<&'static str> {
    let has_examples = schema.get("examples").is_some();
    match schema.get("type")? {
        Value::String(kind) if kind == "integer" => Some("whole number"),
        Value::String(kind) if kind == "string" && !has_examples => Some("text"),
        Value::Array(_) => Some("text"),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

/// The words or examples of a schema that is a choice among them.
fn words(schema: &Value) -> String {
    let list = schema.get("enum").or_else(|| schema.get("examples")).and_then(Value::as_array);
    let words: Vec<String> =
        list.into_iter().flatten().filter_map(Value::as_str).map(|word| format!("`{word}`")).collect();
    if words.is_empty() { "anything".to_owned() } else { words.join(" ") }
}

fn text<'s>(schema: &'s Value, key: &str) -> Option<&'s str> {
    schema.get(key).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What stands below a heading.
    fn below<'p>(page: &'p str, heading: &str) -> &'p str {
        let start = page.find(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
        page[start + 1..].split("\n## ").next().unwrap()
    }

    #[test]
    fn every_key_of_the_language_has_a_row() {
        let mut definitions = Definitions::new();
        let root = Document::describe(&mut definitions);
        let mut page = Page { definitions: &definitions, parts: Vec::new() };
        page.meet(&root, &mut Vec::new());
        let text = page.write();
        assert_eq!(page.parts.len(), definitions.len(), "a map without a part");
        for part in &page.parts {
            let below = below(&text, &part.heading());
            for property in part.definition.properties.iter().filter(|property| property.of.is_none()) {
                assert!(
                    below.contains(&format!("\n| `{}` | ", property.key)),
                    "{}.{}",
                    part.name,
                    property.key
                );
            }
        }
    }

    #[test]
    fn every_link_has_its_target_and_every_heading_its_own() {
        let page = markdown();
        let headings: Vec<String> =
            page.lines().filter_map(|line| line.strip_prefix("## ")).map(anchor).collect();
        let targets: BTreeSet<&String> = headings.iter().collect();
        assert_eq!(targets.len(), headings.len(), "two parts of one name: {headings:?}");
        for link in page.split("](#").skip(1) {
            let target = link.split(')').next().unwrap().to_owned();
            assert!(targets.contains(&target), "{target}");
        }
        for (before, _) in page.match_indices("](#values)") {
            let kind = page[..before].rsplit('[').next().unwrap();
            let is_told = |(name, ..): &(&str, _, _)| kind == *name || kind == Number::Many.of(name);
            assert!(kind == "Values" || KINDS.iter().any(is_told), "{kind}");
        }
    }

    #[test]
    fn a_part_names_its_places_its_defaults_and_what_is_refused() {
        let page = markdown();
        let retry = below(&page, "`retry`");
        assert!(
            retry.contains("At `defaults.retry`, `policies.<name>.retry`, `routes.<name>.retry`."),
            "{retry}"
        );
        assert!(
            retry.contains("| `attempts` | [whole number](#values), 2 to 10 | `2` | Tries in all"),
            "{retry}"
        );
        assert!(retry.contains("refused by name: `hedge`."), "{retry}");
        let route = below(&page, "`routes.<name>`");
        assert!(route.contains("| `path` | [text](#values) | required | "), "{route}");
        assert!(route.contains("And every key of [Policy](#policy)."), "{route}");
    }
}
