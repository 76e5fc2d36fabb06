//! Logging in, staying logged in, logging out.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accounts::{self, Account};
use super::keys::Claims;
use super::lockout::{self, Locked};
use super::people::{PASSWORD_CHARS_MAX, require_email};
use super::refresh::{self, Used};
use super::roles::{self, NotGranted};
use super::{AUDIENCE, ISSUER, REFRESH_LIFETIME, Shared, TOKEN_LIFETIME, Users};
use crate::problem::{BodyProblems, Problem, ProblemBody};
use crate::store::Tx;

/// Who wants in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogIn {
    #[schema(min_length = 5, max_length = 254, pattern = "^[!-?A-~]+@[A-Za-z0-9-]+([.][A-Za-z0-9-]+)+$")]
    email: String,
    #[schema(max_length = 128)]
    password: String,
    /// A narrower scope than the account has (RFC 6749 §3.3), separated by single spaces
    #[schema(
        pattern = "^(profile|orders:read|orders:write|products:write|payments:read|users:write|events:replay)\
                        ( (profile|orders:read|orders:write|products:write|payments:read|users:write|events:replay))*$"
    )]
    scope: Option<String>,
}

/// A token that a session goes on with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RefreshToken {
    #[schema(min_length = 43, max_length = 43, pattern = "^[A-Za-z0-9_-]{43}$")]
    refresh_token: String,
}

/// A session.
#[derive(Serialize, ToSchema)]
pub(super) struct Session {
    /// For `Authorization: Bearer`
    access_token: String,
    /// Always `Bearer`
    token_type: &'static str,
    /// Seconds that the access token is good for
    expires_in: u64,
    /// For one use at `/sessions/refresh`
    refresh_token: String,
    /// Seconds that the refresh token is good for
    refresh_expires_in: u64,
    /// What the access token allows
    scope: String,
}

/// A session is for whoever asked, not for a cache on the way (RFC 6749 §5.1).
impl IntoResponse for Session {
    fn into_response(self) -> Response {
        ([(header::CACHE_CONTROL, "no-store")], Json(self)).into_response()
    }
}

/// Logs in
#[utoipa::path(post, path = "/sessions", request_body = LogIn, responses(
    (status = 200, body = Session),
    (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "`wrong_credentials`"),
    (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "`scope_not_granted`"),
    (status = 429, body = ProblemBody, content_type = "application/problem+json",
     description = "`too_many_attempts` on this account", headers(("retry-after" = u64, description = "seconds"))),
    BodyProblems,
))]
pub(super) async fn log_in(
    State(users): Shared,
    body: Result<Json<LogIn>, JsonRejection>,
) -> Result<Session, Problem> {
    let Json(LogIn { email, password, scope }) = body?;
    require_email(&email)?;
    if password.chars().count() > PASSWORD_CHARS_MAX {
        return Err(Problem::invalid(format!("`password` has at most {PASSWORD_CHARS_MAX} characters")));
    }
    scope.as_deref().map_or(Ok(()), roles::require_known).map_err(not_granted)?;
    let (email, now_ms) = (email.to_lowercase(), users.clock.now_ms());
    lockout::begin(&users.store, &email, now_ms).await?.map_err(locked)?;
    let mut tx = users.store.read().await?;
    let account = accounts::by_email(&mut tx, &email).await?;
    drop(tx);
    // An unknown account costs the same time as a wrong password, so neither can be told from the other.
    let hash = account.as_ref().map(|account| account.password_hash.clone());
    let matches = users.passwords.verify(password, hash).await.map_err(|error| Problem::internal(&error))?;
    let account = account.filter(|_| matches).ok_or_else(wrong_credentials)?;
    let granted = account.role.grant(scope.as_deref()).map_err(not_granted)?;
    let mut tx = users.store.begin().await?;
    lockout::succeeded(&mut tx, &email).await?;
    let refresh_token = refresh::begin(&mut tx, &account.id, scope.as_deref(), now_ms).await?;
    let session = session(&users, &mut tx, account, granted, refresh_token).await?;
    tx.commit().await?;
    Ok(session)
}

