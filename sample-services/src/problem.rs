//! Errors as a client sees them: `application/problem+json` (RFC 9457).

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use crate::store::StoreError;

/// An answer that says what is wrong and, where one exists, the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// A stable slug, for machines.
    pub code: &'static str,
    /// One sentence, for people.
    pub detail: String,
    /// After how many seconds it is worth another try.
    pub retry_after: Option<u64>,
}

/// What went wrong, and where one exists the way out.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Always `about:blank`: `code` says more.
    r#type: &'static str,
    /// In a few words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// A stable slug.
    code: &'static str,
    /// In a sentence.
    detail: String,
}

/// What can be wrong with a request that has a body, whatever it is about.
#[derive(Debug, IntoResponses)]
pub enum BodyProblems {
    /// The body is no JSON, or the path or the query cannot be read
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(#[to_schema] ProblemBody),
    /// The body is too long
    #[response(status = 413, content_type = "application/problem+json")]
    TooLong(#[to_schema] ProblemBody),
    /// The body has no `Content-Type: application/json`
    #[response(status = 415, content_type = "application/problem+json")]
    NotJson(#[to_schema] ProblemBody),
    /// A value cannot be used
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(#[to_schema] ProblemBody),
    /// The database does not answer just now
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(#[to_schema] ProblemBody),
}

/// What can be wrong with a request without a body, whatever it is about.
#[derive(Debug, IntoResponses)]
pub enum QueryProblems {
    /// The path or the query cannot be read
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(#[to_schema] ProblemBody),
    /// A value cannot be used
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(#[to_schema] ProblemBody),
    /// The database does not answer just now
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(#[to_schema] ProblemBody),
}

/// The answers to somebody who is not known or may not do this.
#[derive(Debug, IntoResponses)]
pub enum IdentityProblems {
    /// The gateway put no user on the request
    #[response(status = 401, content_type = "application/problem+json")]
    NoIdentity(#[to_schema] ProblemBody),
    /// The user's role or the token's scope does not allow this
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(#[to_schema] ProblemBody),
}

impl Problem {
    /// A problem with this status, slug and sentence.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), retry_after: None }
    }

    /// 422: the body is JSON, but a value cannot be used.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_value", detail)
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// 409.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 500: the reason goes to the log, not to the client.
    pub fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the service could not do this; see its log")
    }

    /// The same, with the time after which another try is worth it.
    #[must_use]
    pub const fn after_seconds(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, code, detail, retry_after } = self;
        let title = status.canonical_reason().unwrap_or("Error");
        let body = ProblemBody { r#type: "about:blank", title, status: status.as_u16(), code, detail };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), "malformed_body", rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), "malformed_query", rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::new(rejection.status(), "malformed_path", rejection.body_text())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_passing() {
            tracing::warn!(%error, "the database does not answer");
            let detail = "the service's database does not answer just now; try again";
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", detail)
                .after_seconds(1);
        }
        Self::internal(&error)
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        StoreError::from(error).into()
    }
}
