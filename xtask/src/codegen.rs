//! Generated files: the JSON Schema of the configuration, the page of its keys, and the page of its errors.
//!
//! Written from the code that decides, so that they cannot say something else; `--check` is what
//! keeps them from being forgotten, and it names the codes that the page of errors says nothing about.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use portcullis_schema::{Code, Severity};

use crate::{Findings, error_codes};

const SCHEMA: &str = "config/gateway.schema.json";
const REFERENCE: &str = "docs/configuration-reference.md";
const ERRORS: &str = "docs/errors.md";

/// What follows the title of the page of keys.
const REFERENCE_MARK: &str = "\n\n<!-- Written by `cargo xtask codegen` from gateway/schema/src. -->\n";

/// What stands above the list of codes: everything that is not a finding about a configuration.
const ERRORS_HEAD: &str = include_str!("errors_head.txt");

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
        .chain(error_codes::missing(root, &errors()))
        .collect()
}

fn generated() -> Vec<(&'static str, String)> {
    vec![
        (SCHEMA, format!("{:#}\n", portcullis_schema::json_schema())),
        (REFERENCE, reference()),
        (ERRORS, errors()),
    ]
}

/// The page of keys: what `portcullis schema --markdown` prints, and where it is from.
fn reference() -> String {
    portcullis_schema::markdown().replacen('\n', REFERENCE_MARK, 1)
}

/// The page of errors: for each code its title, what it means, and what is right.
fn errors() -> String {
    let mut page = ERRORS_HEAD.to_owned();
    for code in Code::ALL {
        let kind = match code.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        // Writing to a string cannot fail.
        let _ = write!(page, "\n### {}: {} ({kind})\n{}\n", code.as_str(), code.title(), code.explanation());
        if !code.example().is_empty() {
            let _ = write!(page, "```\n{}\n```\n", code.example());
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_part_of_the_page() {
        let page = errors();
        for code in Code::ALL {
            assert!(page.contains(&format!("\n### {}: ", code.as_str())), "{code:?}");
        }
    }
}
