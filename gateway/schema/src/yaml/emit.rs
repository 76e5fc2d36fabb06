//! A JSON value as YAML in block style, that reads back as the same value.
//!
//! Decides only what needs quotes: whatever would mean something else without them. Never what a key means.

use serde_json::{Map, Value};

use super::{Scalar, scalar_value};

/// Columns a level is indented by.
const INDENT: usize = 2;
/// Longest key that stands before its colon on one line; YAML ends at 1,024 characters.
const SIMPLE_KEY_BYTES_MAX: usize = 1_000;

/// Writes a value as a YAML document.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(entries) if !entries.is_empty() => map(entries, 0, &mut out),
        Value::Array(items) if !items.is_empty() => list(items, 0, &mut out),
        Value::Object(_)
        | Value::Array(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_) => {
            inline(value, &mut out);
            out.push('\n');
        }
    }
    out
}

fn map(entries: &Map<String, Value>, column: usize, out: &mut String) {
    for (idx, (key, value)) in entries.iter().enumerate() {
        indent(column, idx, out);
        let start = out.len();
        text(key, out);
        if out.len() - start > SIMPLE_KEY_BYTES_MAX {
            out.insert_str(start, "? ");
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', column));
        }
        out.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', column + INDENT));
                map(inner, column + INDENT, out);
            }
            Value::Array(inner) if !inner.is_empty() => {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', column + INDENT));
                list(inner, column + INDENT, out);
            }
            Value::Object(_)
            | Value::Array(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_) => {
                out.push(' ');
                inline(value, out);
                out.push('\n');
            }
        }
    }
}

fn list(items: &[Value], column: usize, out: &mut String) {
    for (idx, item) in items.iter().enumerate() {
        indent(column, idx, out);
        out.push_str("- ");
        match item {
            Value::Object(inner) if !inner.is_empty() => map(inner, column + INDENT, out),
            Value::Array(inner) if !inner.is_empty() => list(inner, column + INDENT, out),
            Value::Object(_)
            | Value::Array(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_) => {
                inline(item, out);
                out.push('\n');
            }
        }
    }
}

/// The first entry stands where its parent has left off.
fn indent(column: usize, idx: usize, out: &mut String) {
    if idx > 0 {
        out.extend(std::iter::repeat_n(' ', column));
    }
}

/// A value on one line: a scalar, or an empty map or list.
fn inline(value: &Value, out: &mut String) {
    match value {
        Value::String(value) => text(value, out),
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
    }
}

fn text(value: &str, out: &mut String) {
    if reads_plainly(value) {
        out.push_str(value);
        return;
    }
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            ' '..='~' => out.push(c),
            // Beyond ASCII, what is a letter is left readable; the rest could end a line or hide.
            _ if c.is_alphanumeric() => out.push(c),
            _ => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
}

/// Whether text without quotes is one scalar, and this text.
fn reads_plainly(text: &str) -> bool {
    let is_first = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_');
    let is_next =
        |b: u8| is_first(b) || matches!(b, b'.' | b'-' | b'+' | b'*' | b':' | b'{' | b'}' | b'%' | b'=');
    let bytes = text.as_bytes();
    let scalar = || Scalar { text: text.to_owned(), written: None, plain: true, lost: false };
    bytes.first().copied().is_some_and(is_first)
        && bytes.iter().copied().all(is_next)
        && !text.ends_with(':')
        // A plugin's settings take any spelling of a number for one.
        && text.parse::<f64>().is_err()
        && scalar_value(&scalar()).is_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_reads_like_something_a_person_wrote() {
        let patch = json!({
            "routes": { "orders": { "path": "/orders/{id}/**", "methods": ["GET", "POST"], "retry": "none", "timeout": null } },
            "upstreams": { "orders": { "hosts": ["http://10.0.0.1:80", { "url": "http://10.0.0.2:80", "weight": 2 }] } },
            "consumers": {},
            "defaults": { "headers": { "X-A": "5", "X-B": "true: no" } },
        });
        let wanted = "\
consumers: {}
defaults:
  headers:
    X-A: \"5\"
    X-B: \"true: no\"
routes:
  orders:
    methods:
      - GET
      - POST
    path: /orders/{id}/**
    retry: none
    timeout: null
upstreams:
  orders:
    hosts:
      - http://10.0.0.1:80
      - url: http://10.0.0.2:80
        weight: 2
";
        assert_eq!(to_yaml(&patch), wanted);
    }

    #[test]
    fn a_key_of_any_length_reads_back() {
        for length in [1, 900, 1_100, 70_000] {
            for key in ["k".repeat(length), "\u{85}".repeat(length)] {
                let value = json!({ "a": { key.clone(): { "b": 1 } }, "c": [{ key: "d" }] });
                assert_eq!(crate::parse_value("t", &to_yaml(&value)).unwrap(), value, "{length}");
            }
        }
    }
}
