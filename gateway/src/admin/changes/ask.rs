//! What a request asks for: its conditions, its options, its body.
//!
//! Whatever is not understood is refused: a misspelt `dry_run` must not become a change.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use portcullis_core::confirm::Margin;
use portcullis_schema::{parse_duration, parse_value};
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::super::blocking;
use super::super::config::REQUEST_BODY;
use super::super::extract::reason;
use super::super::problem::{Problem, findings};
use super::answer::Sent;
use crate::operator::Operator;
use crate::revisions::{Change, Condition, Options, Wish};

/// Longest body of one named thing.
pub(super) const THING_BYTES_MAX: usize = 64 << 10;
/// Longest body of a whole configuration.
pub(in super::super) const DOCUMENT_BYTES_MAX: usize = 16 << 20;
/// Longest reason that is kept with a revision, in characters.
const REASON_CHARS_MAX: usize = 500;
/// Shortest and longest trial.
const TRIAL_MIN: Duration = Duration::from_secs(5);
const TRIAL_MAX: Duration = Duration::from_secs(3_600);
/// Percentage points and ratios beyond these mean nothing.
const ERROR_POINTS_MAX: f64 = 100.0;
const P99_RATIO_MAX: f64 = 1_000.0;

/// The media types a change may come in.
pub(super) const JSON: &str = "application/json";
pub(super) const YAML: &str = "application/yaml";
pub(super) const MERGE_PATCH: &str = "application/merge-patch+json";
pub(super) const JSON_PATCH: &str = "application/json-patch+json";

/// How a change to one named thing is made.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ThingParams {
    /// Only say what it would change
    #[serde(default)]
    dry_run: bool,
    /// What the change is for; kept in history
    #[param(max_length = 500)]
    reason: Option<String>,
}

/// How a change to the whole configuration is made.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DocumentParams {
    /// Only say what it would change
    #[serde(default)]
    dry_run: bool,
    /// What the change is for; kept in history
    #[param(max_length = 500)]
    reason: Option<String>,
    /// Put it into use on trial: it is reverted unless it is confirmed within this time (5s to 1h)
    #[param(example = "60s", pattern = "^([5-9]|[1-9][0-9]{1,2})s$|^([1-9]|[1-5][0-9]|60)m$|^1h$")]
    confirm_within: Option<String>,
    /// With `confirm_within`: percentage points by which the share of 5xx may rise before it is reverted (5)
    #[param(minimum = 0, maximum = 100)]
    max_error_increase: Option<f64>,
    /// With `confirm_within`: times by which the p99 may grow, plus 10 ms, before it is reverted (2)
    #[param(minimum = 1, maximum = 1000)]
    max_p99_ratio: Option<f64>,
}

/// One operation of a JSON patch (RFC 6902), for the description; it is read by those who carry it out.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "only described")]
pub(super) struct Operation {
    /// What is done.
    op: Op,
    /// Where, as a JSON pointer.
    path: String,
    /// Whence, as a JSON pointer, for `move` and `copy`.
    from: Option<Value>,
    /// What, for `add`, `replace` and `test`.
    value: Option<Value>,
}

/// What an operation of a JSON patch does.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only described")]
enum Op {
    Add,
    Remove,
    Replace,
    Move,
    Copy,
    Test,
}

/// Who makes a change, by the name of their token; `admin` if nothing more is known.
#[derive(Debug, Clone)]
pub(crate) struct Author(pub(crate) String);

impl Default for Author {
    fn default() -> Self {
        Self("admin".to_owned())
    }
}

pub(super) fn bad_query(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_query", detail)
}

/// The query of a request.
pub(super) fn query<P>(query: Result<Query<P>, QueryRejection>) -> Result<P, Problem> {
    query.map(|Query(params)| params).map_err(|rejection| bad_query(reason(&rejection.body_text())))
}

