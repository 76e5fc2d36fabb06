//! `${VAR}` and `${VAR:-default}` in values, from the map that was passed in.
//!
//! Decides what a reference is; never shows what a variable holds.

use std::collections::BTreeMap;

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Sink};
use crate::span::{Sources, Span};
use crate::yaml::{Kind, Node, Scalar};

/// Expands every scalar of a tree. Keys are left alone. Depth is bounded by the parser.
pub(crate) fn expand(node: &mut Node, env: &BTreeMap<String, String>, sources: &Sources, sink: &mut Sink) {
    let at = node.at;
    match &mut node.kind {
        Kind::Scalar(scalar) if scalar.text.contains("${") => expand_scalar(scalar, at, env, sources, sink),
        Kind::Scalar(_) => {}
        Kind::List(items) => items.iter_mut().for_each(|item| expand(item, env, sources, sink)),
        Kind::Map(entries) => entries.iter_mut().for_each(|(_, value)| expand(value, env, sources, sink)),
    }
}

fn expand_scalar(
    scalar: &mut Scalar,
    at: Span,
    env: &BTreeMap<String, String>,
    sources: &Sources,
    sink: &mut Sink,
) {
    let mut expanded = String::with_capacity(scalar.text.len());
    let (mut n_references, mut lost) = (0, false);
    for piece in pieces(&scalar.text) {
        match piece {
            Piece::Text(text) => expanded.push_str(text),
            Piece::Variable { name, default, offset, length } => {
                n_references += 1;
                let value = env.get(name).map(String::as_str);
                match (value.filter(|value| default.is_none() || !value.is_empty()), default) {
                    (Some(value), _) => expanded.push_str(value),
                    (None, Some(default)) => expanded.push_str(default),
                    (None, None) => {
                        lost = true;
                        sink.push(missing(name, within(scalar, at, offset, length, sources)));
                    }
                }
            }
            Piece::Broken { offset } => {
                lost = true;
                let finding = Diagnostic::new(Code::BadVariable, "not a reference to a variable")
                    .label(within(scalar, at, offset, 2, sources), "starts here")
                    .help("write `${NAME}` or `${NAME:-default}`; for the text `${` itself write `$${`");
                sink.push(finding);
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
