//! Whether every code that the gateway answers with is on the page of errors.
//!
//! Codes are found where the source writes them: as the text of a `fn code` or `fn facts`, behind a status, and where the
//! admin API makes a problem.

use std::collections::BTreeSet;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::Findings;
use crate::source::{self, Source};

/// Where codes are written.
const PLACES: [&str; 3] = ["gateway/core/src/outcome/", "gateway/src/admin/", "gateway/src/reload/report.rs"];
/// Calls whose first text is a code.
const MAKERS: [&str; 2] = ["at", "conflict"];

/// Every code of the source that the page does not name.
pub(crate) fn missing(root: &Path, page: &str) -> Findings {
    let of_ours = |source: &&Source| PLACES.iter().any(|place| source.path.starts_with(place));
    let mut codes = BTreeSet::new();
    for source in source::files(root, "rs").iter().filter(of_ours) {
        codes.extend(codes_of(&source.text));
    }
    codes
        .iter()
        .filter(|code| !page.contains(&format!("`{code}`")))
        .map(|code| format!("docs/errors.md: nothing about `{code}`; add it to xtask/src/errors_head.txt"))
        .collect()
}

fn codes_of(text: &str) -> BTreeSet<String> {
    // Tests stand at the end of a file and speak of codes that are no more.
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let mut found = BTreeSet::new();
    if let Ok(tokens) = code.parse::<TokenStream>() {
        collect(tokens, false, &mut found);
    }
    found
}

/// `is_table`: every text in here that looks like a code is one.
fn collect(tokens: TokenStream, is_table: bool, found: &mut BTreeSet<String>) {
    let mut before = [String::new(), String::new(), String::new()];
    let mut in_table = false;
    for token in tokens {
        if let TokenTree::Group(group) = &token {
            let is_maker =
                group.delimiter() == Delimiter::Parenthesis && MAKERS.contains(&before[2].as_str());
            let first = group.stream().into_iter().next().filter(|_| is_maker);
            found.extend(first.and_then(|token| slug(&token.to_string())));
            let is_body = group.delimiter() == Delimiter::Brace;
            collect(group.stream(), is_table || (in_table && is_body), found);
            in_table &= !is_body;
        }
        let text = token.to_string();
        in_table |= before[2] == "fn" && matches!(text.as_str(), "code" | "facts");
        let [_, status, mark] = &before;
        let is_constant = status.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        let follows_status = !status.is_empty() && is_constant && matches!(mark.as_str(), "," | ">");
        let is_named = status == "code" && mark == "=";
        if is_table || follows_status || is_named {
            found.extend(slug(&text));
        }
        // The `=` of `=>` says nothing.
        if text != "=" || before[2] == "code" {
            before.rotate_left(1);
            before[2] = text;
        }
    }
}

/// The code that a literal is, if it is one.
fn slug(literal: &str) -> Option<String> {
    let text = literal.strip_prefix('"')?.strip_suffix('"')?;
    let is_slug = !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    is_slug.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_wherever_the_source_writes_them() {
        let source = r#"
            impl Refusal { fn code(&self) -> &'static str { match self { Self::A => "from_code", Self::B => "plain" } } }
            const fn facts(&self) -> Facts { match self { Self::C => ("from_facts", S::BAD_REQUEST) } }
            fn f() {
                let code = "from_let";
                Problem::new(StatusCode::NOT_FOUND, "from_call", detail);
                match status { StatusCode::CONFLICT => "from_arm", _ => (StatusCode::GONE, "from_pair") };
                at("from_maker", &pointer);
                fields.insert("file".to_owned(), "no code");
            }
            #[cfg(test)]
            mod tests { fn g() { Problem::new(StatusCode::NOT_FOUND, "of_a_test", detail); } }
        "#
        .replace("            ", "");
        let found: Vec<String> = codes_of(&source).into_iter().collect();
        let all = [
            "from_arm",
            "from_call",
            "from_code",
            "from_facts",
            "from_let",
            "from_maker",
            "from_pair",
            "plain",
        ];
        assert_eq!(found, all);
    }
}
