//! The admin API, on its own listener: loopback unless told otherwise, and never without a token.
//!
//! One file a resource; the types answered are the types documented. Nothing here is on the way of
//! a request, and nothing here takes a lock that a request takes.

mod certificates;
mod changes;
mod config;
mod described;
mod docs;
mod door;
mod endpoints;
mod events;
mod examples;
mod extract;
mod page;
mod plugins;
mod problem;
mod requests;
mod roles;
mod routing;
mod running;
mod services;
mod sse;
mod status;
mod token_list;
mod tokens;
mod upstreams;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router, middleware};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::operator::Operator;
use door::Door;
use problem::Problem;
pub use roles::Role;
pub use sse::STREAMS_MAX;
pub use tokens::{Caller, TOKENS_FILE, Tokens, TokensError};

#[derive(OpenApi)]
#[openapi(
    components(schemas(routing::RouteShown)),
    info(
        title = "Portcullis admin API",
        description = "Every request needs `Authorization: Bearer TOKEN`; the first token is in `admin-token` in the state \
                   directory. A token has a role, viewer, operator or admin, and each role includes the ones before it. \
                   Errors are `application/problem+json` (RFC 9457)."
    )
)]
struct Api;

/// The API's routes, behind their door.
pub fn routes(operator: Arc<Operator>) -> Router {
    let (router, document) = described().split_for_parts();
    let document = described::complete(document);
    let pages = docs::routes(&document);
    let document = Arc::new(document);
    let door = Arc::new(Door::new(operator.tokens.clone()));
    router
        .route("/api/v1/openapi.json", get(move || async move { Json((*document).clone()).into_response() }))
        .merge(pages)
        .fallback(problem::unknown_path)
        .method_not_allowed_fallback(problem::wrong_method)
        // The door has read the body, within its own bound.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(door, door::enter))
        .with_state(operator)
}

/// Every route with its description.
fn described() -> OpenApiRouter<Arc<Operator>> {
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(status::info))
        .routes(routes!(status::status))
        .routes(routes!(upstreams::list))
        .routes(routes!(config::validate))
        .routes(routes!(config::reload))
        .routes(routes!(token_list::list, token_list::make))
        .routes(routes!(token_list::remove))
        .routes(routes!(endpoints::list))
        .routes(routes!(endpoints::patch))
        .routes(routes!(endpoints::reset))
        .routes(routes!(routing::explain))
        .routes(routes!(routing::matches))
        .routes(routes!(services::list))
        .routes(routes!(certificates::list))
        .routes(routes!(plugins::list))
        .routes(routes!(events::stream))
        .routes(routes!(requests::list))
        .routes(routes!(requests::stream))
        .routes(routes!(running::level, running::set_level))
        .routes(routes!(running::drain))
        .merge(changes::described())
}

/// The description of the API.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    described::complete(described().split_for_parts().1)
}

/// Files and binds block; a panic in there is our fault and said so.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        let detail = "it could not be handled; nothing was changed, see the log";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "UPDATE=1 rewrites the page, as for the golden tests")]
    fn the_page_of_the_api_is_what_is_served() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
        let served = format!("{}\n", openapi().to_pretty_json().unwrap());
        if std::env::var("UPDATE").is_ok() {
            std::fs::write(&page, &served).unwrap();
        }
        let written = std::fs::read_to_string(&page).unwrap_or_default();
        assert!(
            written == served,
            "docs/openapi.json is out of date; run: UPDATE=1 cargo test -p portcullis --lib page_of_the_api"
        );
    }

    #[test]
    fn every_change_says_which_role_it_takes() {
        let served = serde_json::to_value(openapi()).unwrap();
        for (path, operations) in served["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let description = operation["description"].as_str().unwrap_or_default();
                assert!(method == "get" || description.contains("Role: "), "{method} {path}: {description}");
            }
        }
    }
}
