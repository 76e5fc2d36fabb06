//! For tests: buses that fail on command, and services that note what they are told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::watch;

use super::inbox::{Apply, Refusal};
use super::{Bus, BusError, Event, Handler, Subscription};
use crate::store::{Store, Tx};
use crate::trace::Trace;

/// Longest wait for something that is to happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn event(kind: &str, key: &str, n: i64) -> Event {
    Event::new(kind, key, n, &Trace::resume(None, None), json!({ "n": n }))
}

/// The number that an event was made with.
pub(super) fn number(event: &Event) -> i64 {
    event.data["n"].as_i64().unwrap()
}

/// Waits until `condition` holds.
pub(super) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let holds = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, holds).await.is_ok(), "{what} did not come to be");
}

/// A bus that takes an event after as many failures as it is told.
#[derive(Debug, Default)]
pub(super) struct Flaky {
    /// Failures that are still to come, by the event's number.
    pub(super) failures: Mutex<HashMap<i64, u32>>,
    pub(super) taken: Mutex<Vec<(String, i64)>>,
}

#[async_trait]
impl Bus for Flaky {
    async fn publish(&self, event: &Event) -> Result<(), BusError> {
        let mut failures = self.failures.lock().unwrap();
        let left = failures.entry(number(event)).or_default();
        if *left > 0 {
            *left -= 1;
            return Err(BusError::NobodyWants(event.kind.clone()));
        }
        self.taken.lock().unwrap().push((event.key.clone(), number(event)));
        Ok(())
    }

    async fn consume(&self, _: Subscription, _: Arc<dyn Handler>, _: watch::Receiver<bool>) {}
}

/// A service that keeps what it is told in its database, and refuses on command.
#[derive(Debug, Default)]
pub(super) struct Notebook {
    /// Refuses events with this number for good.
    pub(super) never: Mutex<Option<i64>>,
    /// Refuses so many times for the moment.
    pub(super) later: Mutex<u32>,
}

pub(super) const NOTES: &str = "CREATE TABLE notes (seq {{serial}}, key TEXT NOT NULL, n BIGINT NOT NULL);";

#[async_trait]
impl Apply for Notebook {
    async fn apply(&self, tx: &mut Tx, event: &Event) -> Result<(), Refusal> {
        // Written first, so that a refusal has something to take back.
        let insert = "INSERT INTO notes (key, n) VALUES ($1, $2)";
        sqlx::query(insert).bind(event.key.clone()).bind(number(event)).execute(&mut **tx).await?;
        if *self.never.lock().unwrap() == Some(number(event)) {
            return Err(Refusal::Never("told to refuse".to_owned()));
        }
        let mut later = self.later.lock().unwrap();
        if *later > 0 {
            *later -= 1;
            return Err(Refusal::Later("told to wait".to_owned()));
        }
        Ok(())
    }
}

/// What was noted for a key, in order.
pub(super) async fn notes(store: &Store, key: &str) -> Vec<i64> {
    let mut tx = store.read().await.unwrap();
    let select = sqlx::query_scalar("SELECT n FROM notes WHERE key = $1 ORDER BY seq").bind(key.to_owned());
    select.fetch_all(&mut *tx).await.unwrap()
}
