//! Orders on both databases: placed once per key, moved once per news, listed page by page.

use futures_util::future::join_all;

use super::*;
use crate::databases::{self, TestDatabase};
use crate::events::MIGRATIONS;

async fn records(database: &TestDatabase) -> Records {
    Records::new(database.open(&[&MIGRATIONS[..], &[MIGRATION]].concat()).await, Outbox::default())
}

fn wish(customer: &str, key: Option<&str>, quantity: i64) -> Wish {
    Wish {
        customer: customer.to_owned(),
        key: key.map(str::to_owned),
        product_id: 6,
        quantity,
        paid_by: PaidBy::Event,
        trace: Trace::resume(Some("r-1"), None),
    }
}

async fn placed(records: &Records, wish: Wish) -> Order {
    match records.place(&wish).await.unwrap() {
        Placed::New(order) | Placed::Before(order) => order,
    }
}

async fn tell(records: &Records, id: &str, word: Word) -> Result<Heard, NotHeard> {
    let mut tx = records.store().begin().await?;
    let heard = records.hear(&mut tx, id, word, &Trace::resume(None, None)).await?;
    tx.commit().await?;
    Ok(heard)
}

const RESERVED: Word = Word { news: News::Reserved, amount_cents: Some(300), reason: None };

async fn published(records: &Records) -> Vec<Event> {
    let mut tx = records.store().read().await.unwrap();
    let select = sqlx::query_scalar::<_, String>("SELECT body FROM outbox ORDER BY seq");
    let bodies = select.fetch_all(&mut *tx).await.unwrap();
    bodies.iter().map(|body| Event::from_slice(body.as_bytes()).unwrap()).collect()
}

#[tokio::test]
async fn a_key_places_one_order_of_one_customer_however_many_ask_at_once() {
    for database in databases::each().await {
        let records = records(&database).await;
        let same = wish("ada", Some("k"), 1);
        let all = join_all((0..8).map(|_| records.place(&same))).await;
        let all: Vec<Placed> = all.into_iter().map(Result::unwrap).collect();
        let n_new = all.iter().filter(|placed| matches!(placed, Placed::New(_))).count();
        assert_eq!(n_new, 1, "{all:?}");
        let ids: std::collections::BTreeSet<&str> = all
            .iter()
            .map(|placed| match placed {
                Placed::New(order) | Placed::Before(order) => &*order.id,
            })
            .collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
        assert!(matches!(records.place(&wish("bob", Some("k"), 1)).await.unwrap(), Placed::New(_)));
    }
}

#[tokio::test]
async fn without_a_key_every_wish_is_an_order() {
    for database in databases::each().await {
        let records = records(&database).await;
        let first = placed(&records, wish("ada", None, 1)).await;
        assert_ne!(placed(&records, wish("ada", None, 1)).await.id, first.id);
    }
}

#[tokio::test]
async fn a_move_is_made_once_with_its_event() {
    for database in databases::each().await {
        let records = records(&database).await;
        let order = placed(&records, wish("ada", None, 3)).await;
        let moved = tell(&records, &order.id, RESERVED).await.unwrap();
        let reserved = Order { state: State::Reserved, amount_cents: Some(300), ..order.clone() };
        assert_eq!(moved, Heard::Moved(reserved.clone()));
        assert_eq!(tell(&records, &order.id, RESERVED).await.unwrap(), Heard::Stale(reserved));
        tell(&records, &order.id, Word::of(News::Charged)).await.unwrap();
        let events = published(&records).await;
        let told: Vec<(&str, &str)> = events.iter().map(|event| (&*event.kind, &*event.key)).collect();
        assert_eq!(told, [("order.created", &*order.id), ("order.paid", &*order.id)]);
        assert_eq!(events[0].data, serde_json::json!({ "amount_cents": 300 }));
        assert_eq!(events[1].data, serde_json::json!({ "product_id": 6, "quantity": 3 }));
    }
}

#[tokio::test]
async fn what_is_rolled_back_moved_nothing_and_says_nothing() {
    for database in databases::each().await {
        let records = records(&database).await;
        let order = placed(&records, wish("ada", None, 1)).await;
        let mut tx = records.store().begin().await.unwrap();
        records.hear(&mut tx, &order.id, RESERVED, &order.trace()).await.unwrap();
        drop(tx);
        assert_eq!(records.find(&order.id).await.unwrap().unwrap().state, State::Placed);
        assert!(published(&records).await.is_empty());
    }
}

