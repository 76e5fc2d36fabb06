//! How routes come by their settings, asked of a running gateway.
//!
//! What is in use is loaded again, files and overlay as they were put into use: its tree is not kept, since it would be
//! several times as large as what it means.

use std::sync::Arc;

use portcullis_core::snapshot::{Carried, Explained, Explanation, compile, explain, explain_all};
use portcullis_schema::{Loaded, Sources, Span, load_with};
use serde_json::{Map, Value, json};

use super::{Refusal, Reloader};
use crate::live::Live;

impl Reloader {
    /// How the route of this name comes by its settings; `None` if there is none. Blocks.
    ///
    /// # Errors
    /// When what is in use does not compile any more, which would be a fault of ours.
    pub fn explain(&self, route: &str, carried: &Carried) -> Result<Option<Value>, Refusal> {
        let (loaded, _) = self.loaded();
        let compiled = compile(&loaded, self.catalog(), carried);
        let Some(snapshot) = compiled.snapshot else {
            let sources = Arc::new(loaded.sources);
            return Err(Refusal::Invalid { diagnostics: compiled.diagnostics, sources });
        };
        let explained = explain(&loaded, &snapshot, route);
        Ok(explained.map(|explanation| explanation_to_json(&explanation, &loaded.sources)))
    }

    /// Every route with its settings in force, each with who says so and where. Blocks.
    #[must_use]
    pub fn effective(&self) -> Value {
        let (loaded, live) = self.loaded();
        let routes: Map<String, Value> = explain_all(&loaded, &live.snapshot)
            .map(|explanation| {
                let settings = settings_to_json(&explanation, &loaded.sources);
                (explanation.route.to_string(), Value::Array(settings))
            })
            .collect();
        json!({ "routes": routes })
    }

    /// What is in use, loaded again, and what it means.
    fn loaded(&self) -> (Loaded, Arc<Live>) {
        let (files, overlay, live) = {
            let session = self.session();
            (session.in_use().files.clone(), session.in_use().overlay.clone(), self.live())
        };
        (load_with(self.root(), &*files, self.env(), overlay.as_ref()), live)
    }
}

/// The settings of a route, each with who says so and where; a default has no place.
fn settings_to_json(explanation: &Explanation, sources: &Sources) -> Vec<Value> {
    let setting = |setting: &Explained| {
        json!({
            "key": setting.key,
            "upstream": setting.upstream,
            "value": setting.value,
            "source": setting.origin.source(),
            "name": setting.origin.name(),
            "file": setting.at.map(|at| file(at, sources)),
            "line": setting.at.map(|at| at.line),
            "column": setting.at.map(|at| at.column),
        })
    };
    explanation.settings.iter().map(setting).collect()
}

fn file(at: Span, sources: &Sources) -> String {
    sources.path(at.file).to_string_lossy().into_owned()
}

/// An explanation with every part on its own.
#[must_use]
pub fn explanation_to_json(explanation: &Explanation, sources: &Sources) -> Value {
    let gates: Vec<Value> = explanation
        .gates
        .iter()
        .map(|(gate, is_on)| json!({ "gate": gate.as_str(), "on": is_on, "about": gate.about() }))
        .collect();
    json!({
        "route": explanation.route,
        "file": file(explanation.at, sources),
        "line": explanation.at.line,
        "settings": settings_to_json(explanation, sources),
        "gates": gates,
    })
}
