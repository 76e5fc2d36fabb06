//! Generated files: the JSON Schema of the configuration.
//!
//! Written from the code that decides, so that they cannot say something else; `--check` is what
//! keeps them from being forgotten.

use std::fs;
use std::path::Path;

use crate::Findings;

const SCHEMA: &str = "config/gateway.schema.json";

/// Writes every generated file; says which could not be written.
pub(crate) fn write(root: &Path) -> Findings {
    generated()
        .into_iter()
        .filter_map(|(path, text)| {
            fs::write(root.join(path), text).err().map(|error| format!("{path}: cannot be written: {error}"))
        })
        .collect()
}

/// Names every generated file that is not what would be written now.
pub(crate) fn check(root: &Path) -> Findings {
    generated()
        .into_iter()
        .filter(|(path, text)| fs::read_to_string(root.join(path)).ok().as_ref() != Some(text))
        .map(|(path, _)| format!("{path}: out of date; run: cargo xtask codegen"))
        .collect()
}

fn generated() -> Vec<(&'static str, String)> {
    vec![(SCHEMA, format!("{:#}\n", portcullis_schema::json_schema()))]
}
