//! The user service: sign-up, login, and the keys by which others verify its tokens.
//!
//! `POST /users`, `POST /sessions`, `GET /users/me`, `GET /.well-known/jwks.json`. Whoever holds a
//! token has been let in by the gateway: `GET /users/me` trusts the `X-User-Id` it sets.

mod accounts;
mod keys;
mod passwords;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::problem::Problem;
use crate::server::{Service, Start, StartError};
use crate::store::Store;
use accounts::Accounts;
use keys::{Claims, SigningKey};
use passwords::Passwords;

/// Who issues the tokens; routes name it as the issuer they accept.
pub const ISSUER: &str = "https://users.shop.example";
/// Whom the tokens are for.
pub const AUDIENCE: &str = "shop";
/// How long a token is good for, in seconds.
const TOKEN_SECONDS: u64 = 900;
/// What every customer may do.
const SCOPES: [&str; 3] = ["profile", "orders:read", "orders:write"];
/// Bytes of a name or an address of mail.
const TEXT_BYTES_MAX: usize = 254;
/// Least characters of a password (NIST SP 800-63B asks for 8 where it is the only factor).
const PASSWORD_CHARS_MIN: usize = 8;
/// Most bytes of a password: hashing longer ones would be work an attacker asks for.
const PASSWORD_BYTES_MAX: usize = 256;

struct Users {
    accounts: Accounts,
    passwords: Passwords,
    key: SigningKey,
}

type Shared = State<Arc<Users>>;

/// The service's routes.
///
/// # Errors
/// When the database cannot be used, or its signing key cannot be read.
pub async fn build(start: &Start) -> Result<Service, StartError> {
    let settings = &start.settings;
    let store = Store::open(&settings.database("user"), accounts::MIGRATIONS).await?;
    Ok(Service::new(with_store(store, keys::load(&settings.data_dir)?)?))
}

fn with_store(store: Store, key: SigningKey) -> Result<Router, StartError> {
    let passwords = Passwords::new().map_err(|error| StartError::Key(error.to_string()))?;
    let users = Users { accounts: Accounts::new(store), passwords, key };
    Ok(Router::new()
        .route("/users", post(sign_up))
        .route("/users/me", get(me))
        .route("/sessions", post(log_in))
        .route("/.well-known/jwks.json", get(jwks))
        .with_state(Arc::new(users)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignUp {
    email: String,
    name: String,
    password: String,
}

async fn sign_up(
    State(users): Shared,
    body: Result<Json<SignUp>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let Json(SignUp { email, name, password }) = body?;
    check_sign_up(&email, &name, &password)?;
    let hash = users.passwords.hash(password).await.map_err(|error| Problem::internal(&error))?;
    let id = users.accounts.create(email.to_lowercase(), name, hash).await?;
    Ok((StatusCode::CREATED, Json(json!({ "id": id }))))
}

fn check_sign_up(email: &str, name: &str, password: &str) -> Result<(), Problem> {
    let (before, after) = email.split_once('@').unwrap_or_default();
    if before.is_empty()
        || !after.contains('.')
        || email.len() > TEXT_BYTES_MAX
        || email.contains(char::is_whitespace)
    {
        return Err(Problem::invalid("`email` is not an address such as ada@example.com"));
    }
    if name.trim().is_empty() || name.len() > TEXT_BYTES_MAX {
        return Err(Problem::invalid(format!("`name` needs 1 to {TEXT_BYTES_MAX} bytes")));
    }
    if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
        return Err(Problem::invalid(format!(
            "`password` needs {PASSWORD_CHARS_MIN} characters and at most {PASSWORD_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogIn {
    email: String,
    password: String,
    /// A narrower scope than the account has (RFC 6749 §3.3), space separated.
    scope: Option<String>,
}

async fn log_in(
    State(users): Shared,
    body: Result<Json<LogIn>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(LogIn { email, password, scope }) = body?;
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(wrong_credentials());
    }
    let scope = granted(scope.as_deref())?;
    let account = users.accounts.find(email.to_lowercase()).await?;
    // An unknown account costs the same time as a wrong password, so neither can be told from the other.
    let hash = account.as_ref().map(|account| account.password_hash.clone());
    let matches = users.passwords.verify(password, hash).await.map_err(|error| Problem::internal(&error))?;
    let account = account.filter(|_| matches).ok_or_else(wrong_credentials)?;
    let issued = now_seconds();
    let claims = Claims {
        iss: ISSUER,
        aud: AUDIENCE,
        sub: account.id,
        name: account.name,
        scope: scope.clone(),
        iat: issued,
        exp: issued + TOKEN_SECONDS,
    };
    let token = users.key.sign(&claims).map_err(|error| Problem::internal(&error))?;
    Ok(Json(
        json!({ "access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS, "scope": scope }),
    ))
}

fn wrong_credentials() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "wrong_credentials", "no account has this address and password")
}

/// The scope of the token: all of the account's, or the part that was asked for.
fn granted(asked: Option<&str>) -> Result<String, Problem> {
    let Some(asked) = asked else { return Ok(SCOPES.join(" ")) };
    match asked.split_whitespace().find(|scope| !SCOPES.contains(scope)) {
        Some(_) => Err(Problem::invalid(format!("`scope` knows {}", SCOPES.join(", ")))),
        None => Ok(asked.split_whitespace().collect::<Vec<_>>().join(" ")),
    }
}

async fn me(State(users): Shared, headers: HeaderMap) -> Result<Json<Value>, Problem> {
    let id = headers.get("x-user-id").and_then(|value| value.to_str().ok()).map(str::to_owned).ok_or_else(
        || Problem::new(StatusCode::UNAUTHORIZED, "no_identity", "the gateway names the user in X-User-Id"),
    )?;
    let account = users.accounts.by_id(id).await?.ok_or_else(|| Problem::not_found("no such user"))?;
    Ok(Json(json!({ "id": account.id, "email": account.email, "name": account.name })))
}

async fn jwks(State(users): Shared) -> Json<Value> {
    Json(json!({ "keys": [users.key.public_jwk()] }))
}

#[expect(clippy::disallowed_methods, reason = "a token says when it was issued")]
fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sign_up_lacks_is_named() {
        let detail = |email, name, password| check_sign_up(email, name, password).unwrap_err().detail;
        assert!(detail("ada", "Ada", "correct horse").contains("`email`"));
        assert!(detail("ada@example.com", " ", "correct horse").contains("`name`"));
        assert!(detail("ada@example.com", "Ada", "short").contains("`password`"));
        assert_eq!(check_sign_up("ada@example.com", "Ada", "correct horse"), Ok(()));
    }

    #[test]
    fn a_login_may_ask_for_less_but_not_for_more() {
        assert_eq!(granted(None).unwrap(), "profile orders:read orders:write");
        assert_eq!(granted(Some(" profile ")).unwrap(), "profile");
        assert!(granted(Some("profile admin")).is_err());
    }
}
