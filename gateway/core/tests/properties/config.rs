//! The configuration language: every text is either compiled or refused, and a finding points into the text.

use std::collections::BTreeMap;
use std::path::Path;

use portcullis_core::limit::LimitSeed;
use portcullis_core::snapshot::{Carried, Compiled, compile, run_route_tests};
use portcullis_plugin_sdk::Catalog;
use portcullis_schema::{Diagnostic, Loaded, MemorySource, Sources, Span, Style, load, render};

use crate::sample_plugin::Answer;

/// What the variable `HUSH` holds: nothing shown to anybody may repeat it.
const HUSH: &str = "the-value-of-a-variable";

/// The input is the main file; behind a NUL follows `a.yaml`, and behind another one `b.yaml`.
pub(crate) fn check(input: &[u8]) {
    let names = ["gateway.yaml", "a.yaml", "b.yaml"];
    let files: BTreeMap<&str, &[u8]> = names.into_iter().zip(input.split(|&byte| byte == 0)).collect();
    let source = files.iter().fold(MemorySource::new(), |source, (name, text)| source.with(name, *text));
    let pairs = [("PORT", "8080"), ("EMPTY", ""), ("HUSH", HUSH)];
    let env: BTreeMap<String, String> =
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();

    let loaded = load(Path::new("gateway.yaml"), &source, &env);
    let Ok(catalog) = Catalog::new().with::<Answer>() else { return };
    let Compiled { snapshot, diagnostics } = compile(&loaded, &catalog, &Carried::nothing(LimitSeed([1, 2])));
    let is_refused = diagnostics.iter().any(Diagnostic::is_error);
    assert_eq!(snapshot.is_none(), is_refused || !loaded.complete, "{diagnostics:?}");
    diagnostics.iter().for_each(|diagnostic| points_into_the_text(diagnostic, &loaded.sources, &files));
    keeps_quiet(input, &diagnostics, &loaded);
    if let Some(snapshot) = snapshot {
        drop(run_route_tests(&loaded.document, &snapshot));
        let again = compile(&loaded, &catalog, snapshot.carried());
        assert!(again.snapshot.is_some(), "{:?}", again.diagnostics);
        assert_eq!(again.diagnostics, diagnostics);
    }
}

fn points_into_the_text(diagnostic: &Diagnostic, sources: &Sources, files: &BTreeMap<&str, &[u8]>) {
    for at in diagnostic.labels.iter().map(|label| label.at) {
        let shown = sources.get(at.file).map_or("", |file| &*file.text);
        let name = sources.path(at.file).to_str().unwrap_or_default();
        // Secrets are masked in what is shown, a star for each byte, so columns are those of what was written.
        let written = String::from_utf8_lossy(files.get(name).copied().unwrap_or_default());
        for text in [shown, &*written] {
            let covered = text.get(at.start as usize..at.end as usize);
            assert!(files.contains_key(name) && covered.is_some(), "{diagnostic:?}\n{text:?}");
        }
        assert_eq!((at.line, at.column), place(&written, at), "{diagnostic:?}\n{written:?}");
    }
}

/// Line and column of a span's first byte, both counted from 1.
fn place(text: &str, at: Span) -> (u32, u32) {
    let before = text.get(..at.start as usize).unwrap_or_default();
    // A byte order mark is no character of the first line.
    let before = before.strip_prefix('\u{feff}').unwrap_or(before);
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (small(line), small(column))
}

/// Neither the rendered findings nor their JSON repeat what a variable holds.
fn keeps_quiet(input: &[u8], diagnostics: &[Diagnostic], loaded: &Loaded) {
    let mut shown = render(diagnostics, &loaded.sources, Style::Plain);
    for diagnostic in diagnostics {
        shown += &diagnostic.to_json(&loaded.sources).to_string();
    }
    let was_written = input.windows(HUSH.len()).any(|window| window == HUSH.as_bytes());
    assert!(was_written || !shown.contains(HUSH), "{shown}");
}
