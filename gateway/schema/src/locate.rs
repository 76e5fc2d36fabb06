//! Where in a text the parts of its value stand.
//!
//! Finds what a JSON pointer names in a YAML or JSON text; says nothing about what it means.

use crate::diagnostic::Sink;
use crate::span::{Sources, Span};
use crate::yaml::{self, Kind, Node};

/// A place in a text, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The line, counted from 1.
    pub line: u32,
    /// The column in characters, counted from 1.
    pub column: u32,
    /// The whole line, without blanks around it.
    pub excerpt: String,
}

/// The places of the parts that these JSON pointers name; `None` where there is no such part, or no readable text.
pub fn locate(text: &str, pointers: &[Option<&str>]) -> Vec<Option<Located>> {
    let mut sources = Sources::default();
    let file = sources.add(Default::default(), text.into());
    let tree = yaml::parse(file, text, &mut Sink::default());
    let place = |pointer: &Option<&str>| {
        let at = find(tree.as_ref()?, (*pointer)?)?;
        Some(Located { line: at.line, column: at.column, excerpt: sources.line(at).trim().to_owned() })
    };
    pointers.iter().map(place).collect()
}

fn find(tree: &Node, pointer: &str) -> Option<Span> {
    let mut node = tree;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        node = match &node.kind {
            Kind::Map(entries) => &entries.iter().find(|(key, _)| key.text == token)?.1,
            Kind::List(items) => items.get(token.parse::<usize>().ok()?)?,
            Kind::Scalar(_) => return None,
        };
    }
    Some(node.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_found_in_json_and_in_yaml() {
        let json = "{\n  \"path\": \"/x\",\n  \"a/b\": [1, {\"c\": 2}]\n}";
        let found = locate(json, &[Some("/path"), Some("/a~1b/1/c"), Some("/none"), None, Some("/path/0")]);
        let places: Vec<_> =
            found.iter().map(|found| found.as_ref().map(|at| (at.line, at.column))).collect();
        assert_eq!(places, [Some((2, 11)), Some((3, 20)), None, None, None]);
        assert_eq!(locate("path: /x\nto:\n  - a", &[Some("/to/0")])[0].as_ref().unwrap().excerpt, "- a");
        assert_eq!(locate("{", &[Some("/a")]), [None]);
    }
}