#[tokio::test]
async fn paid_and_cancelled_at_once_is_one_after_the_other() {
    for database in databases::each().await {
        let records = records(&database).await;
        for _ in 0..10 {
            let order = placed(&records, wish("ada", None, 1)).await;
            tell(&records, &order.id, RESERVED).await.unwrap();
            let cancel = Word::because(News::CancelAsked, Reason::Customer);
            let pay = async {
                loop {
                    match tell(&records, &order.id, Word::of(News::Charged)).await {
                        Err(NotHeard::Overtaken) => {}
                        heard => return heard.unwrap(),
                    }
                }
            };
            let cancel = async {
                loop {
                    match tell(&records, &order.id, cancel).await {
                        Err(NotHeard::Overtaken) => {}
                        heard => return heard.unwrap(),
                    }
                }
            };
            let (paid, cancelled) = tokio::join!(pay, cancel);
            assert!(matches!(cancelled, Heard::Moved(_)), "{cancelled:?}");
            let after = records.find(&order.id).await.unwrap().unwrap();
            assert_eq!((after.state, after.reason), (State::Cancelling, Some(Reason::Customer)));
            let kinds: Vec<String> = published(&records)
                .await
                .into_iter()
                .filter(|event| event.key == order.id)
                .map(|event| event.kind)
                .collect();
            match paid {
                Heard::Moved(_) => {
                    assert_eq!(kinds, ["order.created", "order.paid", "order.cancel_requested"])
                }
                Heard::Stale(_) => assert_eq!(kinds, ["order.created", "order.cancel_requested"]),
            }
        }
    }
}

#[tokio::test]
async fn news_that_cannot_be_is_refused() {
    for database in databases::each().await {
        let records = records(&database).await;
        let order = placed(&records, wish("ada", None, 1)).await;
        let error = tell(&records, &order.id, Word::of(News::Charged)).await.unwrap_err();
        assert_eq!(error.to_string(), "an order that is placed cannot be charged");
        assert!(matches!(tell(&records, "nobody", RESERVED).await, Err(NotHeard::Unknown(_))));
    }
}

#[tokio::test]
async fn a_customer_sees_their_own_orders_latest_first_and_page_by_page() {
    for database in databases::each().await {
        let records = records(&database).await;
        let mut ids = Vec::new();
        for quantity in 1..=5 {
            ids.insert(0, placed(&records, wish("ada", None, quantity)).await.id);
        }
        placed(&records, wish("bob", None, 1)).await;
        tell(&records, &ids[1], RESERVED).await.unwrap();
        let list = async |state, before| {
            let page = records.of_customer("ada", state, before, 3).await.unwrap();
            page.into_iter().map(|order| order.id).collect::<Vec<_>>()
        };
        assert_eq!(list(None, None).await, ids[..3]);
        assert_eq!(list(None, Some(&*ids[2])).await, ids[3..]);
        assert_eq!(list(Some(State::Reserved), None).await, ids[1..2]);
        assert_eq!(list(Some(State::Paid), None).await, [""; 0]);
    }
}

#[tokio::test]
async fn a_due_order_is_claimed_by_one_instance() {
    for database in databases::each().await {
        let records = records(&database).await;
        let order = placed(&records, wish("ada", None, 1)).await;
        assert!(records.due(clock::now_ms(), 10).await.unwrap().is_empty(), "it is left alone for a while");
        let later = clock::now_ms() + LEFT_ALONE_MS;
        let due = records.due(later, 10).await.unwrap();
        assert_eq!((due.len(), &due[0].id), (1, &order.id));
        let claims = join_all((0..4).map(|_| records.claim(&due[0], later + 1_000))).await;
        assert_eq!(claims.into_iter().filter(|claim| *claim.as_ref().unwrap()).count(), 1);
        assert!(records.due(later, 10).await.unwrap().is_empty());
        assert_eq!(records.due(later + 1_000, 10).await.unwrap()[0].tries, 1);
    }
}

#[tokio::test]
async fn the_report_counts_orders_pieces_and_cents() {
    for database in databases::each().await {
        let records = records(&database).await;
        assert!(records.report().await.unwrap().is_empty());
        for quantity in [2, 3] {
            let order = placed(&records, wish("ada", None, quantity)).await;
            tell(&records, &order.id, RESERVED).await.unwrap();
        }
        placed(&records, wish("ada", None, 1)).await;
        let report = records.report().await.unwrap();
        assert_eq!(report, [("placed".to_owned(), 1, 1, 0), ("reserved".to_owned(), 2, 5, 600)]);
    }
}
