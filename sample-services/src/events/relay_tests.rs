//! The relay on both databases: nothing is lost, keys keep their order, one that waits holds up no other.

use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::databases;
use crate::events::doubles::{Flaky, event, until};
use crate::events::outbox;

const FAST: Pace = Pace { poll: Duration::from_millis(5), backoff: Backoff { first_ms: 2, max_ms: 20 } };

async fn append(store: &Store, outbox: &Outbox, events: &[(&str, i64)]) {
    let mut tx = store.begin().await.unwrap();
    for (key, n) in events {
        outbox.append(&mut tx, &event("order.paid", key, *n)).await.unwrap();
    }
    tx.commit().await.unwrap();
    outbox.wake();
}

async fn count(store: &Store, condition: &'static str) -> i64 {
    let mut tx = store.read().await.unwrap();
    let select = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM outbox WHERE {condition}"));
    sqlx::query_scalar(select).fetch_one(&mut *tx).await.unwrap()
}

/// A relay at work, and the way to end it.
struct Working {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

#[expect(clippy::disallowed_methods, reason = "`Working::end` awaits it")]
fn relay(store: &Store, outbox: &Outbox, bus: Arc<dyn Bus>) -> Working {
    let (stop, stopping) = watch::channel(false);
    let relay = Relay::new(store.clone(), outbox.clone(), bus, FAST);
    Working { stop, task: tokio::spawn(relay.run(stopping)) }
}

impl Working {
    async fn end(self) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn what_is_in_the_outbox_is_published_once_and_marked() {
    for database in databases::each().await {
        let store = database.open(&[outbox::MIGRATION]).await;
        let (outbox, bus) = (Outbox::default(), Arc::new(Flaky::default()));
        append(&store, &outbox, &[("a", 1), ("a", 2), ("b", 3)]).await;
        let working = relay(&store, &outbox, bus.clone());
        until("the marks", async || count(&store, "published_at_ms IS NOT NULL").await == 3).await;
        working.end().await;
        let mut taken = bus.taken.lock().unwrap().clone();
        taken.sort();
        assert_eq!(taken, [("a".to_owned(), 1), ("a".to_owned(), 2), ("b".to_owned(), 3)]);
    }
}

#[tokio::test]
async fn an_event_that_is_rolled_back_is_never_published() {
    for database in databases::each().await {
        let store = database.open(&[outbox::MIGRATION]).await;
        let (outbox, bus) = (Outbox::default(), Arc::new(Flaky::default()));
        let mut tx = store.begin().await.unwrap();
        outbox.append(&mut tx, &event("order.paid", "a", 1)).await.unwrap();
        drop(tx);
        append(&store, &outbox, &[("b", 2)]).await;
        let working = relay(&store, &outbox, bus.clone());
        until("the other event", async || count(&store, "published_at_ms IS NOT NULL").await == 1).await;
        working.end().await;
        assert_eq!(*bus.taken.lock().unwrap(), [("b".to_owned(), 2)]);
    }
}

#[tokio::test]
async fn a_key_that_waits_holds_up_no_other() {
    for database in databases::each().await {
        let store = database.open(&[outbox::MIGRATION]).await;
        let (outbox, bus) = (Outbox::default(), Arc::new(Flaky::default()));
        *bus.failures.lock().unwrap() = HashMap::from([(0, u32::MAX)]);
        // More keys than are published at once, all behind one that never goes.
        let keys: Vec<String> = (0..40).map(|n| format!("k{n}")).collect();
        append(&store, &outbox, &[("stuck", 0), ("stuck", 99)]).await;
        for (n, key) in (1..).zip(&keys) {
            append(&store, &outbox, &[(key, n)]).await;
        }
        let working = relay(&store, &outbox, bus.clone());
        until("the others", async || count(&store, "published_at_ms IS NOT NULL").await == 40).await;
        until("some tries", async || count(&store, "attempts > 2").await == 1).await;
        working.end().await;
        assert_eq!(count(&store, "published_at_ms IS NULL").await, 2);
        assert!(bus.taken.lock().unwrap().iter().all(|(key, _)| key != "stuck"));
    }
}

#[tokio::test]
async fn two_relays_of_one_database_take_turns() {
    for database in databases::each().await {
        let store = database.open(&[outbox::MIGRATION]).await;
        let (outbox, bus) = (Outbox::default(), Arc::new(Flaky::default()));
        let (first, second) = (relay(&store, &outbox, bus.clone()), relay(&store, &outbox, bus.clone()));
        for n in 0..20 {
            append(&store, &outbox, &[("a", n)]).await;
        }
        until("the marks", async || count(&store, "published_at_ms IS NOT NULL").await == 20).await;
        // Whoever stops gives the lease back: the other goes on at once, not after its end.
        first.end().await;
        append(&store, &outbox, &[("a", 20)]).await;
        until("the last mark", async || count(&store, "published_at_ms IS NOT NULL").await == 21).await;
        second.end().await;
        let numbers: Vec<i64> = bus.taken.lock().unwrap().iter().map(|(_, n)| *n).collect();
        assert_eq!(numbers, (0..=20).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn what_was_published_long_ago_is_deleted_and_nothing_else() {
    for database in databases::each().await {
        let store = database.open(&[outbox::MIGRATION]).await;
        let (outbox, bus) = (Outbox::default(), Arc::new(Flaky::default()));
        append(&store, &outbox, &[("old", 1), ("new", 2), ("waiting", 3)]).await;
        let mut tx = store.begin().await.unwrap();
        let update = "UPDATE outbox SET published_at_ms = $1 WHERE key = $2";
        for (key, at_ms) in [("old", clock::now_ms() - KEPT_MS - 1), ("new", clock::now_ms())] {
            sqlx::query(update).bind(at_ms).bind(key).execute(&mut *tx).await.unwrap();
        }
        tx.commit().await.unwrap();
        let relay = Relay::new(store.clone(), outbox, bus, FAST);
        relay.sweep(clock::now_ms()).await;
        assert_eq!(count(&store, "key <> 'old'").await, 2);
        assert_eq!(count(&store, "key = 'old'").await, 0);
    }
}

/// A bus that dies with the relay: what it took is not marked, as after a crash between the two.
#[derive(Debug, Default)]
struct Deadly {
    taken: Mutex<Vec<(String, i64)>>,
}

#[async_trait::async_trait]
impl Bus for Deadly {
    async fn publish(&self, event: &Event) -> Result<(), crate::events::BusError> {
        self.taken.lock().unwrap().push((event.key.clone(), crate::events::doubles::number(event)));
        std::future::pending().await
    }

    async fn consume(
        &self,
        _: crate::events::Subscription,
        _: Arc<dyn crate::events::Handler>,
        _: watch::Receiver<bool>,
    ) {
    }
}

#[tokio::test]
async fn a_relay_that_dies_before_it_marks_is_followed_by_one_that_publishes_again() {
    for database in databases::each().await {
        let store = database.open(&[outbox::MIGRATION]).await;
        let (outbox, deadly) = (Outbox::default(), Arc::new(Deadly::default()));
        append(&store, &outbox, &[("a", 1), ("a", 2)]).await;
        let dying = relay(&store, &outbox, deadly.clone());
        until("the first publication", async || !deadly.taken.lock().unwrap().is_empty()).await;
        dying.task.abort();
        // The lease of the dead runs out by itself; here its time is over.
        let mut tx = store.begin().await.unwrap();
        sqlx::query("UPDATE relay_lease SET until_ms = 0").execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        let bus = Arc::new(Flaky::default());
        let working = relay(&store, &outbox, bus.clone());
        until("the marks", async || count(&store, "published_at_ms IS NOT NULL").await == 2).await;
        working.end().await;
        assert_eq!(*deadly.taken.lock().unwrap(), [("a".to_owned(), 1)]);
        assert_eq!(*bus.taken.lock().unwrap(), [("a".to_owned(), 1), ("a".to_owned(), 2)]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever fails how often: everything is published in the end, and each key in its order.
    #[test]
    fn every_key_is_published_whole_and_in_order(
        events in prop::collection::vec((0..5_usize, 0..4_u32), 1..40)
    ) {
        const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let taken = runtime.block_on(async {
            let store = Store::in_memory(&[outbox::MIGRATION]).await.unwrap();
            let (outbox, bus) = (Outbox::default(), Arc::new(Flaky::default()));
            let numbered: Vec<(&str, i64)> = (0..).zip(&events).map(|(n, (key, _))| (KEYS[*key], n)).collect();
            *bus.failures.lock().unwrap() = (0..).zip(&events).map(|(n, (_, failures))| (n, *failures)).collect();
            append(&store, &outbox, &numbered).await;
            let working = relay(&store, &outbox, bus.clone());
            until("the marks", async || count(&store, "published_at_ms IS NULL").await == 0).await;
            working.end().await;
            bus.taken.lock().unwrap().clone()
        });
        prop_assert_eq!(taken.len(), events.len());
        let mut by_key = BTreeMap::<String, Vec<i64>>::new();
        for (key, n) in taken {
            by_key.entry(key).or_default().push(n);
        }
        for numbers in by_key.values() {
            prop_assert!(numbers.is_sorted(), "{:?}", by_key);
        }
    }
}
