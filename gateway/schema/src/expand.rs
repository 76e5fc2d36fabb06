//! `${VAR}` and `${VAR:-default}` in values, from the map that was passed in.
//!
//! Decides what a reference is; never shows what a variable holds.

use std::collections::{BTreeMap, BTreeSet};

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Sink};
use crate::span::{Sources, Span};
use crate::yaml::{Kind, Node, Scalar};

/// Shortest value that is kept out of findings. A shorter one is no secret, and hiding it would tear words apart.
const HIDDEN_BYTES_MIN: usize = 8;

/// The values that variables brought into a document, so that no finding repeats them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expanded {
    /// The values and the names they came under.
    values: BTreeSet<(String, String)>,
}

impl Expanded {
    /// Puts the reference in the place of each value of 8 bytes or more, wherever a finding repeats one.
    pub(crate) fn hide(&self, found: &mut [Diagnostic]) {
        // From the back, so that a value comes before one that it begins with.
        for (value, name) in self.values.iter().rev() {
            let hide = |text: &mut String| {
                if text.contains(value) {
                    *text = text.replace(value, &format!("${{{name}}}"));
                }
            };
            for diagnostic in &mut *found {
                hide(&mut diagnostic.message);
                diagnostic.help.iter_mut().for_each(hide);
                diagnostic.labels.iter_mut().for_each(|label| hide(&mut label.text));
            }
        }
    }

    fn add(&mut self, name: &str, value: &str) {
        if value.len() >= HIDDEN_BYTES_MIN {
            self.values.insert((value.to_owned(), name.to_owned()));
        }
    }
}

/// What scalars are expanded with.
pub(crate) struct Expander<'a> {
    /// The environment.
    pub(crate) env: &'a BTreeMap<String, String>,
    /// The files, to find the place of a reference.
    pub(crate) sources: &'a Sources,
    /// Takes the findings.
    pub(crate) sink: &'a mut Sink,
    /// Takes the values that were brought in.
    pub(crate) expanded: &'a mut Expanded,
}

/// Expands every scalar of a tree. Keys are left alone. Depth is bounded by the parser.
pub(crate) fn expand(node: &mut Node, with: &mut Expander<'_>) {
    let at = node.at;
    match &mut node.kind {
        Kind::Scalar(scalar) if scalar.text.contains("${") => expand_scalar(scalar, at, with),
        Kind::Scalar(_) => {}
        Kind::List(items) => items.iter_mut().for_each(|item| expand(item, with)),
        Kind::Map(entries) => entries.iter_mut().for_each(|(_, value)| expand(value, with)),
    }
}

fn expand_scalar(scalar: &mut Scalar, at: Span, with: &mut Expander<'_>) {
    let mut expanded = String::with_capacity(scalar.text.len());
    let (mut n_references, mut lost) = (0, false);
    for piece in pieces(&scalar.text) {
        match piece {
            Piece::Text(text) => expanded.push_str(text),
            Piece::Variable { name, default, offset, length } => {
                n_references += 1;
                let value = with.env.get(name).map(String::as_str);
                match (value.filter(|value| default.is_none() || !value.is_empty()), default) {
                    (Some(value), _) => {
                        with.expanded.add(name, value);
                        expanded.push_str(value);
                    }
                    (None, Some(default)) => expanded.push_str(default),
                    (None, None) => {
                        lost = true;
                        with.sink.push(missing(name, within(scalar, at, offset, length, with.sources)));
                    }
                }
            }
            Piece::Broken { offset } => {
                lost = true;
                let finding = Diagnostic::new(Code::BadVariable, "not a reference to a variable")
                    .label(within(scalar, at, offset, 2, with.sources), "starts here")
                    .help("write `${NAME}` or `${NAME:-default}`; for the text `${` itself write `$${`");
                with.sink.push(finding);
            }
        }
    }
    scalar.lost |= lost;
    let written = std::mem::replace(&mut scalar.text, expanded);
    // `$${` changed the text too, but holds nothing secret, and what was meant is better shown.
    scalar.written = (n_references > 0).then_some(written);
}

fn missing(name: &str, at: Span) -> Diagnostic {
    Diagnostic::new(Code::MissingVariable, format!("the environment variable `{name}` is not set"))
        .label(at, "not set")
        .help(format!("set it, or give a default: `${{{name}:-…}}`"))
}

/// The place of a part of a scalar, if the text stands in the file as it is; else the whole scalar's.
fn within(scalar: &Scalar, at: Span, offset: usize, length: usize, sources: &Sources) -> Span {
    let source = sources.excerpt(at);
    let Some(before) = source.find(&scalar.text).filter(|before| *before <= 1) else { return at };
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let lead = source.get(..before + offset).unwrap_or("");
    if lead.contains('\n') {
        return at;
    }
    let start = at.start.saturating_add(small(before + offset));
    let column = at.column.saturating_add(small(lead.chars().count()));
    Span { start, end: start.saturating_add(small(length)), column, ..at }
}

enum Piece<'t> {
    Text(&'t str),
    Variable { name: &'t str, default: Option<&'t str>, offset: usize, length: usize },
    Broken { offset: usize },
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut rest, mut offset) = (text, 0);
    while let Some(dollar) = rest.find("${") {
        let (before, from) = rest.split_at(dollar);
        if let Some(escaped) = before.strip_suffix('$') {
            pieces.extend([Piece::Text(escaped), Piece::Text("${")]);
            (rest, offset) = (from.get(2..).unwrap_or(""), offset + dollar + 2);
            continue;
        }
        pieces.push(Piece::Text(before));
        offset += dollar;
        let inside = from.get(2..).unwrap_or("");
        let Some((reference, after)) = inside.split_once('}') else {
            pieces.push(Piece::Broken { offset });
            return pieces;
        };
        let (name, default) = match reference.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (reference, None),
        };
        let length = reference.len() + 3;
        if is_variable(name) {
            pieces.push(Piece::Variable { name, default, offset, length });
        } else {
            pieces.push(Piece::Broken { offset });
        }
        (rest, offset) = (after, offset + length);
    }
    pieces.push(Piece::Text(rest));
    pieces
}

fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
