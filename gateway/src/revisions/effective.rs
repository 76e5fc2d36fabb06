//! What holds for each route once `defaults`, policies and the route itself are laid over each other.

use portcullis_core::snapshot::{Explanation, Snapshot, explain};
use portcullis_schema::{Loaded, Sources, Span};
use serde_json::{Map, Value, json};

/// Every route with its settings in force, each with who says so and where.
pub(super) fn routes(loaded: &Loaded, snapshot: &Snapshot) -> Value {
    let mut routes = Map::new();
    for name in loaded.document.routes.keys() {
        if let Some(explanation) = explain(loaded, snapshot, name.as_str()) {
            routes.insert(name.as_str().to_owned(), settings(&explanation, &loaded.sources));
        }
    }
    json!({ "routes": routes })
}

fn settings(explanation: &Explanation, sources: &Sources) -> Value {
    let file = |at: Span| sources.path(at.file).display().to_string();
    let shown = explanation.settings.iter().map(|setting| {
        json!({
            "key": setting.key,
            "upstream": setting.upstream,
            "value": setting.value,
            "source": setting.origin.source(),
            "name": setting.origin.name(),
            "file": setting.at.map(file),
            "line": setting.at.map(|at| at.line),
        })
    });
    Value::Array(shown.collect())
}
