//! The ES256 keys that sign tokens, in the database: every instance signs with the same one.
//!
//! They are read at each use, so no instance signs with, or publishes, what another has replaced. The private
//! halves are as safe as the database is: a file for its owner only, or a server's access rules.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use sqlx::Row;
use utoipa::ToSchema;

use super::Shared;
use super::rotation::{Times, Turn, forced, plan, signing};
use crate::identity::Identity;
use crate::problem::{IdentityProblems, Problem, ProblemBody};
use crate::store::{Store, Tx};

/// Keys published at the same time; more are not made by hand.
const KEYS_MAX: usize = 32;
/// The scope of a token that may rotate the keys.
const ROTATE: &str = "users:write";

/// What a token says.
#[derive(Debug, Serialize)]
pub(super) struct Claims {
    pub(super) iss: &'static str,
    pub(super) aud: &'static str,
    pub(super) sub: String,
    pub(super) name: String,
    pub(super) role: &'static str,
    pub(super) scope: String,
    pub(super) iat: i64,
    pub(super) exp: i64,
}

/// The keys of the service.
#[derive(Debug)]
pub(super) struct Keys {
    store: Store,
    times: Times,
}

struct Key {
    turn: Turn,
    pkcs8: Vec<u8>,
}

/// The public half of a key (RFC 7517).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
struct Jwk {
    kty: &'static str,
    crv: &'static str,
    alg: &'static str,
    r#use: &'static str,
    kid: String,
    x: String,
    y: String,
}

/// The keys that tokens may be signed with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Jwks {
    keys: Vec<Jwk>,
}

/// The key that signs next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Next {
    /// Its id
    kid: String,
    /// From when on it signs, in milliseconds since 1970
    signs_from_ms: i64,
}

/// The keys that tokens may be signed with, now and soon
#[utoipa::path(get, path = "/.well-known/jwks.json", responses(
    (status = 200, body = Jwks),
    (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "the database does not answer just now"),
))]
pub(super) async fn jwks(State(users): Shared) -> Result<impl IntoResponse, Problem> {
    let mut tx = users.store.read().await?;
    let keys = read(&mut tx).await?.iter().map(|key| jwk(&key.pkcs8)).collect::<Result<_, _>>()?;
    Ok(([(header::CACHE_CONTROL, "max-age=60")], Json(Jwks { keys })))
}

/// Publishes a new key that signs after the lead time; staff with the scope `users:write`
#[utoipa::path(post, path = "/keys/rotate", responses(
    (status = 201, body = Next, description = "the new key"),
    (status = 200, body = Next, description = "a key is published already that does not sign yet"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`too_many_keys`"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "the database does not answer just now"),
    IdentityProblems,
))]
pub(super) async fn rotate(
    State(users): Shared,
    identity: Identity,
) -> Result<(StatusCode, Json<Next>), Problem> {
    identity.require_staff(ROTATE)?;
    let (is_new, next) = users.keys.rotate(users.clock.now_ms()).await?;
    tracing::info!(kid = next.kid, by = %identity.user, is_new, "keys rotated");
    Ok((if is_new { StatusCode::CREATED } else { StatusCode::OK }, Json(next)))
}

impl Keys {
    pub(super) const fn new(store: Store, times: Times) -> Self {
        Self { store, times }
    }

    /// How often [`Keys::tend`] has to be called for keys to be published in time.
    pub(super) fn tend_every(&self) -> Duration {
        Duration::from_millis((self.times.lead_ms / 4).max(100).unsigned_abs())
    }

