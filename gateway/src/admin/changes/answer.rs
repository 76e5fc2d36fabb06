//! What came of a request, as it is told.

use axum::Json;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use portcullis_schema::{locate, to_yaml};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::super::config::REQUEST_BODY;
use super::super::problem::Problem;
use super::ask::YAML;
use crate::operator::Operator;
use crate::reload::{Refusal, Standing};
use crate::revisions::{ChangeError, Pending, Place, StoreError, TrialError, WriteError, Written};

/// What came of a change.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Changed {
    /// The overlay's revision in use now; 0 is the files alone.
    revision: u64,
    /// Counts the configurations put into use since start.
    generation: u64,
    /// Whether there was anything to change.
    changed: bool,
    /// Whether this only says what would be changed.
    dry_run: bool,
    /// What it changes, for people.
    changes: String,
    /// The JSON merge patch from what was in use to what was asked for, secrets masked.
    #[schema(value_type = Object)]
    patch: Value,
    /// What is probably not meant, rendered.
    warnings: String,
    took_ms: f64,
    /// It is in use on trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<OnTrial>,
}

/// A configuration in use on trial.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct OnTrial {
    /// Its revision.
    revision: u64,
    /// When it is reverted unless it is confirmed; RFC 3339, UTC.
    until: String,
}

impl From<Pending> for OnTrial {
    fn from(pending: Pending) -> Self {
        Self { revision: pending.revision, until: pending.until }
    }
}

/// Which configuration is in use.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct Configuration {
    /// The overlay's revision; 0 is the files alone.
    revision: u64,
    /// It is in use on trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<OnTrial>,
}

impl From<Standing> for Configuration {
    fn from(standing: Standing) -> Self {
        Self { revision: standing.revision, pending: standing.pending.map(OnTrial::from) }
    }
}

/// A change that was made, or would be.
fn changed(written: Written, dry_run: bool) -> Response {
    let is_new = written.is_new && !dry_run;
    let etag = written.etag.filter(|_| !dry_run);
    let body = Changed {
        revision: written.revision,
        generation: written.generation,
        changed: written.is_changed,
        dry_run,
        changes: written.changes,
        patch: written.patch,
        warnings: written.warnings,
        took_ms: written.took.as_secs_f64() * 1000.0,
        pending: written.pending.map(OnTrial::from),
    };
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    tagged((status, Json(body)).into_response(), etag.as_deref())
}

/// What came of a change that was tried, if it could be: `Sent` is what its findings are shown in.
pub(super) fn tried(
    made: Result<Result<Written, WriteError>, Problem>,
    dry_run: bool,
    sent: &Sent,
) -> Response {
    match made {
        Ok(Ok(written)) => changed(written, dry_run),
        Ok(Err(error)) => not_changed(error, sent),
        Err(problem) => problem.into_response(),
    }
}

