//! A route's explanation, for people.

use std::fmt::Write as _;

use portcullis_core::snapshot::{Explained, Explanation};
use portcullis_schema::{Sources, Span};

/// Widest a column is made for its longest entry; longer ones run over.
const COLUMN_CHARS_MAX: usize = 48;

/// As a table: key, value, who said so, and where.
pub(super) fn text(explanation: &Explanation, sources: &Sources) -> String {
    let rows: Vec<[String; 4]> = explanation.settings.iter().map(|setting| row(setting, sources)).collect();
    let width = |column: usize| {
        let widths = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        widths.filter(|width| *width <= COLUMN_CHARS_MAX).max().unwrap_or_default()
    };
    let (keys, values, origins) = (width(0), width(1), width(2));
    let mut text = format!("route {}, {}\n\n", explanation.route, place(explanation.at, sources));
    for [key, value, origin, place] in &rows {
        let line = format!("  {key:keys$}  {value:values$}  {origin:origins$}  {place}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push_str("\nGates, in the order in which every request meets them:\n");
    for (idx, (gate, is_on)) in explanation.gates.iter().enumerate() {
        let state = if *is_on { "on " } else { "off" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {}. {state}  {}", idx + 1, gate.about());
    }
    text
}

fn row(setting: &Explained, sources: &Sources) -> [String; 4] {
    let key = match &setting.upstream {
        Some(upstream) => format!("{} (to {upstream})", setting.key),
        None => setting.key.clone(),
    };
    let origin = setting.origin.to_string();
    [key, setting.value.clone(), origin, setting.at.map(|at| place(at, sources)).unwrap_or_default()]
}

fn place(at: Span, sources: &Sources) -> String {
    format!("{}:{}", sources.path(at.file).display(), at.line)
}