/// The name in the path of a request.
pub(super) fn name<T>(path: Result<Path<T>, PathRejection>) -> Result<T, Problem> {
    path.map(|Path(name)| name).map_err(|rejection| {
        Problem::new(StatusCode::BAD_REQUEST, "bad_path", reason(&rejection.body_text()))
    })
}

/// A change that is asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) change: Change,
    pub(super) condition: Condition,
    pub(super) options: Options,
    /// What it came in.
    pub(super) body: Bytes,
}

impl Asked {
    /// The change that `read` finds in a body of at most `bytes_max`, under the condition that must be there.
    pub(super) fn read(
        headers: &HeaderMap,
        body: Result<Bytes, BytesRejection>,
        bytes_max: usize,
        options: Options,
        read: impl FnOnce(&HeaderMap, &[u8]) -> Result<Change, Problem>,
    ) -> Result<Self, Problem> {
        let body = bytes(body, bytes_max)?;
        let change = read(headers, &body)?;
        Ok(Self { change, condition: condition(headers)?, options, body })
    }

    /// What was sent, for findings to be shown in; the operations of a JSON patch lie elsewhere than their targets.
    pub(super) fn sent(&self, prefix: String) -> Sent {
        match self.change {
            Change::Put(_) | Change::Merge(_) => Sent { body: self.body.clone(), prefix },
            Change::Operations(_) | Change::Delete => Sent::default(),
        }
    }
}

impl ThingParams {
    pub(super) fn options(self, author: Author) -> Result<Options, Problem> {
        let reason = checked_reason(self.reason)?;
        Ok(Options { dry_run: self.dry_run, author: author.0, reason, trial: None })
    }
}

impl DocumentParams {
    pub(super) fn options(self, author: Author) -> Result<Options, Problem> {
        let reason = checked_reason(self.reason)?;
        let margin = margin(self.max_error_increase, self.max_p99_ratio)?;
        let trial = match self.confirm_within {
            Some(text) => Some(Wish { within: trial_time(&text)?, margin }),
            None if self.max_error_increase.is_some() || self.max_p99_ratio.is_some() => {
                return Err(bad_query("`max_error_increase` and `max_p99_ratio` need `confirm_within`"));
            }
            None => None,
        };
        Ok(Options { dry_run: self.dry_run, author: author.0, reason, trial })
    }
}

fn checked_reason(reason: Option<String>) -> Result<String, Problem> {
    let reason = reason.unwrap_or_default();
    if reason.chars().count() > REASON_CHARS_MAX {
        return Err(bad_query(format!("`reason` has at most {REASON_CHARS_MAX} characters")));
    }
    Ok(reason)
}

fn trial_time(text: &str) -> Result<Duration, Problem> {
    let within = parse_duration(text).map_err(|why| bad_query(format!("`confirm_within`: {why}")))?;
    if (TRIAL_MIN..=TRIAL_MAX).contains(&within) {
        Ok(within)
    } else {
        Err(bad_query("`confirm_within` lies between 5s and 1h"))
    }
}

fn margin(points: Option<f64>, ratio: Option<f64>) -> Result<Margin, Problem> {
    let default = Margin::default();
    let margin = Margin {
        error_points: points.unwrap_or(default.error_points),
        p99_ratio: ratio.unwrap_or(default.p99_ratio),
    };
    if !(0.0..=ERROR_POINTS_MAX).contains(&margin.error_points) {
        return Err(bad_query("`max_error_increase` lies between 0 and 100 percentage points"));
    }
    if !(1.0..=P99_RATIO_MAX).contains(&margin.p99_ratio) {
        return Err(bad_query("`max_p99_ratio` lies between 1 and 1000"));
    }
    Ok(margin)
}

/// The condition a request sets; one must be there.
pub(super) fn condition(headers: &HeaderMap) -> Result<Condition, Problem> {
    match condition_if_any(headers)? {
        Condition::None => {
            let detail = "send the `ETag` that you read as `If-Match`, or `If-None-Match: *` to make something new, so \
                          that nobody's change is lost";
            Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "precondition_required", detail))
        }
        condition @ (Condition::Match(_) | Condition::Exists | Condition::New) => Ok(condition),
    }
}

