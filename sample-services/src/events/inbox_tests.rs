//! The inbox on both databases: once each, in order, and what cannot be done is put aside with what follows it.

use super::*;
use crate::databases::{self, TestDatabase};
use crate::events::MIGRATIONS;
use crate::events::doubles::{NOTES, Notebook, event, notes};

struct Shop {
    store: Store,
    service: Arc<Notebook>,
    inbox: Inbox,
}

async fn shop(database: &TestDatabase) -> Shop {
    let store = database.open(&[&MIGRATIONS[..], &[NOTES]].concat()).await;
    let service = Arc::new(Notebook::default());
    let inbox = Inbox::new(store.clone(), Outbox::default(), service.clone());
    Shop { store, service, inbox }
}

async fn reasons(store: &Store) -> Vec<String> {
    dead_letters::list(store, 0, 100).await.unwrap().into_iter().map(|letter| letter.reason).collect()
}

#[tokio::test]
async fn an_event_takes_effect_once_however_often_it_arrives() {
    for database in databases::each().await {
        let shop = shop(&database).await;
        let (first, second) = (event("order.paid", "o1", 1), event("order.paid", "o1", 2));
        for event in [&first, &first, &second, &first, &second] {
            shop.inbox.handle(event).await.unwrap();
        }
        assert_eq!(notes(&shop.store, "o1").await, [1, 2]);
    }
}

#[tokio::test]
async fn an_event_that_arrives_many_times_at_once_takes_effect_once() {
    for database in databases::each().await {
        let shop = shop(&database).await;
        let event = event("order.paid", "o1", 1);
        let handled = (0..8).map(|_| shop.inbox.handle(&event));
        for handled in futures_util::future::join_all(handled).await {
            handled.unwrap();
        }
        assert_eq!(notes(&shop.store, "o1").await, [1]);
    }
}

#[tokio::test]
async fn what_passes_is_tried_again_and_leaves_nothing_behind_in_the_meantime() {
    for database in databases::each().await {
        let shop = shop(&database).await;
        *shop.service.later.lock().unwrap() = 2;
        let event = event("order.paid", "o1", 1);
        for _ in 0..2 {
            let retry = shop.inbox.handle(&event).await.unwrap_err();
            assert_eq!(retry.why, "told to wait");
            assert_eq!(notes(&shop.store, "o1").await, [0_i64; 0]);
        }
        shop.inbox.handle(&event).await.unwrap();
        assert_eq!(notes(&shop.store, "o1").await, [1]);
        assert_eq!(reasons(&shop.store).await, [""; 0]);
    }
}

#[tokio::test]
async fn what_does_not_pass_after_eight_tries_is_a_dead_letter() {
    for database in databases::each().await {
        let shop = shop(&database).await;
        *shop.service.later.lock().unwrap() = u32::MAX;
        let event = event("order.paid", "o1", 1);
        for _ in 1..TRIES_MAX {
            shop.inbox.handle(&event).await.unwrap_err();
        }
        shop.inbox.handle(&event).await.unwrap();
        let letters = dead_letters::list(&shop.store, 0, 100).await.unwrap();
        assert_eq!((letters.len(), letters[0].attempts, &*letters[0].reason), (1, 8, "told to wait"));
        assert_eq!(Event::from_slice(letters[0].body.as_bytes()).unwrap(), event);
    }
}

#[tokio::test]
async fn what_follows_a_dead_letter_waits_behind_it_and_other_keys_go_on() {
    for database in databases::each().await {
        let shop = shop(&database).await;
        *shop.service.never.lock().unwrap() = Some(1);
        let first = event("order.paid", "o1", 1);
        for event in [&first, &event("order.paid", "o1", 2), &event("order.paid", "o2", 3), &first] {
            shop.inbox.handle(event).await.unwrap();
        }
        assert_eq!(notes(&shop.store, "o1").await, [0_i64; 0]);
        assert_eq!(notes(&shop.store, "o2").await, [3]);
        let reasons = reasons(&shop.store).await;
        assert_eq!(reasons.len(), 2);
        assert_eq!(reasons[0], "told to refuse");
        assert!(reasons[1].starts_with("behind"), "{reasons:?}");
    }
}

#[tokio::test]
async fn an_event_that_took_effect_before_its_key_died_is_still_known() {
    for database in databases::each().await {
        let shop = shop(&database).await;
        *shop.service.never.lock().unwrap() = Some(2);
        let done = event("order.paid", "o1", 1);
        for event in [&done, &event("order.paid", "o1", 2), &done] {
            shop.inbox.handle(event).await.unwrap();
        }
        assert_eq!(reasons(&shop.store).await, ["told to refuse"]);
    }
}

#[tokio::test]
async fn a_replay_races_with_an_event_of_its_key_and_both_take_effect_in_order() {
    for database in databases::each().await {
        let shop = shop(&database).await;
        *shop.service.never.lock().unwrap() = Some(1);
        shop.inbox.handle(&event("order.paid", "o1", 1)).await.unwrap();
        *shop.service.never.lock().unwrap() = None;
        let (letter, late) =
            (dead_letters::first_of(&shop.store, "o1").await.unwrap().unwrap(), event("order.paid", "o1", 2));
        let (replayed, handled) = tokio::join!(shop.inbox.replay(&letter), shop.inbox.handle(&late));
        replayed.unwrap();
        handled.unwrap();
        // It came before the letter was gone and waits, or after and took effect.
        while let Some(letter) = dead_letters::first_of(&shop.store, "o1").await.unwrap() {
            shop.inbox.replay(&letter).await.unwrap();
        }
        assert_eq!(notes(&shop.store, "o1").await, [1, 2]);
    }
}

#[tokio::test]
async fn what_is_no_event_is_put_aside_and_holds_nothing_up() {
    for database in databases::each().await {
        let shop = shop(&database).await;
        let bytes = b"\xff\x00 not an event";
        let why = Event::from_slice(bytes).unwrap_err();
        shop.inbox.put_aside(bytes, &why).await.unwrap();
        shop.inbox.handle(&event("order.paid", "o1", 1)).await.unwrap();
        assert_eq!(notes(&shop.store, "o1").await, [1]);
        assert!(reasons(&shop.store).await[0].starts_with("not an event"));
    }
}

#[tokio::test]
async fn events_of_long_ago_are_forgotten() {
    for database in databases::each().await {
        let shop = shop(&database).await;
        shop.inbox.handle(&event("order.paid", "o1", 1)).await.unwrap();
        shop.inbox.forget_old(clock::now_ms()).await.unwrap();
        let count = async || {
            let mut tx = shop.store.read().await.unwrap();
            sqlx::query_scalar::<_, i64>("SELECT count(*) FROM inbox").fetch_one(&mut *tx).await.unwrap()
        };
        assert_eq!(count().await, 1);
        shop.inbox.forget_old(clock::now_ms() + KNOWN_MS + 1).await.unwrap();
        assert_eq!(count().await, 0);
    }
}
