//! From the outbox to the bus: each event at least once, those of one key in their order.
//!
//! One relay works at a time per database, by a lease. Only the oldest waiting event of a key is
//! ever published; one that the bus does not take waits, with backoff and jitter, and the keys
//! beside it go on. A relay that dies between publishing and noting it publishes again: consumers
//! know an event by its id.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tracing::Instrument;
use uuid::Uuid;

use super::backoff::Backoff;
use super::outbox::Outbox;
use super::{Bus, Event};
use crate::chance::roll;
use crate::clock;
use crate::mischief::reached;
use crate::store::{Store, StoreError};

/// Events that are being published at the same time, each of another key.
const AT_ONCE: usize = 16;
/// Longest wait for the bus to take one event.
const PUBLISH_WAIT: Duration = Duration::from_secs(15);
/// How long the lease is held without being renewed, in milliseconds. So long nothing is published after a relay
/// was killed; one that was only held up for longer publishes beside the next one, and consumers know what they know.
const LEASE_MS: i64 = 3_000;
/// How long before its end the lease is renewed, in milliseconds.
const RENEW_AHEAD_MS: i64 = 2_000;
/// How long a published event is kept, in milliseconds: a day.
const KEPT_MS: i64 = 86_400_000;
/// Published events that are deleted at a time.
const SWEPT_MAX: i64 = 500;
/// Time between two deletions.
const SWEEP_EVERY_MS: i64 = 60_000;

/// How fast a relay goes.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Longest time an event lies in the outbox unseen.
    pub poll: Duration,
    /// How long an event waits that the bus did not take.
    pub backoff: Backoff,
}

impl Default for Pace {
    fn default() -> Self {
        Self { poll: Duration::from_millis(200), backoff: Backoff { first_ms: 200, max_ms: 15_000 } }
    }
}

/// Publishes what is in an outbox.
#[derive(Debug)]
pub struct Relay {
    store: Store,
    outbox: Outbox,
    bus: Arc<dyn Bus>,
    pace: Pace,
    /// Whose the lease is: this relay and no other.
    holder: String,
}

/// An event in the outbox.
#[derive(Debug, Clone, PartialEq)]
struct Waiting {
    seq: i64,
    body: String,
    attempts: u32,
}

impl Relay {
    /// The relay of `outbox` in `store`.
    #[must_use]
    pub fn new(store: Store, outbox: Outbox, bus: Arc<dyn Bus>, pace: Pace) -> Self {
        Self { store, outbox, bus, pace, holder: Uuid::new_v4().to_string() }
    }