/// The condition a request sets, if it does.
pub(super) fn condition_if_any(headers: &HeaderMap) -> Result<Condition, Problem> {
    let (matches, none_match) = (tags(headers, &header::IF_MATCH)?, tags(headers, &header::IF_NONE_MATCH)?);
    match (matches, none_match) {
        (None, None) => Ok(Condition::None),
        (Some(tags), None) if tags == ["*"] => Ok(Condition::Exists),
        (Some(tags), None) => Ok(Condition::Match(tags)),
        (None, Some(tags)) if tags == ["*"] => Ok(Condition::New),
        (None, Some(_)) => {
            let detail = "a change understands `If-None-Match: *` only: make it if it is not there";
            Err(Problem::new(StatusCode::BAD_REQUEST, "bad_condition", detail))
        }
        (Some(_), Some(_)) => {
            let detail = "send `If-Match` or `If-None-Match`, not both";
            Err(Problem::new(StatusCode::BAD_REQUEST, "bad_condition", detail))
        }
    }
}

/// Whether the reader has this already.
pub(super) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let strong = |tag: &String| tag.strip_prefix("W/").unwrap_or(tag) == etag || tag == "*";
    tags(headers, &header::IF_NONE_MATCH).ok().flatten().is_some_and(|tags| tags.iter().any(strong))
}

/// The tags of a field, quotes and all. None of ours has a comma in it.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Vec<String>>, Problem> {
    let mut tags = Vec::new();
    for value in headers.get_all(name) {
        let text = value.to_str().map_err(|_| {
            Problem::new(StatusCode::BAD_REQUEST, "bad_condition", format!("`{name}` is not text"))
        })?;
        tags.extend(text.split(',').map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()));
    }
    Ok(if headers.contains_key(name) { Some(tags) } else { None })
}

/// The bytes of a body, within a bound.
pub(in super::super) fn bytes(
    body: Result<Bytes, BytesRejection>,
    bytes_max: usize,
) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("a body may have {bytes_max} bytes here");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    };
    match body {
        Ok(bytes) if bytes.len() > bytes_max => Err(too_large()),
        Ok(bytes) => Ok(bytes),
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(too_large()),
        Err(rejection) => Err(malformed(reason(&rejection.body_text()))),
    }
}

/// The media type of a body in lower case, without its parameters; empty if none is named.
fn media_type(headers: &HeaderMap) -> String {
    let named = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The whole value in a body, to be put in its place.
pub(super) fn whole(headers: &HeaderMap, body: &[u8]) -> Result<Change, Problem> {
    value(headers, body).map(Change::Put)
}

/// The value in a body of JSON, or of YAML if it says so.
pub(super) fn value(headers: &HeaderMap, body: &[u8]) -> Result<Value, Problem> {
    match media_type(headers).as_str() {
        JSON => json(body),
        YAML | "application/x-yaml" | "text/yaml" | "text/x-yaml" => yaml(body),
        other => Err(unsupported(other, &[JSON, YAML])),
    }
}

/// The value in a body that may also leave its type open; YAML has room for JSON.
pub(super) fn open_value(headers: &HeaderMap, body: &[u8]) -> Result<Value, Problem> {
    if media_type(headers) == JSON { json(body) } else { yaml(body) }
}

/// The patch in a body.
pub(super) fn patch(headers: &HeaderMap, body: &[u8]) -> Result<Change, Problem> {
    match media_type(headers).as_str() {
        MERGE_PATCH => json(body).map(Change::Merge),
        JSON_PATCH => {
            let patch = serde_json::from_value(json(body)?);
            patch.map(Change::Operations).map_err(|error| malformed(format!("not a JSON patch: {error}")))
        }
        other => Err(unsupported(other, &[MERGE_PATCH, JSON_PATCH])),
    }
}

fn json(body: &[u8]) -> Result<Value, Problem> {
    super::json::parse(body).map_err(|error| malformed(format!("not JSON: {error}")))
}

fn yaml(body: &[u8]) -> Result<Value, Problem> {
    let text = std::str::from_utf8(body).map_err(|error| malformed(format!("not UTF-8 text: {error}")))?;
    parse_value(REQUEST_BODY, text).map_err(|bad| {
        malformed("not YAML, or not of the kind that is used")
            .with_errors(findings(&bad.diagnostics, &bad.sources))
    })
}

/// Works on the configuration where waiting for it is allowed, if not too many wait already.
///
/// On a thread of its own, as a reload: the tree of ten thousand routes is large, and an allocator gives the memory of a
/// thread back when the thread is gone.
pub(super) async fn in_turn<T: Send + 'static>(
    operator: Arc<Operator>,
    work: impl FnOnce(&Operator) -> T + Send + 'static,
) -> Result<T, Problem> {
    let Some(place) = operator.revisions.place() else {
        let detail = "too many requests wait for the configuration; try again in a moment";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail));
    };
    let work = move || {
        let _place = place;
        let worked = std::thread::scope(|scope| scope.spawn(|| work(&operator)).join());
        worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    };
    blocking(work).await
}

