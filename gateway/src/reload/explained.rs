//! How a route comes by its settings, asked of a running gateway.
//!
//! The files are read again: what they were when they were put into use is not kept, since it would be several times
//! as large as what they mean.

use portcullis_core::snapshot::{Carried, Explanation, compile, explain};
use portcullis_schema::{FileSource, Sources, Span, load};
use serde_json::{Value, json};

use super::{Refusal, Reloader};

impl Reloader {
    /// How the route of this name comes by its settings; `None` if there is none. Blocks for file reads.
    ///
    /// # Errors
    /// When what is read cannot be used any more.
    pub fn explain(
        &self,
        route: &str,
        files: &(dyn FileSource + Sync),
        carried: &Carried,
    ) -> Result<Option<Value>, Refusal> {
        let loaded = load(self.root(), files, self.env());
        let compiled = compile(&loaded, self.catalog(), carried);
        let Some(snapshot) = compiled.snapshot else {
            let sources = std::sync::Arc::new(loaded.sources);
            return Err(Refusal::Invalid { diagnostics: compiled.diagnostics, sources });
        };
        let explained = explain(&loaded, &snapshot, route);
        Ok(explained.map(|explanation| explanation_to_json(&explanation, &loaded.sources)))
    }
}

/// An explanation with every part on its own; a default has no place.
#[must_use]
pub fn explanation_to_json(explanation: &Explanation, sources: &Sources) -> Value {
    let file = |at: Span| sources.path(at.file).to_string_lossy().into_owned();
    let settings: Vec<Value> = explanation
        .settings
        .iter()
        .map(|setting| {
            json!({
                "key": setting.key,
                "upstream": setting.upstream,
                "value": setting.value,
                "source": setting.origin.source(),
                "name": setting.origin.name(),
                "file": setting.at.map(file),
                "line": setting.at.map(|at| at.line),
                "column": setting.at.map(|at| at.column),
            })
        })
        .collect();
    let gates: Vec<Value> = explanation
        .gates
        .iter()
        .map(|(gate, is_on)| json!({ "gate": gate.as_str(), "on": is_on, "about": gate.about() }))
        .collect();
    json!({
        "route": explanation.route,
        "file": file(explanation.at),
        "line": explanation.at.line,
        "settings": settings,
        "gates": gates,
    })
}
