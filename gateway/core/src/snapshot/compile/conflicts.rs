//! The router's conflicts as findings at the routes they concern.

use portcullis_schema as schema;
use portcullis_schema::{Code, Diagnostic, Document, Span};

use super::report::Report;
use crate::router::Conflict;

/// Reports ties and unreachable routes; `names` are the routes in the order the router was given.
pub(super) fn report(
    document: &Document,
    names: &[std::sync::Arc<str>],
    conflicts: &[Conflict],
    report: &mut Report,
) {
    for conflict in conflicts {
        let Some((route, other)) = conflict.names(names) else { continue };
        let (Some(at), Some(other_at)) = (place(document, route), place(document, other)) else { continue };
        report.add(match conflict {
            Conflict::Tie { .. } => {
                Diagnostic::new(Code::TiedRoutes, format!("routes `{other}` and `{route}` tie"))
                    .label(at, "matches the same requests")
                    .label(other_at, "and neither is more specific")
                    .help("give one a `priority`, or a condition more")
            }
            Conflict::Unreachable { .. } => {
                Diagnostic::new(Code::UnreachableRoute, format!("route `{route}` is never reached"))
                    .label(at, "never reached")
                    .label(other_at, format!("`{other}` takes its requests"))
                    .help(format!("remove it, or give it a higher `priority` than `{other}`"))
            }
        });
    }
}

/// The path of a route, where its shape is written; else its name.
fn place(document: &Document, name: &str) -> Option<Span> {
    let entry: &schema::Entry<schema::Route> = document.routes.get(name)?;
    Some(entry.value.path.as_ref().map_or(entry.at, |path| path.at))
}
