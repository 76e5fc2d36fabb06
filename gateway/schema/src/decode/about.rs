//! What the doc comment of a key says in a fixed form: its range and its default, in parentheses.
//!
//! `(default X)`, `(default: X)`, `(2 to 10, default X)` or `(1 to 65535)`. A default in backticks is what could be
//! written in its place; any other one is told in words.

use serde_json::Value;

use crate::overlay::parse_value;

/// A description without its range and its default, and both.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) text: String,
    pub(crate) range: Option<String>,
    pub(crate) default: Option<String>,
}

/// Takes a description apart.
pub(crate) fn about(description: &str) -> About {
    let (mut before, mut rest) = (String::new(), description);
    while let Some((head, tail)) = rest.split_once('(') {
        let Some((inside, after)) = tail.split_once(')') else { break };
        if let Some((range, default)) = bounds(inside) {
            let text = format!("{before}{}{after}", head.trim_end());
            return About { text, range: range.map(str::to_owned), default: default.map(str::to_owned) };
        }
        before.push_str(head);
        before.push('(');
        rest = tail;
    }
    About { text: description.to_owned(), range: None, default: None }
}

impl About {
    /// The default as a value, if it is one that could be written.
    pub(crate) fn literal_default(&self) -> Option<Value> {
        let written = self.default.as_deref()?.strip_prefix('`')?.strip_suffix('`')?;
        parse_value("default", written).ok()
    }
}

fn bounds(inside: &str) -> Option<(Option<&str>, Option<&str>)> {
    if let Some(default) = default(inside) {
        return Some((None, Some(default)));
    }
    let (range, rest) = inside.split_once(", ").map_or((inside, None), |(range, rest)| (range, Some(rest)));
    let (least, most) = range.split_once(" to ")?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(least) || !is_number(most) {
        return None;
    }
    match rest {
        None => Some((Some(range), None)),
        Some(rest) => Some((Some(range), Some(default(rest)?))),
    }
}

fn default(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("default")?;
    rest.strip_prefix(": ").or_else(|| rest.strip_prefix(' '))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(description: &str, text: &str, range: Option<&str>, default: Option<&str>) -> About {
        let about = about(description);
        let (range, default) = (range.map(str::to_owned), default.map(str::to_owned));
        assert_eq!(about, About { text: text.to_owned(), range, default });
        about
    }

    #[test]
    fn a_range_and_a_default_are_taken_out() {
        let both = check("Tries (2 to 10, default `2`). More.", "Tries. More.", Some("2 to 10"), Some("`2`"));
        assert_eq!(both.literal_default(), Some(json!(2)));
        let list = check("Kinds (default `[a, b/1.1]`).", "Kinds.", None, Some("`[a, b/1.1]`"));
        assert_eq!(list.literal_default(), Some(json!(["a", "b/1.1"])));
        let words = check("Hosts (default: any).", "Hosts.", None, Some("any"));
        assert_eq!(words.literal_default(), None);
        check("A share (1 to 9).", "A share.", Some("1 to 9"), None);
    }

    #[test]
    fn other_parentheses_stay() {
        for text in ["A name (SNI) chooses.", "`{id:regex(v[0-9]+)}` is typed", "open (", "(one to two)"] {
            check(text, text, None, None);
        }
        check("Names (SNI) count (default `3`).", "Names (SNI) count.", None, Some("`3`"));
    }
}
