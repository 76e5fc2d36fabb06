//! From the bus into a service: each event takes effect once, however often it arrives.
//!
//! The effects, the events they cause and the note that this event was dealt with are one
//! transaction. What no repetition can mend becomes a dead letter (`dead_letters`), and so does
//! every later event of its key, so that they stay in order; what passes is tried again a few times.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;
use tracing::Instrument;
use uuid::Uuid;

use super::backoff::Backoff;
use super::dead_letters::{self, Letter, Reason};
use super::outbox::Outbox;
use super::{BadEvent, Event, Handler, Retry};
use crate::chance::roll;
use crate::clock;
use crate::mischief::reached;
use crate::store::{Store, StoreError, Tx, is_passing};

/// The tables of an inbox.
pub const MIGRATION: &str = "
    CREATE TABLE inbox (event_id TEXT PRIMARY KEY, at_ms BIGINT NOT NULL);
    CREATE INDEX inbox_by_age ON inbox (at_ms);
";

/// Tries of an event before it becomes a dead letter.
const TRIES_MAX: u32 = 8;
/// Waits between them.
const BACKOFF: Backoff = Backoff { first_ms: 100, max_ms: 10_000 };
/// Events whose failures are counted at the same time; beyond them the count begins anew.
const COUNTED_MAX: usize = 1_000;
/// How long an event is known after it was dealt with, in milliseconds: 30 days.
const KNOWN_MS: i64 = 30 * 86_400_000;
/// Events that are forgotten at a time.
const FORGOTTEN_MAX: i64 = 500;
/// One event in so many is followed by forgetting old ones.
const FORGET_EVERY: u128 = 256;

/// An event that a service did not take.
#[derive(Debug, Error)]
pub enum Refusal {
    /// No repetition can mend it: the data is wrong, or it forbids itself.
    #[error("{0}")]
    Never(String),
    /// It may well succeed later.
    #[error("{0}")]
    Later(String),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        if error.is_passing() { Self::Later(error.to_string()) } else { Self::Never(error.to_string()) }
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        let text = format!("the database refused: {error}");
        if is_passing(&error) { Self::Later(text) } else { Self::Never(text) }
    }
}

/// What events do to a service.
#[async_trait]
pub trait Apply: Send + Sync {
    /// Makes `event` take effect within `tx`; the events it causes are appended to the outbox within it too.
    ///
    /// # Errors
    /// Why it does not; nothing of `tx` stays then.
    async fn apply(&self, tx: &mut Tx, event: &Event) -> Result<(), Refusal>;
}

/// The inbox of a service.
pub struct Inbox {
    store: Store,
    outbox: Outbox,
    apply: Arc<dyn Apply>,
    /// How often each event failed so far. A restart counts anew: it may have been the cure.
    failed: Mutex<HashMap<Uuid, u32>>,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").field("store", &self.store).finish_non_exhaustive()
    }
}

/// What became of an event.
enum Dealt {
    /// It took effect.
    Applied,
    /// It had taken effect before.
    Known,
    /// Its key has a dead letter; it waits behind it.
    Behind,
}

#[async_trait]
impl Handler for Inbox {
    async fn handle(&self, event: &Event) -> Result<(), Retry> {
        self.take(event).instrument(event.trace().span()).await
    }

    async fn put_aside(&self, bytes: &[u8], why: &BadEvent) -> Result<(), Retry> {
        let letter = Letter::unreadable(bytes, why, clock::now_ms());
        dead_letters::put(&self.store, &letter).await.map_err(|error| retry(error.to_string(), 1))?;
        tracing::error!(id = %letter.id, %why, "what arrived is no event; it is a dead letter now");
        Ok(())
    }
}

impl Inbox {
    /// The inbox of the service that owns `store`.
    #[must_use]
    pub fn new(store: Store, outbox: Outbox, apply: Arc<dyn Apply>) -> Self {
        Self { store, outbox, apply, failed: Mutex::default() }
    }

    async fn take(&self, event: &Event) -> Result<(), Retry> {
        let refusal = match self.deal(event).await {
            Ok(dealt) => {
                self.forget_failures(event.id);
                self.tell(event, &dealt).await;
                return Ok(());
            }
            Err(refusal) => refusal,
        };
        let n_failed = self.count_failure(event.id);
        let why = refusal.to_string();
        if matches!(refusal, Refusal::Later(_)) && n_failed < TRIES_MAX {
            tracing::warn!(id = %event.id, kind = %event.kind, key = %event.key, %why, n_failed, "event failed; trying on");
            return Err(retry(why, n_failed));
        }
        let letter = Letter::of(event, Reason::Refused(why), n_failed);
        dead_letters::put(&self.store, &letter).await.map_err(|error| retry(error.to_string(), n_failed))?;
        self.forget_failures(event.id);
        tracing::error!(id = %event.id, kind = %event.kind, key = %event.key,
            why = %letter.reason, "event refused; it is a dead letter now");
        Ok(())
    }

