//! Reads and changes of the configuration: the whole of it, and the named things in it.
//!
//! Decides what of a request is meant and how what came of it is told; what a change does is decided in `revisions`.

pub(super) mod answer;
pub(super) mod ask;
mod document;
mod fold;
mod history;
mod json;
mod lists;
mod look;
mod part;
mod resources;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::operator::Operator;

/// Everything here, with its description.
pub(super) fn described() -> OpenApiRouter<Arc<Operator>> {
    OpenApiRouter::new()
        .routes(routes!(document::read, document::put, document::patch))
        .routes(routes!(part::read, part::put, part::patch))
        .routes(routes!(document::effective))
        .routes(routes!(document::schema))
        .routes(routes!(look::diff))
        .routes(routes!(look::test))
        .routes(routes!(history::list))
        .routes(routes!(history::roll_back))
        .routes(routes!(fold::fold))
        .routes(routes!(history::confirm))
        .routes(routes!(history::revert))
        .merge(resources::described())
}
