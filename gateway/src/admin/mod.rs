//! The admin API, on its own listener: loopback unless told otherwise, and never without the token.
//!
//! One file a resource; the types answered are the types documented. Nothing here is on the way of
//! a request, and nothing here takes a lock that a request takes.

mod changes;
mod config;
mod door;
mod problem;
mod status;
mod upstreams;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router, middleware};
use serde_json::Value;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::operator::Operator;
use door::Door;

/// Longest body of an admin request; a configuration that is validated has to fit.
const BODY_BYTES_MAX: usize = 16 << 20;

/// The schema of every error.
const PROBLEM: &str = "#/components/schemas/Problem";

#[derive(OpenApi)]
#[openapi(info(
    title = "Portcullis admin API",
    description = "Every request needs `Authorization: Bearer TOKEN`; the token is in `admin-token` in the state directory. \
                   Errors are `application/problem+json` (RFC 9457)."
))]
struct Api;

/// The API's routes, behind `token`.
pub fn routes(operator: Arc<Operator>, token: &str) -> Router {
    let (router, document) = described().split_for_parts();
    let document = Arc::new(with_problem_types(&document));
    router
        .route("/api/v1/openapi.json", get(move || async move { Json((*document).clone()).into_response() }))
        .fallback(problem::unknown_path)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(Arc::new(Door::new(token)), door::enter))
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
        .merge(changes::described())
}

/// The description of the API.
#[must_use]
pub fn openapi() -> Value {
    with_problem_types(&described().split_for_parts().1)
}

/// The description with every problem under its media type, so that no operation has to say it of each status.
fn with_problem_types(document: &utoipa::openapi::OpenApi) -> Value {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    let paths = document["paths"].as_object_mut().into_iter().flatten().map(|(_, path)| path);
    let operations = paths.flat_map(|path| path.as_object_mut().into_iter().flatten());
    for (_, operation) in operations {
        for (_, response) in operation["responses"].as_object_mut().into_iter().flatten() {
            let Some(content) = response.get_mut("content").and_then(Value::as_object_mut) else { continue };
            let is_problem = |json: &Value| json["schema"]["$ref"] == PROBLEM;
            if content.get("application/json").is_some_and(is_problem)
                && let Some(problem) = content.remove("application/json")
            {
                content.insert("application/problem+json".to_owned(), problem);
            }
        }
    }
    document
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "UPDATE=1 rewrites the page, as for the golden tests")]
    fn the_page_of_the_api_is_what_is_served() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
        let served = format!("{:#}\n", openapi());
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
        let served = openapi();
        for (path, operations) in served["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let description = operation["description"].as_str().unwrap_or_default();
                assert!(method == "get" || description.contains("Role: "), "{method} {path}: {description}");
            }
        }
    }
}