/// Goes on with a session: a new access token, and the next refresh token
#[utoipa::path(post, path = "/sessions/refresh", request_body = RefreshToken, responses(
    (status = 200, body = Session),
    (status = 401, body = ProblemBody, content_type = "application/problem+json",
     description = "`bad_refresh_token`, or `refresh_token_reused`, which ends the session everywhere"),
    BodyProblems,
))]
pub(super) async fn refresh(
    State(users): Shared,
    body: Result<Json<RefreshToken>, JsonRejection>,
) -> Result<Session, Problem> {
    let Json(RefreshToken { refresh_token }) = body?;
    refresh::require_shape(&refresh_token)?;
    let now_ms = users.clock.now_ms();
    let mut tx = users.store.begin().await?;
    let family = match refresh::spend(&mut tx, &refresh_token, now_ms).await? {
        Used::Good(family) => family,
        Used::Again => {
            tx.commit().await?;
            tracing::warn!("a refresh token was used twice; its session has ended");
            let detail = "this token was used before, so the session has ended everywhere; log in again";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "refresh_token_reused", detail));
        }
        Used::Bad => return Err(bad_refresh_token()),
    };
    let account = accounts::by_id(&mut tx, &family.account_id).await?.ok_or_else(bad_refresh_token)?;
    let granted = account.role.narrow(family.scope.as_deref());
    let refresh_token = refresh::next(&mut tx, &family, now_ms).await?;
    let session = session(&users, &mut tx, account, granted, refresh_token).await?;
    tx.commit().await?;
    Ok(session)
}

/// Logs out: the refresh token and all of its session are good for nothing any more
#[utoipa::path(post, path = "/sessions/revoke", request_body = RefreshToken, responses(
    (status = 204, description = "whatever the token was, it is good for nothing now"),
    BodyProblems,
))]
pub(super) async fn revoke(
    State(users): Shared,
    body: Result<Json<RefreshToken>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let Json(RefreshToken { refresh_token }) = body?;
    refresh::require_shape(&refresh_token)?;
    refresh::revoke(&users.store, &refresh_token).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn session(
    users: &Users,
    tx: &mut Tx,
    account: Account,
    scope: String,
    refresh_token: String,
) -> Result<Session, Problem> {
    let now_ms = users.clock.now_ms();
    let issued = now_ms / 1000;
    let claims = Claims {
        iss: ISSUER,
        aud: AUDIENCE,
        sub: account.id,
        name: account.name,
        role: account.role.as_str(),
        scope: scope.clone(),
        iat: issued,
        exp: issued.saturating_add_unsigned(TOKEN_LIFETIME.as_secs()),
    };
    let access_token = users.keys.sign(tx, &claims, now_ms).await?;
    Ok(Session {
        access_token,
        token_type: "Bearer",
        expires_in: TOKEN_LIFETIME.as_secs(),
        refresh_token,
        refresh_expires_in: REFRESH_LIFETIME.as_secs(),
        scope,
    })
}

fn locked(Locked(left): Locked) -> Problem {
    let detail = "too many wrong passwords for this account; try again later";
    let seconds = left.as_millis().div_ceil(1000);
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", detail)
        .after_seconds(u64::try_from(seconds).unwrap_or(u64::MAX).max(1))
}

fn wrong_credentials() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "wrong_credentials", "no account has this address and password")
}

fn bad_refresh_token() -> Problem {
    let detail = "this token is unknown or expired, or its session has ended; log in again";
    Problem::new(StatusCode::UNAUTHORIZED, "bad_refresh_token", detail)
}

fn not_granted(why: NotGranted) -> Problem {
    match why {
        NotGranted::Unknown => {
            Problem::invalid(format!("`scope` is a list, separated by single spaces, of {}", roles::known()))
        }
        NotGranted::NotForRole => {
            let detail =
                "`scope` asks for more than this account's role allows; leave it out for all that it does";
            Problem::new(StatusCode::FORBIDDEN, "scope_not_granted", detail)
        }
    }
}
