//! Refresh tokens: each is good for one use, which answers the next one of its family.
//!
//! A family begins with a login. A token that is used a second time has been copied, and nobody can tell by whom:
//! the whole family ends, and both have to log in. Only hashes are kept.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sqlx::Row;
use uuid::Uuid;

use super::REFRESH_LIFETIME;
use crate::clock;
use crate::problem::Problem;
use crate::store::{Store, StoreError, Tx};

/// Bytes of chance in a token.
const TOKEN_BYTES: usize = 32;
/// Characters of a token: its bytes in base64url.
const TOKEN_CHARS: usize = 43;
/// Families that are forgotten in one sweep.
const SWEPT_AT_ONCE: i64 = 500;

/// A login that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Family {
    id: String,
    pub(super) account_id: String,
    /// What the login asked for; none for everything.
    pub(super) scope: Option<String>,
}

/// What using a token came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Used {
    /// It was good, and is used up now.
    Good(Family),
    /// It was used before: its family has ended now. To be committed all the same.
    Again,
    /// It is unknown, expired, or of a family that has ended.
    Bad,
}

/// Refuses what cannot be a token of ours.
pub(super) fn require_shape(token: &str) -> Result<(), Problem> {
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if token.len() == TOKEN_CHARS && token.bytes().all(is_base64url) {
        return Ok(());
    }
    Err(Problem::invalid(format!("`refresh_token` is {TOKEN_CHARS} characters of base64url")))
}

/// Begins a family and answers its first token.
pub(super) async fn begin(
    tx: &mut Tx,
    account_id: &str,
    scope: Option<&str>,
    now_ms: i64,
) -> Result<String, Problem> {
    let id = Uuid::now_v7().to_string();
    let insert =
        sqlx::query("INSERT INTO families (id, account_id, scope, ends_at_ms) VALUES ($1, $2, $3, $4)");
    insert.bind(&id).bind(account_id).bind(scope).bind(expiry(now_ms)).execute(&mut **tx).await?;
    add(tx, &id, now_ms).await
}

/// The next token of a family.
pub(super) async fn next(tx: &mut Tx, family: &Family, now_ms: i64) -> Result<String, Problem> {
    let update = sqlx::query("UPDATE families SET ends_at_ms = $2 WHERE id = $1").bind(&family.id);
    update.bind(expiry(now_ms)).execute(&mut **tx).await?;
    add(tx, &family.id, now_ms).await
}

async fn add(tx: &mut Tx, family: &str, now_ms: i64) -> Result<String, Problem> {
    let token = new_token()?;
    let insert = sqlx::query("INSERT INTO refresh_tokens (hash, family, expires_at_ms) VALUES ($1, $2, $3)");
    insert.bind(hash(&token)).bind(family).bind(expiry(now_ms)).execute(&mut **tx).await?;
    Ok(token)
}

/// Uses a token up.
pub(super) async fn spend(tx: &mut Tx, token: &str, now_ms: i64) -> Result<Used, sqlx::Error> {
    // Whoever changes the row first has used it; the other waits here, and finds it used.
    let spend = "UPDATE refresh_tokens SET is_used = 1 WHERE hash = $1 AND is_used = 0 RETURNING family, expires_at_ms";
    let hash = hash(token);
    if let Some(row) = sqlx::query(spend).bind(&hash).fetch_optional(&mut **tx).await? {
        let (family, expires_at_ms): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        let query = "SELECT id, account_id, scope FROM families WHERE id = $1 AND is_revoked = 0";
        let family = sqlx::query(query).bind(family).fetch_optional(&mut **tx).await?;
        return match family.filter(|_| expires_at_ms > now_ms) {
            Some(row) => Ok(Used::Good(Family {
                id: row.try_get(0)?,
                account_id: row.try_get(1)?,
                scope: row.try_get(2)?,
            })),
            None => Ok(Used::Bad),
        };
    }
    Ok(if end(tx, &hash).await? { Used::Again } else { Used::Bad })
}

/// Ends the family of a token; whether there is one.
async fn end(tx: &mut Tx, hash: &str) -> Result<bool, sqlx::Error> {
    let update =
        "UPDATE families SET is_revoked = 1 WHERE id = (SELECT family FROM refresh_tokens WHERE hash = $1)";
    Ok(sqlx::query(update).bind(hash).execute(&mut **tx).await?.rows_affected() == 1)
}

/// Ends the family of a token, used or not.
pub(super) async fn revoke(store: &Store, token: &str) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    end(&mut tx, &hash(token)).await?;
    Ok(tx.commit().await?)
}

/// Forgets families that have ended with all their tokens, a bounded number.
pub(super) async fn sweep(store: &Store, now_ms: i64) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    let over = "SELECT id FROM families WHERE ends_at_ms <= $1 ORDER BY ends_at_ms LIMIT $2";
    let over: Vec<String> =
        sqlx::query_scalar(over).bind(now_ms).bind(SWEPT_AT_ONCE).fetch_all(&mut *tx).await?;
    for family in over {
        sqlx::query("DELETE FROM refresh_tokens WHERE family = $1").bind(&family).execute(&mut *tx).await?;
        sqlx::query("DELETE FROM families WHERE id = $1").bind(&family).execute(&mut *tx).await?;
    }
    Ok(tx.commit().await?)
}

fn expiry(now_ms: i64) -> i64 {
    now_ms.saturating_add(clock::as_ms(REFRESH_LIFETIME))
}

fn new_token() -> Result<String, Problem> {
    let mut bytes = [0; TOKEN_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| {
        tracing::error!("the machine has no chance left");
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "no token could be made; see the service's log",
        )
    })?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// What is kept of a token. It is chance through and through, so one plain hash is enough.
fn hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_never_the_same_and_have_the_shape_they_are_checked_for() {
        let (first, second) = (new_token().unwrap(), new_token().unwrap());
        assert_ne!(first, second);
        assert_eq!(require_shape(&first), Ok(()));
        assert_ne!(hash(&first), first);
        for wrong in ["", "x", &first[1..], &format!("{}=", &first[1..]), &format!("{}\0", &first[1..])] {
            assert!(require_shape(wrong).is_err(), "{wrong:?}");
        }
    }
}
