//! Events that no repetition could make take effect, kept until people decide.
//!
//! A key with a dead letter takes nothing more: what arrives for it waits behind, so that a replay
//! finds everything in order. [`desk`](super::desk) is where people look at them.

use std::fmt;

use uuid::Uuid;

use super::{BadEvent, EVENT_BYTES_MAX, Event};
use crate::clock;
use crate::store::{Store, StoreError, Tx};

/// The table of dead letters.
pub(super) const MIGRATION: &str = "
    CREATE TABLE dead_letters (
        seq {{serial}},
        id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        body TEXT NOT NULL,
        reason TEXT NOT NULL,
        attempts BIGINT NOT NULL,
        at_ms BIGINT NOT NULL
    );
    CREATE INDEX dead_letters_of_key ON dead_letters (key, seq);
";

/// Characters of a reason that are kept.
const REASON_CHARS_MAX: usize = 500;

/// Why an event is dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reason {
    /// The service refused it.
    Refused(String),
    /// An earlier event of its key is dead.
    Behind,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => f.write_str(why),
            Self::Behind => f.write_str("behind: an earlier event of its key is a dead letter"),
        }
    }
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letter {
    /// Its place in the table; 0 until it is there.
    pub(super) seq: i64,
    /// The event's id.
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) key: String,
    /// The event as it arrived.
    pub(super) body: String,
    pub(super) reason: String,
    pub(super) attempts: i64,
    pub(super) at_ms: i64,
}

impl Letter {
    pub(super) fn of(event: &Event, reason: Reason, attempts: u32) -> Self {
        Self {
            seq: 0,
            id: event.id.to_string(),
            kind: event.kind.clone(),
            key: event.key.clone(),
            body: event.to_json(),
            reason: shortened(&reason.to_string()),
            attempts: i64::from(attempts),
            at_ms: clock::now_ms(),
        }
    }

    /// What arrived and is no event. It has no key, so nothing waits behind it.
    pub(super) fn unreadable(bytes: &[u8], why: &BadEvent, at_ms: i64) -> Self {
        let shown = bytes.get(..EVENT_BYTES_MAX).unwrap_or(bytes);
        Self {
            seq: 0,
            id: Uuid::now_v7().to_string(),
            kind: String::new(),
            key: String::new(),
            // PostgreSQL keeps no NUL in a text.
            body: String::from_utf8_lossy(shown).replace('\0', "\u{fffd}"),
            reason: shortened(&why.to_string()),
            attempts: 1,
            at_ms,
        }
    }
}

fn shortened(text: &str) -> String {
    text.replace('\0', "\u{fffd}").chars().take(REASON_CHARS_MAX).collect()
}

/// A row, column by column.
type Row = (i64, String, String, String, String, String, i64, i64);

fn letter((seq, id, kind, key, body, reason, attempts, at_ms): Row) -> Letter {
    Letter { seq, id, kind, key, body, reason, attempts, at_ms }
}

/// Keeps a letter, in a transaction of its own.
pub(super) async fn put(store: &Store, letter: &Letter) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    insert(&mut tx, letter).await?;
    Ok(tx.commit().await?)
}

/// Keeps a letter; one that is kept already stays as it is.
pub(super) async fn insert(tx: &mut Tx, letter: &Letter) -> Result<(), StoreError> {
    let insert = "INSERT INTO dead_letters (id, kind, key, body, reason, attempts, at_ms) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING";
    sqlx::query(insert)
        .bind(letter.id.clone())
        .bind(letter.kind.clone())
        .bind(letter.key.clone())
        .bind(letter.body.clone())
        .bind(letter.reason.clone())
        .bind(letter.attempts)
        .bind(letter.at_ms)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Whether events of this key have to wait behind a dead letter.
///
/// Asked by an update, which waits for a replay that is just deleting the letter: who then finds none
/// may go on, and who finds one is seen by the replay.
pub(super) async fn is_key_waiting(tx: &mut Tx, key: &str) -> Result<bool, StoreError> {
    let touch = "UPDATE dead_letters SET attempts = attempts WHERE key = $1";
    Ok(sqlx::query(touch).bind(key.to_owned()).execute(&mut **tx).await?.rows_affected() > 0)
}

/// Deletes a letter; false if it is not there.
pub(super) async fn delete(tx: &mut Tx, id: &str) -> Result<bool, StoreError> {
    let delete = "DELETE FROM dead_letters WHERE id = $1";
    Ok(sqlx::query(delete).bind(id.to_owned()).execute(&mut **tx).await?.rows_affected() == 1)
}

/// Notes that a replay failed, and why.
pub(super) async fn failed_again(store: &Store, id: &str, why: &str) -> Result<(), StoreError> {
    let update = "UPDATE dead_letters SET attempts = attempts + 1, reason = $1 WHERE id = $2";
    let mut tx = store.begin().await?;
    sqlx::query(update).bind(shortened(why)).bind(id.to_owned()).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

pub(super) async fn find(store: &Store, id: &str) -> Result<Option<Letter>, StoreError> {
    let select = "SELECT seq, id, kind, key, body, reason, attempts, at_ms FROM dead_letters WHERE id = $1";
    let mut tx = store.read().await?;
    let row: Option<Row> = sqlx::query_as(select).bind(id.to_owned()).fetch_optional(&mut *tx).await?;
    Ok(row.map(letter))
}

/// The oldest letter of a key.
pub(super) async fn first_of(store: &Store, key: &str) -> Result<Option<Letter>, StoreError> {
    let select = "SELECT seq, id, kind, key, body, reason, attempts, at_ms FROM dead_letters WHERE key = $1 \
        ORDER BY seq LIMIT 1";
    let mut tx = store.read().await?;
    let row: Option<Row> = sqlx::query_as(select).bind(key.to_owned()).fetch_optional(&mut *tx).await?;
    Ok(row.map(letter))
}

/// Letters after the place `after`, oldest first.
pub(super) async fn list(store: &Store, after: i64, n_max: i64) -> Result<Vec<Letter>, StoreError> {
    let select = "SELECT seq, id, kind, key, body, reason, attempts, at_ms FROM dead_letters WHERE seq > $1 \
        ORDER BY seq LIMIT $2";
    let mut tx = store.read().await?;
    let rows: Vec<Row> = sqlx::query_as(select).bind(after).bind(n_max).fetch_all(&mut *tx).await?;
    Ok(rows.into_iter().map(letter).collect())
}

/// How many letters of a key there are.
pub(super) async fn count_of(store: &Store, key: &str) -> Result<i64, StoreError> {
    let mut tx = store.read().await?;
    let select = "SELECT count(*) FROM dead_letters WHERE key = $1";
    Ok(sqlx::query_scalar(select).bind(key.to_owned()).fetch_one(&mut *tx).await?)
}
