//! Blocking queries: when an answer is due, and how many may wait.
//! It decides when to look again; what is looked at is the store's.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use crate::clock;
use crate::limits::{WAIT_DEFAULT, WAIT_MAX, WAITERS_MAX};
use crate::store::{Changes, Command, Query, Refusal, Store, View};

/// What a reader sends with a query.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Block {
    /// `?index=`: answer once the answer's index is greater. 0 answers at once.
    pub(crate) index: u64,
    /// `?wait=`.
    pub(crate) wait: Option<Duration>,
}

/// All places to wait are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many blocking queries: at most {WAITERS_MAX} at once, try again later")]
pub(crate) struct Crowded;

/// The store, and those who wait for it to change.
#[derive(Debug)]
pub(crate) struct Shared {
    store: Mutex<Store>,
    started: clock::Start,
    newest: watch::Sender<u64>,
    rescheduled: watch::Sender<()>,
    closing: watch::Sender<bool>,
    places: Semaphore,
}

impl Shared {
    pub(crate) fn new(store: Store) -> Self {
        let newest = watch::Sender::new(store.last_index());
        Self {
            store: Mutex::new(store),
            started: clock::Start::now(),
            newest,
            rescheduled: watch::Sender::new(()),
            closing: watch::Sender::new(false),
            places: Semaphore::new(WAITERS_MAX),
        }
    }

    /// Blocking queries that wait now.
    pub(crate) fn n_blocked(&self) -> usize {
        WAITERS_MAX - self.places.available_permits()
    }

    /// Looks at the store. The lock is never held across an await.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Store) -> T) -> T {
        look(&self.lock())
    }

    /// Applies a command at this moment and wakes whoever it concerns.
    pub(crate) fn apply(&self, command: Command) -> Result<Changes, Refusal> {
        let changes = self.lock().apply(command, self.started.elapsed())?;
        if let Some(index) = changes.index {
            // Not `send_replace`: two writers may arrive here in the other order.
            self.newest.send_if_modified(|newest| {
                let grows = index > *newest;
                *newest = index.max(*newest);
                grows
            });
        }
        if changes.rescheduled {
            self.rescheduled.send_replace(());
        }
        Ok(changes)
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        // A panic in `apply` is a bug of ours, but the registry goes on with what it has.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Changes whenever a check's next deadline may have moved.
    pub(crate) fn rescheduled(&self) -> watch::Receiver<()> {
        self.rescheduled.subscribe()
    }

    /// Ends when the registry stops.
    pub(crate) async fn closed(&self) {
        let mut closing = self.closing.subscribe();
        let _closed = closing.wait_for(|closing| *closing).await;
    }

    /// Wakes every waiter; each answers with what there is.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Answers `query` as soon as its index is greater than `block.index`, or when the wait is over.
    pub(crate) async fn answer(&self, query: &Query, block: Block) -> Result<(u64, View), Crowded> {
        let mut newest = self.newest.subscribe();
        let absent = match self.look(|store| Look::at(store, query, block.index, None)) {
            Look::Due(index, view) => return Ok((index, view)),
            Look::Same { absent } => absent,
        };
        let _place = self.places.try_acquire().map_err(|_| Crowded)?;
        let wait = clamp(block.wait);
        let over = tokio::time::sleep(wait + jitter(wait, clock::draw()));
        tokio::pin!(over);
        loop {
            tokio::select! {
                changed = newest.changed() => if changed.is_err() { break },
                () = self.closed() => break,
                () = &mut over => break,
            }
            newest.mark_unchanged();
            if let Look::Due(index, view) =
                self.look(|store| Look::at(store, query, block.index, Some(absent)))
            {
                return Ok((index, view));
            }
        }
        Ok(self.look(|store| (store.index_of(query), store.view(query))))
    }
}

/// One look at the store.
enum Look {
    Due(u64, View),
    Same { absent: bool },
}

impl Look {
    /// `was_absent` is what the first look found, and `None` at the first look.
    fn at(store: &Store, query: &Query, index: u64, was_absent: Option<bool>) -> Self {
        let absent = store.is_absent(query);
        let still_absent = absent && was_absent == Some(true);
        let found = store.index_of(query);
        if found > index && !still_absent {
            return Self::Due(found, store.view(query));
        }
        Self::Same { absent }
    }
}

fn clamp(wait: Option<Duration>) -> Duration {
    match wait {
        None => WAIT_DEFAULT,
        Some(wait) if wait.is_zero() => WAIT_DEFAULT,
        Some(wait) => wait.min(WAIT_MAX),
    }
}

/// Up to a sixteenth of the wait, so that clients that came together do not come back together (Consul's rule).
fn jitter(wait: Duration, draw: u64) -> Duration {
    let most = u64::try_from(wait.as_nanos() / 16).unwrap_or(u64::MAX);
    Duration::from_nanos(if most == 0 { 0 } else { draw % most })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::store::{KvCondition, KvWrite, Node};

    fn put(key: &str) -> Command {
        let (key, value) = (key.to_owned(), b"1".to_vec());
        Command::Put(KvWrite { key, value, flags: 0, condition: KvCondition::Always })
    }

    #[tokio::test]
    async fn who_waits_for_a_missing_key_sleeps_through_writes_to_other_keys() {
        let (id, name) = (String::new(), "n1".to_owned());
        let node = Node { id, name, address: "127.0.0.1".to_owned(), datacenter: "dc1".to_owned() };
        let shared = Shared::new(Store::new(node));
        let query = Query::Key("wanted".to_owned());
        let block = Block { index: shared.look(|store| store.index_of(&query)), wait: None };
        let woken = Cell::new(false);
        let waits = async {
            let answer = shared.answer(&query, block).await;
            woken.set(true);
            answer
        };
        // Polled after `waits`, which therefore waits already.
        let writes = async {
            for key in ["other", "another"] {
                shared.apply(put(key)).unwrap();
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                assert!(!woken.get(), "woken by {key}");
            }
            shared.apply(put("wanted")).unwrap();
        };
        let (answer, ()) = tokio::join!(waits, writes);
        let (index, view) = answer.unwrap();
        assert!(index > block.index);
        assert!(matches!(view, View::Pairs(pairs) if pairs.len() == 1));
    }

    #[test]
    fn a_wait_is_five_minutes_unless_said_and_never_above_ten() {
        assert_eq!(clamp(None), Duration::from_secs(300));
        assert_eq!(clamp(Some(Duration::ZERO)), Duration::from_secs(300));
        assert_eq!(clamp(Some(Duration::from_secs(2))), Duration::from_secs(2));
        assert_eq!(clamp(Some(Duration::from_secs(6_000))), Duration::from_secs(600));
    }

    #[test]
    fn the_jitter_is_below_a_sixteenth_of_the_wait() {
        let wait = Duration::from_secs(16);
        for draw in [0, 1, 999_999_999, u64::MAX] {
            assert!(jitter(wait, draw) < Duration::from_secs(1));
        }
        assert_eq!(jitter(Duration::ZERO, 7), Duration::ZERO);
    }
}
