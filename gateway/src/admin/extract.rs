//! What handlers take from a request, with a problem document for what cannot be read.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts};
use axum::http::StatusCode;

use super::problem::Problem;

/// What the framework puts in front of what is wrong; the problem's code says it already.
const PREAMBLES: [&str; 5] = [
    "Failed to deserialize query string: ",
    "Failed to deserialize the JSON body into the target type: ",
    "Failed to parse the request body as JSON: ",
    "Failed to buffer the request body: ",
    "Invalid URL: ",
];

/// What is wrong, in the words of a rejection.
pub(super) fn reason(text: &str) -> String {
    PREAMBLES.iter().find_map(|preamble| text.strip_prefix(preamble)).unwrap_or(text).to_owned()
}

/// Whether a query is text once its percent signs are read: a part of it that is not would be looked for as something
/// else than what was meant.
pub(super) fn is_text(query: &str) -> bool {
    let mut decoded = Vec::with_capacity(query.len());
    let mut bytes = query.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => decoded.extend(u8::try_from(high << 4 | low)),
            _ => return false,
        }
    }
    std::str::from_utf8(&decoded).is_ok()
}

/// The body as JSON.
#[derive(Debug, FromRequest)]
#[from_request(via(axum::Json), rejection(Problem))]
pub(super) struct Body<T>(pub(super) T);

/// The query.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub(super) struct Query<T>(pub(super) T);

/// The parameters of the path.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub(super) struct Path<T>(pub(super) T);

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        let code = match rejection.status() {
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "not_json",
            StatusCode::UNPROCESSABLE_ENTITY => "bad_body",
            _ => "malformed_body",
        };
        Self::new(rejection.status(), code, reason(&rejection.body_text()))
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_query", reason(&rejection.body_text()))
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_path", reason(&rejection.body_text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_that_is_no_text_is_told_from_one_that_is() {
        for text in ["", "filter=%C3%A9+x", "filter=é", "a=%25&b=%2f%2F", "a"] {
            assert!(is_text(text), "{text}");
        }
        for other in ["filter=%FF", "a=%", "a=%2", "a=%zz", "a=%+1", "a=%C3", "%C3=%A9x"] {
            assert!(!is_text(other), "{other}");
        }
    }
}
