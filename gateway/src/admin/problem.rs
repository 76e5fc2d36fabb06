//! Errors of the admin API: `application/problem+json` (RFC 9457).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use portcullis_schema::{Diagnostic, Sources};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::reload::Refusal;

/// What went wrong, and where one exists the way out.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Always `about:blank`: `code` says more.
    r#type: &'static str,
    /// In a few words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// A stable slug.
    code: &'static str,
    /// In a sentence.
    detail: String,
    /// One element for each finding about a configuration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Value>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            errors: Vec::new(),
        }
    }

    /// With one element for each finding.
    pub(super) fn with_errors(mut self, errors: Vec<Value>) -> Self {
        self.errors = errors;
        self
    }

    /// About one part of the document, by its JSON pointer.
    pub(super) fn at(self, pointer: &str) -> Self {
        let error = json!({ "pointer": pointer, "code": self.code, "detail": self.detail });
        self.with_errors(vec![error])
    }

    /// The findings, to say more about them.
    pub(super) fn errors_mut(&mut self) -> &mut [Value] {
        &mut self.errors
    }

    /// Its HTTP status.
    #[cfg(test)]
    pub(super) fn status(&self) -> u16 {
        self.status
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        as_problem((status, Json(self)).into_response())
    }
}

/// A refused configuration: 422 if the text is to blame, 409 if the state of the gateway is, 500 if its disk is.
pub(super) fn refusal(refusal: &Refusal) -> Problem {
    let status = match refusal {
        Refusal::Invalid { .. } | Refusal::TestsFailed { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::NeedsRestart { .. } | Refusal::Listeners { .. } | Refusal::OnTrial => StatusCode::CONFLICT,
        Refusal::Store { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let errors = match refusal {
        Refusal::Invalid { diagnostics, sources } | Refusal::TestsFailed { diagnostics, sources } => {
            findings(diagnostics, sources)
        }
        Refusal::NeedsRestart { .. }
        | Refusal::Listeners { .. }
        | Refusal::Store { .. }
        | Refusal::OnTrial => Vec::new(),
    };
    let mut problem = Problem::new(status, refusal.code(), refusal.to_string()).with_errors(errors);
    problem.title = "configuration refused".to_owned();
    problem
}

/// The same, as it is answered.
pub(super) fn refused(refusal: &Refusal) -> Response {
    self::refusal(refusal).into_response()
}

/// Findings as elements of `errors`.
pub(super) fn findings(diagnostics: &[Diagnostic], sources: &Sources) -> Vec<Value> {
    let show = |diagnostic: &Diagnostic| {
        let mut shown = diagnostic.to_json(sources);
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("detail".to_owned(), diagnostic.message.clone().into());
        }
        shown
    };
    diagnostics.iter().map(show).collect()
}

fn as_problem(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

pub(super) async fn unknown_path(uri: Uri) -> Problem {
    let detail = format!("{} is not here; /api/v1/openapi.json lists what is", uri.path());
    Problem::new(StatusCode::NOT_FOUND, "unknown_path", detail)
}

pub(super) async fn wrong_method(uri: Uri) -> Problem {
    let detail = format!("{} does not take this method; /api/v1/openapi.json says which", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", detail)
}