/// A value as JSON, or as YAML if that is asked for; nothing if the reader has it already.
pub(super) fn value(value: &Value, etag: Option<&str>, headers: &HeaderMap) -> Response {
    let mut response = if etag.is_some_and(|etag| super::ask::is_known(headers, etag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else if wants_yaml(headers) {
        ([(header::CONTENT_TYPE, HeaderValue::from_static(YAML))], to_yaml(value)).into_response()
    } else {
        Json(value).into_response()
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    tagged(response, etag)
}

/// Whether YAML is named and JSON is not named before it.
fn wants_yaml(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted
        .flat_map(|value| value.split(','))
        .map(|part| part.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    types
        .find(|media| media.ends_with("json") || media.ends_with("yaml"))
        .is_some_and(|media| media.ends_with("yaml"))
}

pub(super) fn tagged(mut response: Response, etag: Option<&str>) -> Response {
    if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// What was sent, so that findings can be shown in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent {
    /// The body, if its parts are where their pointers say.
    pub(super) body: Bytes,
    /// What leads to it in the whole document.
    pub(super) prefix: String,
}

impl Sent {
    /// Shows each finding in what was sent, where it stands there, and not in an overlay that was never written.
    fn place(&self, errors: &mut [Value]) {
        let Ok(text) = std::str::from_utf8(&self.body) else { return };
        if text.is_empty() {
            return;
        }
        let inside = |error: &Value| Some(error["pointer"].as_str()?.strip_prefix(&self.prefix)?.to_owned());
        let pointers: Vec<Option<String>> = errors.iter().map(inside).collect();
        let pointers: Vec<Option<&str>> = pointers.iter().map(Option::as_deref).collect();
        for (error, found) in errors.iter_mut().zip(locate(text, &pointers)) {
            if let (Some(fields), Some(found)) = (error.as_object_mut(), found) {
                fields.insert("file".to_owned(), json!(REQUEST_BODY));
                fields.insert("line".to_owned(), json!(found.line));
                fields.insert("column".to_owned(), json!(found.column));
                fields.insert("excerpt".to_owned(), json!(found.excerpt));
            }
        }
    }
}

/// What is written at a place, secrets masked, with its tag.
pub(super) fn found(operator: &Operator, place: Place<'_>) -> Result<(Value, String), Problem> {
    let in_use = operator.revisions.in_use();
    let pointer = place.pointer();
    match (in_use.value.pointer(&pointer), operator.revisions.etag_of(&in_use, &pointer)) {
        (Some(value), Some(etag)) => Ok((value.clone(), etag)),
        _ => Err(not_found(&place.unknown(&in_use.value))),
    }
}

fn not_found(error: &ChangeError) -> Problem {
    let code = if matches!(error, ChangeError::NoPart(_)) { "unknown_part" } else { "unknown_name" };
    Problem::new(StatusCode::NOT_FOUND, code, error.to_string())
}

/// Why nothing was changed.
pub(super) fn not_changed(error: WriteError, sent: &Sent) -> Response {
    let detail = error.to_string();
    let problem = |status, code| Problem::new(status, code, detail.clone());
    let at = |code, pointer: &str| {
        let mut problem = problem(StatusCode::UNPROCESSABLE_ENTITY, code).at(pointer);
        sent.place(problem.errors_mut());
        problem.into_response()
    };
    match error {
        WriteError::Off => problem(StatusCode::CONFLICT, "writes_off").into_response(),
        WriteError::Precondition { etag, .. } => {
            let code = "precondition_failed";
            tagged(problem(StatusCode::PRECONDITION_FAILED, code).into_response(), etag.as_deref())
        }
        WriteError::Change(error @ (ChangeError::Unknown { .. } | ChangeError::NoPart(_))) => {
            not_found(&error).into_response()
        }
        WriteError::Change(ChangeError::Operation(_)) => {
            problem(StatusCode::UNPROCESSABLE_ENTITY, "patch_does_not_fit").into_response()
        }
        WriteError::Change(ChangeError::Masked(pointer)) => at("masked_secret", &pointer),
        WriteError::Null(null) => at("null_value", &null.pointer),
        WriteError::FilesOnly(key) => {
            problem(StatusCode::CONFLICT, "files_only").at(&format!("/{key}")).into_response()
        }
        WriteError::OtherFile { .. } => problem(StatusCode::CONFLICT, "other_file").into_response(),
        WriteError::Refused { refusal, pointers } => refused(&refusal, &pointers, sent),
        WriteError::NoRevision(_) => problem(StatusCode::NOT_FOUND, "unknown_revision").into_response(),
        WriteError::Store(error) => store(&error),
    }
}

/// The disk, or what is on it.
pub(super) fn store(error: &StoreError) -> Response {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "store", error.to_string()).into_response()
}

/// A trial that goes on as it was.
pub(super) fn on_trial(error: &TrialError) -> Response {
    let (status, code) = match error {
        TrialError::None => (StatusCode::CONFLICT, "not_on_trial"),
        TrialError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "store"),
        TrialError::Refused(_) => (StatusCode::INTERNAL_SERVER_ERROR, "cannot_revert"),
    };
    Problem::new(status, code, error.to_string()).into_response()
}

/// A refused configuration, each finding with the part of the document that it is about.
fn refused(refusal: &Refusal, pointers: &[Option<String>], sent: &Sent) -> Response {
    let mut problem = super::super::problem::refusal(refusal);
    let errors = problem.errors_mut();
    for (error, pointer) in errors.iter_mut().zip(pointers) {
        if let (Some(fields), Some(pointer)) = (error.as_object_mut(), pointer) {
            fields.insert("pointer".to_owned(), json!(pointer));
        }
    }
    sent.place(errors);
    problem.into_response()
}