    /// Makes the key that is due and forgets those that are over.
    pub(super) async fn tend(&self, now_ms: i64) -> Result<(), Problem> {
        let mut tx = self.store.read().await?;
        let planned = plan(now_ms, &turns(&mut tx).await?, self.times);
        drop(tx);
        if planned.make.is_none() && planned.forget.is_empty() {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        if let Some(turn) = planned.make {
            insert(&mut tx, turn).await?;
        }
        for generation in planned.forget {
            let delete = sqlx::query("DELETE FROM signing_keys WHERE generation = $1").bind(generation);
            delete.execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn rotate(&self, now_ms: i64) -> Result<(bool, Next), Problem> {
        let mut tx = self.store.begin().await?;
        let turns = turns(&mut tx).await?;
        if turns.len() >= KEYS_MAX {
            let detail = "too many keys are published; the oldest go as soon as their tokens have expired";
            return Err(Problem::conflict("too_many_keys", detail));
        }
        let is_new = match forced(now_ms, &turns, self.times) {
            // Another instance may be faster: then its key is the one.
            Some(turn) => insert(&mut tx, turn).await?,
            None => false,
        };
        let newest = read(&mut tx).await?.pop().ok_or_else(|| unusable("there is none"))?;
        tx.commit().await?;
        Ok((is_new, Next { kid: jwk(&newest.pkcs8)?.kid, signs_from_ms: newest.turn.signs_from_ms }))
    }

    /// Signs a token with the key whose turn it is.
    pub(super) async fn sign(&self, tx: &mut Tx, claims: &Claims, now_ms: i64) -> Result<String, Problem> {
        let keys = read(tx).await?;
        let turns: Vec<Turn> = keys.iter().map(|key| key.turn).collect();
        let turn = signing(now_ms, &turns).ok_or_else(|| unusable("there is none"))?;
        let key = keys.iter().find(|key| key.turn == turn).ok_or_else(|| unusable("there is none"))?;
        let header = Header { kid: Some(jwk(&key.pkcs8)?.kid), ..Header::new(Algorithm::ES256) };
        let private = EncodingKey::from_ec_der(&key.pkcs8);
        jsonwebtoken::encode(&header, claims, &private).map_err(|error| Problem::internal(&error))
    }
}

/// Whether this is now the key of its generation; if another instance was faster, its key is.
async fn insert(tx: &mut Tx, turn: Turn) -> Result<bool, Problem> {
    let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .map_err(|_| unusable("none could be made"))?;
    let insert = "INSERT INTO signing_keys (generation, private_key, signs_from_ms) VALUES ($1, $2, $3) \
                  ON CONFLICT (generation) DO NOTHING";
    let insert = sqlx::query(insert)
        .bind(turn.generation)
        .bind(URL_SAFE_NO_PAD.encode(made.as_ref()))
        .bind(turn.signs_from_ms);
    Ok(insert.execute(&mut **tx).await?.rows_affected() == 1)
}

async fn turns(tx: &mut Tx) -> Result<Vec<Turn>, sqlx::Error> {
    let query = sqlx::query("SELECT generation, signs_from_ms FROM signing_keys ORDER BY generation");
    let rows = query.fetch_all(&mut **tx).await?;
    rows.iter().map(|row| Ok(Turn { generation: row.try_get(0)?, signs_from_ms: row.try_get(1)? })).collect()
}

async fn read(tx: &mut Tx) -> Result<Vec<Key>, Problem> {
    let query = "SELECT generation, signs_from_ms, private_key FROM signing_keys ORDER BY generation";
    let mut keys = Vec::new();
    for row in sqlx::query(query).fetch_all(&mut **tx).await? {
        let text: String = row.try_get(2)?;
        let pkcs8 = URL_SAFE_NO_PAD.decode(text).map_err(|_| unusable("it is not base64url"))?;
        keys.push(Key { turn: Turn { generation: row.try_get(0)?, signs_from_ms: row.try_get(1)? }, pkcs8 });
    }
    Ok(keys)
}

fn jwk(pkcs8: &[u8]) -> Result<Jwk, Problem> {
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
        .map_err(|_| unusable("it is not a P-256 key in PKCS #8"))?;
    // An uncompressed point: 4, then x and y of 32 bytes each (SEC 1, §2.3.3).
    let [4, point @ ..] = pair.public_key().as_ref() else {
        return Err(unusable("its public half is compressed"));
    };
    let (x, y) = point.split_at(point.len() / 2);
    let [kid, x, y] = [digest(&SHA256, point).as_ref(), x, y].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
    Ok(Jwk { kty: "EC", crv: "P-256", alg: "ES256", r#use: "sig", kid, x, y })
}

fn unusable(why: &'static str) -> Problem {
    tracing::error!(why, "a signing key cannot be used");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the service cannot sign tokens; see its log")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::databases;
    use crate::user::MIGRATIONS;

    const TIMES: Times = Times { rotation_ms: 1000, lead_ms: 100, kept_ms: 200 };

    async fn kids(store: &Store) -> Vec<String> {
        let mut tx = store.read().await.unwrap();
        read(&mut tx).await.unwrap().iter().map(|key| jwk(&key.pkcs8).unwrap().kid).collect()
    }

    #[tokio::test]
    async fn instances_that_start_at_once_agree_on_the_first_key() {
        for database in databases::each().await {
            let (first, second) = (database.open(MIGRATIONS).await, database.open(MIGRATIONS).await);
            let (first_keys, second_keys) =
                (Keys::new(first.clone(), TIMES), Keys::new(second.clone(), TIMES));
            let (a, b) = tokio::join!(first_keys.tend(5000), second_keys.tend(5000));
            assert_eq!((a, b), (Ok(()), Ok(())));
            assert_eq!(kids(&first).await.len(), 1);
            assert_eq!(kids(&first).await, kids(&second).await);
        }
    }

    #[tokio::test]
    async fn two_keys_are_published_while_a_rotation_lasts() {
        for database in databases::each().await {
            let store = database.open(MIGRATIONS).await;
            let keys = Keys::new(store.clone(), TIMES);
            let mut published = Vec::new();
            for now_ms in [5000, 5900, 6000, 6200] {
                keys.tend(now_ms).await.unwrap();
                published.push(kids(&store).await.len());
            }
            assert_eq!(published, [1, 2, 2, 1]);
        }
    }

    #[tokio::test]
    async fn a_rotation_by_hand_twice_makes_one_key() {
        for database in databases::each().await {
            let store = database.open(MIGRATIONS).await;
            let keys = Keys::new(store.clone(), TIMES);
            keys.tend(5000).await.unwrap();
            let (a, b) = tokio::join!(keys.rotate(5100), keys.rotate(5100));
            let (a, b) = (a.unwrap(), b.unwrap());
            assert_eq!(u8::from(a.0) + u8::from(b.0), 1);
            assert_eq!((a.1, kids(&store).await.len()), (b.1, 2));
        }
    }
}