fn malformed(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed_body", detail)
}

fn unsupported(found: &str, wanted: &[&str]) -> Problem {
    let found = if found.is_empty() { "no `Content-Type`".to_owned() } else { format!("`{found}`") };
    let detail = format!("the body comes with {found}; send {}", wanted.join(" or "));
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn with(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_change_needs_exactly_one_condition() {
        let of = |fields: &[(HeaderName, &'static str)]| condition(&with(fields)).map_err(|bad| bad.status());
        assert_eq!(of(&[]), Err(428));
        assert_eq!(of(&[(header::IF_MATCH, "*")]), Ok(Condition::Exists));
        assert_eq!(of(&[(header::IF_NONE_MATCH, "*")]), Ok(Condition::New));
        let tags = vec!["\"a\"".to_owned(), "W/\"b\"".to_owned()];
        assert_eq!(of(&[(header::IF_MATCH, "\"a\", W/\"b\"")]), Ok(Condition::Match(tags)));
        assert_eq!(of(&[(header::IF_NONE_MATCH, "\"a\"")]), Err(400));
        assert_eq!(of(&[(header::IF_MATCH, "*"), (header::IF_NONE_MATCH, "*")]), Err(400));
        // Names nothing, so nothing matches.
        assert_eq!(of(&[(header::IF_MATCH, "")]), Ok(Condition::Match(Vec::new())));
    }

    #[test]
    fn a_trial_has_its_bounds() {
        let asked = |within: &str, points, ratio| {
            let params = DocumentParams {
                confirm_within: Some(within.to_owned()),
                max_error_increase: points,
                max_p99_ratio: ratio,
                ..DocumentParams::default()
            };
            params
                .options(Author::default())
                .map(|options| options.trial.unwrap())
                .map_err(|bad| bad.status())
        };
        assert_eq!(asked("60s", None, None).unwrap().within, Duration::from_secs(60));
        assert!((asked("1h", Some(0.0), Some(1.0)).unwrap().margin.p99_ratio - 1.0).abs() < 1e-9);
        for (within, points, ratio) in [
            ("4s", None, None),
            ("61m", None, None),
            ("60", None, None),
            ("60s", Some(-1.0), None),
            ("60s", Some(f64::NAN), None),
            ("60s", None, Some(0.5)),
            ("60s", None, Some(f64::INFINITY)),
        ] {
            assert_eq!(asked(within, points, ratio), Err(400), "{within} {points:?} {ratio:?}");
        }
        let alone = DocumentParams { max_p99_ratio: Some(2.0), ..DocumentParams::default() };
        assert_eq!(alone.options(Author::default()).map_err(|bad| bad.status()).unwrap_err(), 400);
    }
}
