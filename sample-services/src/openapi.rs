//! The description of a service at `/openapi.json`, and answers to what is not in it.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;

use crate::problem::Problem;

/// Where the description is.
pub const PATH: &str = "/openapi.json";

/// The routes of `service` with their description beside them. Any other path is a 404, and any other method of a
/// path is a 405 with `Allow`, as problems.
pub fn described(service: OpenApiRouter) -> Router {
    let (router, document) = service.split_for_parts();
    let text = serde_json::to_vec(&document).map(Bytes::from).map_err(Arc::new);
    let answer = move || async move { document_or_problem(text) };
    router.route(PATH, get(answer)).fallback(unknown_path).method_not_allowed_fallback(wrong_method)
}

fn document_or_problem(text: Result<Bytes, Arc<serde_json::Error>>) -> Response {
    match text {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => Problem::internal(&error).into_response(),
    }
}

async fn unknown_path(uri: Uri) -> Problem {
    let detail = format!("{} is not here; {PATH} lists what is", uri.path());
    Problem::new(StatusCode::NOT_FOUND, "unknown_path", detail)
}

async fn wrong_method(uri: Uri) -> Problem {
    let detail = format!("{} does not take this method; `Allow` says which it takes", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", detail)
}

#[cfg(test)]
mod tests {
    use axum::Json;
    use axum::extract::rejection::JsonRejection;
    use axum::routing::post;
    use reqwest::Method;
    use serde_json::{Value, json};

    use super::*;
    use crate::served::{Seen, serve};
    use crate::server;

    #[tokio::test]
    async fn what_is_not_described_is_answered_as_a_problem() {
        let router = Router::new().route("/things", post(async || "made"));
        let served = serve(server::app(router.into())).await;
        served.get("/nothing").await.problem(404, "unknown_path");
        let seen = served.get("/things").await.problem(405, "wrong_method");
        assert_eq!(seen.header("allow"), "POST");
        let seen = Seen::of(served.ask(Method::DELETE, "/healthz")).await.problem(405, "wrong_method");
        assert_eq!(seen.header("allow"), "GET,HEAD");
        assert!(served.get(PATH).await.expect(200).json()["openapi"].is_string());
    }

    #[tokio::test]
    async fn a_body_is_judged_before_it_is_used() {
        async fn take(body: Result<Json<Value>, JsonRejection>) -> Result<Json<Value>, Problem> {
            Ok(body?)
        }
        let served = serve(server::app(Router::new().route("/things", post(take)).into())).await;
        served.post("/things", &json!("x".repeat(60 << 10))).await.expect(200);
        served.post("/things", &json!("x".repeat(64 << 10))).await.problem(413, "malformed_body");
        let text = Seen::of(served.ask(Method::POST, "/things").body("{}")).await;
        text.problem(415, "malformed_body");
        let broken = served.ask(Method::POST, "/things").header("content-type", "application/json").body("{");
        Seen::of(broken).await.problem(400, "malformed_body");
    }

    #[tokio::test]
    async fn every_answer_names_its_request() {
        let served = serve(server::app(Router::new().into())).await;
        let seen =
            Seen::of(served.ask(Method::GET, "/healthz").header("x-request-id", "r-1")).await.expect(200);
        assert_eq!(seen.header("x-request-id"), "r-1");
        assert_eq!(served.get("/healthz").await.header("x-request-id").len(), 36);
    }
}
