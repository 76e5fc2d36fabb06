//! How a route comes by its settings, asked of a running gateway.
//!
//! What is in use is loaded again, files and overlay as they were put into use: its tree is not kept, since it would be
//! several times as large as what it means.

use portcullis_core::snapshot::{Carried, Explanation, compile, explain};
use portcullis_schema::{Sources, Span, load_with};
use serde_json::{Value, json};

use super::{Refusal, Reloader};

impl Reloader {
    /// How the route of this name comes by its settings; `None` if there is none. Blocks.
    ///
    /// # Errors
    /// When what is in use does not compile any more, which would be a fault of ours.
    pub fn explain(&self, route: &str, carried: &Carried) -> Result<Option<Value>, Refusal> {
        let (files, overlay) = {
            let session = self.session();
            (session.in_use().files.clone(), session.in_use().overlay.clone())
        };
        let loaded = load_with(self.root(), &*files, self.env(), overlay.as_ref());
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