    async fn deal(&self, event: &Event) -> Result<Dealt, Refusal> {
        let mut tx = self.store.begin().await?;
        if dead_letters::is_key_waiting(&mut tx, &event.key).await? {
            let was_known = is_known(&mut tx, event.id).await?;
            if !was_known {
                dead_letters::insert(&mut tx, &Letter::of(event, Reason::Behind, 0)).await?;
            }
            tx.commit().await?;
            return Ok(if was_known { Dealt::Known } else { Dealt::Behind });
        }
        if !note(&mut tx, event.id).await? {
            return Ok(Dealt::Known);
        }
        self.apply.apply(&mut tx, event).await?;
        reached("inbox.before_commit");
        tx.commit().await?;
        reached("inbox.committed");
        self.outbox.wake();
        Ok(Dealt::Applied)
    }

    /// Makes a dead letter take effect after all; it is gone then.
    pub(super) async fn replay(&self, letter: &Letter) -> Result<(), Refusal> {
        let event =
            Event::from_slice(letter.body.as_bytes()).map_err(|error| Refusal::Never(error.to_string()))?;
        let mut tx = self.store.begin().await?;
        // Deleted first: of two who replay the same letter one waits here, and finds it gone.
        if !dead_letters::delete(&mut tx, &letter.id).await? {
            return Ok(());
        }
        if note(&mut tx, event.id).await? {
            self.apply.apply(&mut tx, &event).await?;
        }
        tx.commit().await?;
        self.outbox.wake();
        Ok(())
    }

    async fn tell(&self, event: &Event, dealt: &Dealt) {
        let (id, kind, key) = (event.id, &event.kind, &event.key);
        match dealt {
            Dealt::Applied => tracing::info!(%id, %kind, %key, "event handled"),
            Dealt::Known => tracing::info!(%id, %kind, %key, "event was handled before"),
            Dealt::Behind => tracing::warn!(%id, %kind, %key, "event waits behind a dead letter of its key"),
        }
        if matches!(dealt, Dealt::Applied)
            && event.id.as_u128().is_multiple_of(FORGET_EVERY)
            && let Err(error) = self.forget_old(clock::now_ms()).await
        {
            tracing::warn!(%error, "old events cannot be forgotten");
        }
    }

    async fn forget_old(&self, now_ms: i64) -> Result<(), StoreError> {
        let delete =
            "DELETE FROM inbox WHERE event_id IN (SELECT event_id FROM inbox WHERE at_ms < $1 LIMIT $2)";
        let mut tx = self.store.begin().await?;
        sqlx::query(delete).bind(now_ms - KNOWN_MS).bind(FORGOTTEN_MAX).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    fn count_failure(&self, id: Uuid) -> u32 {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.len() >= COUNTED_MAX && !failed.contains_key(&id) {
            failed.clear();
        }
        let n_failed = failed.entry(id).or_default();
        *n_failed = n_failed.saturating_add(1);
        *n_failed
    }

    fn forget_failures(&self, id: Uuid) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

fn retry(why: String, n_failed: u32) -> Retry {
    let wait_ms = BACKOFF.wait_ms(n_failed, roll());
    Retry { why, after: Duration::from_millis(u64::try_from(wait_ms).unwrap_or_default()) }
}

/// Notes that an event is dealt with; false if it was before.
pub(super) async fn note(tx: &mut Tx, id: Uuid) -> Result<bool, StoreError> {
    let insert = "INSERT INTO inbox (event_id, at_ms) VALUES ($1, $2) ON CONFLICT (event_id) DO NOTHING";
    let noted = sqlx::query(insert).bind(id.to_string()).bind(clock::now_ms()).execute(&mut **tx).await?;
    Ok(noted.rows_affected() == 1)
}

async fn is_known(tx: &mut Tx, id: Uuid) -> Result<bool, StoreError> {
    let select = "SELECT count(*) FROM inbox WHERE event_id = $1";
    let n: i64 = sqlx::query_scalar(select).bind(id.to_string()).fetch_one(&mut **tx).await?;
    Ok(n > 0)
}

#[cfg(test)]
#[path = "inbox_tests.rs"]
mod tests;
