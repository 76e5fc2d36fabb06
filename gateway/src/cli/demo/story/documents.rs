//! The two configurations that the story reloads: one with mistakes, one with a new route.

use crate::cli::demo::stage::CONFIG;

/// Three mistakes that people make: a key, a name and a unit.
const MISTAKES: &str = "
  # A new route, written in a hurry.
  specials:
    path: /api/specials
    too: products
    use: [resilliant]
    timeout: 5
";

/// The same route, written well.
const SPECIALS: &str = "
  # A new route.
  specials:
    path: /api/specials
    methods: [GET]
    use: [resilient]
    rewrite: { path: /products }
    to: products
";

/// What the new route answers to.
pub(super) const SPECIALS_PATH: &str = "/api/specials";

/// The shop's configuration with a broken route at its end.
pub(super) fn with_mistakes() -> String {
    format!("{CONFIG}{MISTAKES}")
}

/// The shop's configuration with a new route at its end.
pub(super) fn with_specials() -> String {
    format!("{CONFIG}{SPECIALS}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use portcullis_schema::MemorySource;

    use super::*;
    use crate::boot;
    use crate::reload::Refusal;

    fn check(text: &str) -> Result<usize, Vec<String>> {
        let files = MemorySource::new().with("gateway.yaml", text.as_bytes().to_vec());
        let catalog = crate::cli::catalog();
        match boot::check(Path::new("gateway.yaml"), &files, None, &BTreeMap::new(), &catalog) {
            Ok(candidate) => Ok(candidate.snapshot.router.iter().len()),
            Err(Refusal::Invalid { diagnostics, .. } | Refusal::TestsFailed { diagnostics, .. }) => {
                Err(diagnostics.iter().map(|diagnostic| format!("{diagnostic:?}")).collect())
            }
            Err(
                other @ (Refusal::NeedsRestart { .. }
                | Refusal::Listeners { .. }
                | Refusal::Store { .. }
                | Refusal::OnTrial),
            ) => Err(vec![other.to_string()]),
        }
    }

    #[test]
    fn the_shop_is_configured_without_a_mistake_and_the_specials_are_one_more_route() {
        let n_routes = check(CONFIG).unwrap();
        assert_eq!(check(&with_specials()).unwrap(), n_routes + 1);
    }

    #[test]
    fn every_mistake_is_found_at_once() {
        let found = check(&with_mistakes()).unwrap_err();
        assert!(found.len() >= 3, "{found:#?}");
    }
}