    /// Publishes until `stop` turns true; what is on its way then is finished first.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let relay = Arc::new(self);
        // Tasks of their own: one that holds the database's only writer must get on while this one waits for it.
        let mut on_the_way = JoinSet::new();
        let mut seqs = HashMap::with_capacity(AT_ONCE);
        let mut lease_until_ms = 0;
        let mut swept_at_ms = 0;
        while !*stop.borrow() {
            let now_ms = clock::now_ms();
            if lease_until_ms - now_ms < RENEW_AHEAD_MS {
                lease_until_ms = relay.lease(now_ms).await.unwrap_or_else(|error| {
                    tracing::warn!(%error, "the outbox cannot be read");
                    0
                });
            }
            if lease_until_ms > now_ms {
                for waiting in relay.due(now_ms, &seqs).await {
                    let (seq, relay) = (waiting.seq, relay.clone());
                    let task = on_the_way.spawn(async move { relay.publish(waiting).await });
                    seqs.insert(task.id(), seq);
                }
                if now_ms - swept_at_ms > SWEEP_EVERY_MS {
                    swept_at_ms = now_ms;
                    relay.sweep(now_ms).await;
                }
            }
            tokio::select! {
                Some(done) = on_the_way.join_next_with_id() => {
                    // One that panicked said so, and is looked at anew.
                    seqs.remove(&done.map_or_else(|error| error.id(), |(task, ())| task));
                }
                () = relay.outbox.woken() => {}
                () = tokio::time::sleep(relay.pace.poll) => {}
                changed = stop.changed() => if changed.is_err() { break },
            }
        }
        while on_the_way.join_next().await.is_some() {}
        if let Err(error) = relay.give_back().await {
            tracing::debug!(%error, "the lease runs out by itself");
        }
    }

    /// Takes or renews the lease; answers until when it is held, 0 if another relay holds it.
    async fn lease(&self, now_ms: i64) -> Result<i64, StoreError> {
        let update = "UPDATE relay_lease SET holder = $1, until_ms = $2 WHERE id = 1 AND (holder = $1 OR until_ms < $3)";
        let until_ms = now_ms + LEASE_MS;
        let mut tx = self.store.begin().await?;
        let taken = sqlx::query(update)
            .bind(self.holder.clone())
            .bind(until_ms)
            .bind(now_ms)
            .execute(&mut *tx)
            .await?
            .rows_affected();
        tx.commit().await?;
        Ok(if taken == 1 { until_ms } else { 0 })
    }

    async fn give_back(&self) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        sqlx::query("UPDATE relay_lease SET until_ms = 0 WHERE id = 1 AND holder = $1")
            .bind(self.holder.clone())
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// The oldest waiting event of each key, as far as it is due and there is room for it.
    async fn due(&self, now_ms: i64, on_the_way: &HashMap<Id, i64>) -> Vec<Waiting> {
        let room = AT_ONCE.saturating_sub(on_the_way.len());
        if room == 0 {
            return Vec::new();
        }
        match self.heads(now_ms).await {
            Ok(heads) => heads
                .into_iter()
                .filter(|head| !on_the_way.values().any(|seq| *seq == head.seq))
                .take(room)
                .collect(),
            Err(error) => {
                tracing::warn!(%error, "the outbox cannot be read");
                Vec::new()
            }
        }
    }

    async fn heads(&self, now_ms: i64) -> Result<Vec<Waiting>, StoreError> {
        // Those on the way are among them: with twice the room, as many others are.
        let select = "SELECT seq, body, attempts FROM outbox AS head \
            WHERE published_at_ms IS NULL AND next_at_ms <= $1 AND NOT EXISTS \
            (SELECT 1 FROM outbox AS earlier WHERE earlier.key = head.key AND earlier.published_at_ms IS NULL \
             AND earlier.seq < head.seq) ORDER BY seq LIMIT $2";
        let mut tx = self.store.read().await?;
        let rows: Vec<(i64, String, i64)> = sqlx::query_as(select)
            .bind(now_ms)
            .bind(i64::try_from(2 * AT_ONCE).unwrap_or(i64::MAX))
            .fetch_all(&mut *tx)
            .await?;
        let waiting = |(seq, body, attempts)| Waiting {
            seq,
            body,
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        };
        Ok(rows.into_iter().map(waiting).collect())
    }

    /// Publishes one event and notes how it went.
    async fn publish(&self, waiting: Waiting) {
        reached("outbox.before_publish");
        let taken = match Event::from_slice(waiting.body.as_bytes()) {
            Ok(event) => {
                let publish = async {
                    let published = tokio::time::timeout(PUBLISH_WAIT, self.bus.publish(&event)).await;
                    let taken = published
                        .map_err(|_| format!("no answer within {PUBLISH_WAIT:?}"))
                        .and_then(|taken| taken.map_err(|error| error.to_string()));
                    tell(&event, waiting.attempts, &taken);
                    taken
                };
                publish.instrument(event.trace().span()).await
            }
            Err(error) => Err(format!("the outbox holds what is no event: {error}")),
        };
        if taken.is_ok() {
            reached("outbox.published");
        }
        if let Err(error) = self.note(&waiting, taken.is_ok()).await {
            // It is published again in a moment; its consumers know it by its id.
            tracing::warn!(%error, seq = waiting.seq, "the outbox cannot be written");
        } else if taken.is_ok() {
            reached("outbox.marked");
        }
    }

    async fn note(&self, waiting: &Waiting, is_taken: bool) -> Result<(), StoreError> {
        let now_ms = clock::now_ms();
        let mut tx = self.store.begin().await?;
        if is_taken {
            sqlx::query("UPDATE outbox SET published_at_ms = $1 WHERE seq = $2")
                .bind(now_ms)
                .bind(waiting.seq)
                .execute(&mut *tx)
                .await?;
        } else {
            let wait_ms = self.pace.backoff.wait_ms(waiting.attempts.saturating_add(1), roll());
            let update = "UPDATE outbox SET attempts = attempts + 1, next_at_ms = $1 WHERE seq = $2 AND published_at_ms IS NULL";
            sqlx::query(update).bind(now_ms + wait_ms).bind(waiting.seq).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Deletes what was published long ago.
    async fn sweep(&self, now_ms: i64) {
        let swept = async {
            let delete = "DELETE FROM outbox WHERE seq IN (SELECT seq FROM outbox WHERE published_at_ms < $1 LIMIT $2)";
            let mut tx = self.store.begin().await?;
            sqlx::query(delete).bind(now_ms - KEPT_MS).bind(SWEPT_MAX).execute(&mut *tx).await?;
            tx.commit().await?;
            Ok::<_, StoreError>(())
        };
        if let Err(error) = swept.await {
            tracing::warn!(%error, "published events cannot be deleted");
        }
    }
}

fn tell(event: &Event, attempts: u32, taken: &Result<(), String>) {
    let (id, kind, key) = (event.id, &event.kind, &event.key);
    match taken {
        Ok(()) => tracing::info!(%id, %kind, %key, "event published"),
        // The first failure is news; how often it goes on failing is in the table.
        Err(why) if attempts == 0 => tracing::warn!(%id, %kind, %key, %why, "event not taken; trying on"),
        Err(why) => tracing::debug!(%id, %kind, %key, %why, attempts, "event still not taken"),
    }
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
