//! Events that wait to be published, in the database of the service whose state they tell of.
//!
//! An event is appended in the transaction that makes it true, after the row that it is about is
//! written: the lock on that row keeps the events of one key in the order in which they happened.
//! What reads them is the [`relay`](super::relay).

use std::sync::Arc;

use tokio::sync::Notify;

use super::Event;
use crate::clock;
use crate::store::{StoreError, Tx};

/// The tables of an outbox.
pub const MIGRATION: &str = "
    CREATE TABLE outbox (
        seq {{serial}},
        id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        body TEXT NOT NULL,
        attempts BIGINT NOT NULL DEFAULT 0,
        next_at_ms BIGINT NOT NULL,
        published_at_ms BIGINT
    );
    CREATE INDEX outbox_waiting ON outbox (key, seq) WHERE published_at_ms IS NULL;
    CREATE INDEX outbox_published ON outbox (published_at_ms) WHERE published_at_ms IS NOT NULL;
    CREATE TABLE relay_lease (
        id BIGINT PRIMARY KEY CHECK (id = 1),
        holder TEXT NOT NULL,
        until_ms BIGINT NOT NULL
    );
    INSERT INTO relay_lease (id, holder, until_ms) VALUES (1, '', 0);
";

/// The service's end of its outbox.
#[derive(Debug, Clone, Default)]
pub struct Outbox {
    wake: Arc<Notify>,
}

impl Outbox {
    /// Appends an event to the outbox; it is published once `tx` is committed.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn append(&self, tx: &mut Tx, event: &Event) -> Result<(), StoreError> {
        let insert = "INSERT INTO outbox (id, kind, key, body, next_at_ms) VALUES ($1, $2, $3, $4, $5)";
        sqlx::query(insert)
            .bind(event.id.to_string())
            .bind(event.kind.clone())
            .bind(event.key.clone())
            .bind(event.to_json())
            .bind(clock::now_ms())
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Tells the relay of this process that something was committed. Without it the relay finds it a moment later.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }
}
