//! The user service: accounts, sessions, roles, and the keys by which others verify its tokens.
//!
//! It answers who somebody is; what they may do is in the token, and the gateway enforces it. Whoever holds a
//! token has been let in by the gateway: what it says in `X-User-Id` is believed.

mod accounts;
mod keys;
mod lockout;
mod passwords;
mod people;
mod refresh;
mod roles;
mod rotation;
mod sessions;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::clock::{self, Clock};
use crate::problem::Problem;
use crate::server::{Service, Start, StartError};
use crate::settings::{BadSetting, Variables};
use crate::store::Store;
use keys::Keys;
use passwords::Passwords;
use rotation::Times;

/// Who issues the tokens; routes name it as the issuer they accept.
pub const ISSUER: &str = "https://users.shop.example";
/// Whom the tokens are for.
pub const AUDIENCE: &str = "shop";
/// How long an access token is good for.
const TOKEN_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// How long a refresh token is good for if it is not used.
const REFRESH_LIFETIME: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// What a gateway may allow for clocks that differ; a key is published that much longer than its tokens live.
const LEEWAY: Duration = Duration::from_secs(300);
/// How long a key signs, unless `KEY_ROTATION` says otherwise; and the least it may say, so that the keys that are
/// published at the same time stay few.
const KEY_ROTATION: Duration = Duration::from_secs(24 * 60 * 60);
const KEY_ROTATION_MIN: Duration = Duration::from_secs(60);
/// How long a key is published before it signs, unless `KEY_LEAD` says otherwise. The gateway reads the keys every
/// five minutes: twice that, so that even after a failed read it knows a key before the first token signed with it.
const KEY_LEAD: Duration = Duration::from_secs(10 * 60);
/// How often keys are looked at and what is over is swept away.
const TEND_EVERY: Duration = Duration::from_secs(30);

const MIGRATIONS: &[&str] = &["
    CREATE TABLE accounts (
        id TEXT PRIMARY KEY,
        email TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        password_hash TEXT NOT NULL,
        role TEXT NOT NULL CHECK (role IN ('customer', 'staff'))
    );
    CREATE INDEX accounts_by_role ON accounts (role);
    CREATE TABLE role_changes (id BIGINT PRIMARY KEY, n BIGINT NOT NULL);
    INSERT INTO role_changes VALUES (1, 0);
    CREATE TABLE families (
        id TEXT PRIMARY KEY,
        account_id TEXT NOT NULL REFERENCES accounts (id),
        scope TEXT,
        is_revoked BIGINT NOT NULL DEFAULT 0,
        ends_at_ms BIGINT NOT NULL
    );
    CREATE INDEX families_by_end ON families (ends_at_ms);
    CREATE TABLE refresh_tokens (
        hash TEXT PRIMARY KEY,
        family TEXT NOT NULL REFERENCES families (id),
        is_used BIGINT NOT NULL DEFAULT 0,
        expires_at_ms BIGINT NOT NULL
    );
    CREATE INDEX refresh_tokens_of_family ON refresh_tokens (family);
    CREATE TABLE login_attempts (
        email TEXT PRIMARY KEY,
        n_failed BIGINT NOT NULL,
        last_ms BIGINT NOT NULL,
        locked_until_ms BIGINT NOT NULL
    );
    CREATE INDEX login_attempts_by_time ON login_attempts (last_ms);
    CREATE TABLE signing_keys (
        generation BIGINT PRIMARY KEY,
        private_key TEXT NOT NULL,
        signs_from_ms BIGINT NOT NULL
    );
"];

/// What every handler works with.
#[derive(Debug)]
struct Users {
    store: Store,
    clock: Clock,
    passwords: Passwords,
    keys: Keys,
    staff_email: Option<String>,
}

type Shared = axum::extract::State<Arc<Users>>;

#[derive(OpenApi)]
#[openapi(info(
    title = "User service",
    description = "Accounts, sessions, roles and signing keys. Behind the gateway: `X-User-Id`, `X-User-Role` and \
                   `X-Scopes` say who asks. Errors are `application/problem+json` (RFC 9457)."
))]
struct Api;

/// The service, built.
///
/// # Errors
/// When a setting, the database or a signing key cannot be used.
pub async fn build(start: &Start) -> Result<Service, StartError> {
    let times = times(&start.settings.variables)?;
    let store = Store::open(&start.settings.database("user"), MIGRATIONS).await?;
    let staff_email = start.settings.variables.text("STAFF_EMAIL").map(|email| email.to_lowercase());
    let users = Users::new(store, Clock::default(), times, staff_email)?;
    users.keys.tend(users.clock.now_ms()).await.map_err(|error| StartError::Key(error.detail))?;
    let users = Arc::new(users);
    let tending = tend(users.clone(), start.stopping.clone());
    Ok(Service::new(router(users)).with_background(tending))
}

fn times(variables: &Variables) -> Result<Times, BadSetting> {
    let rotation = variables.duration("KEY_ROTATION")?.unwrap_or(KEY_ROTATION);
    if rotation < KEY_ROTATION_MIN {
        let value = variables.text("KEY_ROTATION").unwrap_or_default();
        return Err(BadSetting { name: "KEY_ROTATION", value, expected: "at least 60s" });
    }
    let lead = variables.duration("KEY_LEAD")?.unwrap_or(KEY_LEAD.min(rotation / 2));
    if lead >= rotation {
        let expected = "shorter than KEY_ROTATION: a key is published before it signs";
        let value = variables.text("KEY_LEAD").unwrap_or_default();
        return Err(BadSetting { name: "KEY_LEAD", value, expected });
    }
    let [rotation_ms, lead_ms, kept_ms] = [rotation, lead, TOKEN_LIFETIME + LEEWAY].map(clock::as_ms);
    Ok(Times { rotation_ms, lead_ms, kept_ms })
}

impl Users {
    fn new(
        store: Store,
        clock: Clock,
        times: Times,
        staff_email: Option<String>,
    ) -> Result<Self, StartError> {
        let passwords = Passwords::new().map_err(|error| StartError::Key(error.to_string()))?;
        Ok(Self { keys: Keys::new(store.clone(), times), store, clock, passwords, staff_email })
    }
}

fn router(users: Arc<Users>) -> OpenApiRouter {
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(people::list, people::sign_up))
        .routes(routes!(people::me))
        .routes(routes!(people::set_role))
        .routes(routes!(sessions::log_in))
        .routes(routes!(sessions::refresh))
        .routes(routes!(sessions::revoke))
        .routes(routes!(keys::jwks))
        .routes(routes!(keys::rotate))
        .with_state(users)
}

/// Rotates keys and sweeps away what is over, until the service stops.
async fn tend(users: Arc<Users>, mut stopping: watch::Receiver<bool>) {
    let every = TEND_EVERY.min(users.keys.tend_every());
    while !*stopping.borrow() {
        if let Err(problem) = tend_once(&users).await {
            tracing::warn!(code = problem.code, "keys and sessions could not be looked after; trying on");
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            changed = stopping.changed() => if changed.is_err() { break },
        }
    }
}

async fn tend_once(users: &Users) -> Result<(), Problem> {
    let now_ms = users.clock.now_ms();
    users.keys.tend(now_ms).await?;
    refresh::sweep(&users.store, now_ms).await?;
    lockout::sweep(&users.store, now_ms).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
