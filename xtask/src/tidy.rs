//! Shape: lengths of files and functions, delegation in `impl ProxyHttp`, who names a Pingora type; and whether every
//! link of a page leads somewhere.

use std::path::Path;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::source::{self, Source};
use crate::{Findings, links};

/// Lines at which a file stops.
const FILE_LINES_MAX: usize = 500;
/// Lines at which a function stops, from its signature to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Lines between the braces of a method of `impl ProxyHttp`: it delegates.
const PROXY_BODY_LINES_MAX: usize = 10;
/// The parts of the tree that may name a Pingora type.
const PINGORA_PLACES: [&str; 8] = [
    "gateway/src/proxy/",
    "gateway/src/listener/",
    "gateway/src/upstream/",
    "gateway/src/store/",
    "gateway/src/boot.rs",
    "gateway/src/boot/",
    "gateway/tests/",
    "loadtest/",
];

/// Everything in the tree that departs from the agreed shape.
pub(crate) fn check(root: &Path) -> Findings {
    let code = source::files(root, "rs");
    code.iter().flat_map(check_file).chain(links::check(root)).collect()
}

fn check_file(source: &Source) -> Findings {
    let path = source.path.display().to_string();
    let mut findings = Findings::new();
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX {
        findings.push(format!("{path}: {lines} lines; a file stops at {FILE_LINES_MAX}"));
    }
    match syn::parse_file(&source.text) {
        Ok(file) => {
            let names_pingora = !PINGORA_PLACES.iter().any(|place| path.starts_with(place));
            let mut walk = Walk { path, forbids_pingora: names_pingora, findings };
            walk.visit_file(&file);
            walk.findings
        }
        Err(error) => {
            findings.push(format!("{path}: cannot be parsed: {error}"));
            findings
        }
    }
}

struct Walk {
    path: String,
    forbids_pingora: bool,
    findings: Findings,
}

impl Walk {
    fn measure(&mut self, signature: &syn::Signature, whole: proc_macro2::Span) {
        let (first, last) = (signature.span().start().line, whole.end().line);
        let lines = last + 1 - first;
        if lines > FUNCTION_LINES_MAX {
            let (path, name) = (&self.path, &signature.ident);
            self.findings.push(format!(
                "{path}:{first}: `{name}` has {lines} lines; a function stops at {FUNCTION_LINES_MAX}"
            ));
        }
    }

    fn check_pingora(&mut self, ident: &syn::Ident) {
        let name = ident.to_string();
        if self.forbids_pingora && (name == "pingora" || name.starts_with("pingora_")) {
            let line = ident.span().start().line;
            self.findings.push(format!(
                "{}:{line}: names `{name}`; only proxy/, listener/, upstream/, store/ and boot.rs may",
                self.path
            ));
        }
    }
}

impl<'ast> Visit<'ast> for Walk {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.measure(&function.sig, function.span());
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.measure(&function.sig, function.span());
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_item_impl(&mut self, block: &'ast syn::ItemImpl) {
        let named = block.trait_.as_ref().and_then(|(_, path, _)| path.segments.last());
        if named.is_some_and(|segment| segment.ident == "ProxyHttp") {
            for item in &block.items {
                let syn::ImplItem::Fn(function) = item else { continue };
                let braces = function.block.span();
                let lines = (braces.end().line - braces.start().line).saturating_sub(1);
                if lines > PROXY_BODY_LINES_MAX {
                    self.findings.push(format!(
                        "{}:{}: `{}` of ProxyHttp has {lines} lines; it delegates, in at most {PROXY_BODY_LINES_MAX}",
                        self.path,
                        braces.start().line,
                        function.sig.ident
                    ));
                }
            }
        }
        visit::visit_item_impl(self, block);
    }

    fn visit_path_segment(&mut self, segment: &'ast syn::PathSegment) {
        self.check_pingora(&segment.ident);
        visit::visit_path_segment(self, segment);
    }

    fn visit_use_path(&mut self, path: &'ast syn::UsePath) {
        self.check_pingora(&path.ident);
        visit::visit_use_path(self, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Findings {
        check_file(&Source { path: path.into(), text: text.to_owned() })
    }

    #[test]
    fn the_wrong_sample_is_found_wrong_in_every_way() {
        let sample = include_str!("../fixtures/untidy.rs");
        let long = format!("{sample}\n{}", "// line\n".repeat(FILE_LINES_MAX));
        let found = findings("gateway/core/src/untidy.rs", &long).join("\n");
        for part in [
            "a file stops at 500",
            "`endless` has 72 lines",
            "names `pingora_core`",
            "`new_ctx` of ProxyHttp has 11 lines",
        ] {
            assert!(found.contains(part), "missing {part:?} in:\n{found}");
        }
        assert_eq!(found.lines().count(), 4, "{found}");
    }

    #[test]
    fn the_proxy_may_name_pingora() {
        assert_eq!(findings("gateway/src/proxy/mod.rs", "use pingora_core::Result;"), Findings::new());
    }

    #[test]
    fn a_file_that_does_not_parse_is_a_finding() {
        assert_eq!(findings("a.rs", "fn (").len(), 1);
    }
}
