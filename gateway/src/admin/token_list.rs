//! `GET /tokens`, `POST /tokens`, `DELETE /tokens/{name}`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use portcullis_schema::{Name, parse_duration};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::blocking;
use super::extract::{Body, Path, Query};
use super::page::{Page, Paging};
use super::problem::Problem;
use super::roles::Role;
use super::tokens::{Known, MADE_MAX, Origin, Unchanged};
use crate::clock;
use crate::operator::Operator;

/// A token that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// Letters, digits, `_`, `-` and `.`; no other token may have it.
    #[schema(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    name: String,
    role: Role,
    /// How long it opens anything, such as `12h` or `30d`; for ever if absent.
    #[schema(pattern = "^[0-9]+(ms|s|m|h|d)$")]
    expires_in: Option<String>,
}

/// A token that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MadeToken {
    /// The token itself. It is shown this once; only its digest is kept.
    token: String,
    #[serde(flatten)]
    shown: TokenStatus,
}

/// A token without its text.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenStatus {
    name: String,
    role: Role,
    origin: Origin,
    /// RFC 3339, UTC; of tokens made here.
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    /// RFC 3339, UTC; absent if it lasts for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

/// Every token without its text
#[utoipa::path(
    get,
    path = "/api/v1/tokens",
    params(Paging),
    responses((status = 200, body = Page<TokenStatus>), (status = 400, body = Problem))
)]
pub(super) async fn list(
    State(operator): State<Arc<Operator>>,
    Query(paging): Query<Paging>,
    uri: Uri,
) -> Result<Response, Problem> {
    let known = operator.tokens.list().into_iter();
    let wanted = known.filter(|known| paging.wants([&*known.name, known.role.as_str()]));
    paging.page(&uri, wanted.map(|known| (known.name.to_string(), known)).collect(), show)
}

/// Makes a token; it is shown this once
#[utoipa::path(
    post,
    path = "/api/v1/tokens",
    request_body = NewToken,
    responses(
        (status = 201, body = MadeToken, headers(("Location" = String, description = "where it can be removed"))),
        (status = 400, body = Problem),
        (status = 409, body = Problem),
        (status = 415, body = Problem),
        (status = 422, body = Problem),
        (status = 500, body = Problem)
    )
)]
pub(super) async fn make(
    State(operator): State<Arc<Operator>>,
    Body(wanted): Body<NewToken>,
) -> Result<Response, Problem> {
    let bad = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_body", detail);
    let name = Name::parse(&wanted.name).map_err(|why| bad(format!("`name`: {why}")))?;
    let lasts = wanted.expires_in.as_deref().map(parse_duration).transpose();
    let lasts: Option<Duration> = lasts.map_err(|why| bad(format!("`expires_in`: {why}")))?;
    if lasts == Some(Duration::ZERO) {
        return Err(bad("`expires_in`: a token that ends at once opens nothing".to_owned()));
    }
    let made = blocking(move || operator.tokens.make(name.shared(), wanted.role, lasts)).await?;
    let (token, known) = made.map_err(|why| unchanged(&why, &wanted.name))?;
    let location = HeaderValue::from_str(&format!("/api/v1/tokens/{}", known.name));
    let mut response = (StatusCode::CREATED, Json(MadeToken { token, shown: show(known) })).into_response();
    // A name is letters, digits and three marks, so it always is a header's value.
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Forgets a token that was made here; it opens nothing from now on
#[utoipa::path(
    delete,
    path = "/api/v1/tokens/{name}",
    params(("name" = String, Path, description = "the token's name")),
    responses(
        (status = 204, description = "it opens nothing any more"),
        (status = 404, body = Problem),
        (status = 409, body = Problem),
        (status = 500, body = Problem)
    )
)]
pub(super) async fn remove(
    State(operator): State<Arc<Operator>>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let theirs = name.clone();
    let removed = blocking(move || operator.tokens.remove(&theirs)).await?;
    removed.map(|()| StatusCode::NO_CONTENT).map_err(|why| unchanged(&why, &name))
}

fn show(known: Known) -> TokenStatus {
    let at = |seconds: u64| clock::rfc3339(Duration::from_secs(seconds));
    TokenStatus {
        name: known.name.to_string(),
        role: known.role,
        origin: known.origin,
        created: known.created.map(at),
        expires: known.expires.map(at),
    }
}

fn unchanged(why: &Unchanged, name: &str) -> Problem {
    let conflict = |code, detail: String| Problem::new(StatusCode::CONFLICT, code, detail);
    match why {
        Unchanged::Taken => {
            conflict("token_exists", format!("there is a token `{name}`; remove it first, or choose another name"))
        }
        Unchanged::Full => {
            conflict("too_many_tokens", format!("{MADE_MAX} tokens are kept already; remove one first"))
        }
        Unchanged::Unknown => {
            Problem::new(StatusCode::NOT_FOUND, "unknown_token", format!("there is no token `{name}`"))
        }
        Unchanged::NotMade(Origin::Configuration) => {
            conflict("token_not_made", format!("`{name}` is in `admin.tokens` of the configuration; remove it there"))
        }
        Unchanged::NotMade(Origin::Generated | Origin::Made) => conflict(
            "token_not_made",
            "the generated token is in `admin-token` in the state directory; delete the file and restart for a new one"
                .to_owned(),
        ),
        Unchanged::Io(error) => {
            let detail = format!("nothing was changed, the tokens' file cannot be written: {error}");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "state_unwritable", detail)
        }
    }
}
