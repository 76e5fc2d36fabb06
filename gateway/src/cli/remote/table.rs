//! Tables for people: columns as wide as their widest cell, no lines, no colours.

use serde_json::Value;

/// Rows under their heads; the last column runs on.
pub(in crate::cli) fn table<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        let head = heads.get(column).map_or(0, |head| head.chars().count());
        cells.chain([head]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |cells: &[String; N]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    let head = line(&heads.map(str::to_uppercase));
    std::iter::once(head).chain(rows.iter().map(line)).collect()
}

/// A value as a cell: text as it is, nothing as a dash, a list by its items.
pub(in crate::cli) fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(is) => if *is { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(","),
        Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".to_owned(), "long cell".to_owned()], ["longer".to_owned(), String::new()]];
        assert_eq!(table(["name", "what"], &rows), "NAME    WHAT\na       long cell\nlonger\n");
    }

    #[test]
    fn every_value_has_a_cell() {
        for (value, cell) in [
            (json!(null), "-"),
            (json!(true), "yes"),
            (json!(["a", 1]), "a,1"),
            (json!([]), "-"),
            (json!("x"), "x"),
        ] {
            assert_eq!(text(&value), cell);
        }
    }
}
