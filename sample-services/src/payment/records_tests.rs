//! Payments on both databases: money moves once, and the books sum to zero.

use futures_util::future::join_all;

use super::super::ledger::Report;
use super::*;
use crate::databases::{self, TestDatabase};

const JUDGE: Judge = Judge { charge_max: 1_000, declines: false };

async fn store(database: &TestDatabase) -> Store {
    database.open(&[MIGRATION, ledger::MIGRATION]).await
}

async fn charged(store: &Store, order: &str, amount: i64) -> OnCharge {
    let mut tx = store.begin().await.unwrap();
    let decision = charge(&mut tx, JUDGE, order, amount).await.unwrap();
    tx.commit().await.unwrap();
    decision
}

async fn undone(store: &Store, order: &str) -> State {
    let mut tx = store.begin().await.unwrap();
    let state = undo(&mut tx, order).await.unwrap();
    tx.commit().await.unwrap();
    state
}

async fn books(store: &Store) -> Report {
    ledger::report(store).await.unwrap()
}

#[tokio::test]
async fn an_order_is_charged_once_however_many_ask_at_once() {
    for database in databases::each().await {
        let store = store(&database).await;
        let all = join_all((0..8).map(|_| charged(&store, "o1", 500))).await;
        let n_charged = all.iter().filter(|decision| **decision == OnCharge::Charge).count();
        assert_eq!(n_charged, 1, "{all:?}");
        assert!(
            all.iter().all(|decision| matches!(decision, OnCharge::Charge | OnCharge::Replay)),
            "{all:?}"
        );
        assert_eq!(charged(&store, "o1", 501).await, OnCharge::OtherAmount(500));
        let books = books(&store).await;
        assert_eq!((books.sum_cents, books.charged_cents, books.orders_charged), (0, 500, 1));
        let balances: Vec<(&str, i64)> =
            books.accounts.iter().map(|account| (&*account.name, account.balance_cents)).collect();
        assert_eq!(balances, [("customers", -500), ("shop", 500)]);
    }
}

#[tokio::test]
async fn charged_and_cancelled_at_once_leaves_no_money_behind() {
    for database in databases::each().await {
        let store = store(&database).await;
        for n in 0..10 {
            let order = format!("o{n}");
            let (first, second, charge) =
                tokio::join!(undone(&store, &order), undone(&store, &order), charged(&store, &order, 500));
            let expected = if charge == OnCharge::Charge { State::Refunded } else { State::Voided };
            assert!(
                [first, second].iter().all(|state| *state == expected),
                "{charge:?} {first:?} {second:?}"
            );
        }
        let books = books(&store).await;
        assert_eq!((books.sum_cents, books.orders_charged), (0, 0));
        assert_eq!(books.charged_cents, books.refunded_cents);
    }
}

#[tokio::test]
async fn a_decline_is_kept_and_can_be_voided() {
    for database in databases::each().await {
        let store = store(&database).await;
        assert!(matches!(charged(&store, "o1", 1_001).await, OnCharge::Decline(_)));
        assert_eq!(charged(&store, "o1", 1_001).await, OnCharge::StillDeclined);
        assert_eq!(undone(&store, "o1").await, State::Voided);
        assert_eq!(charged(&store, "o1", 1_001).await, OnCharge::Undone(State::Voided));
        assert_eq!(undone(&store, "o2").await, State::Voided);
        assert_eq!(books(&store).await.charged_cents, 0);
    }
}

#[tokio::test]
async fn payments_are_listed_in_the_order_in_which_they_were_asked_for() {
    for database in databases::each().await {
        let store = store(&database).await;
        for order in ["b", "a", "c"] {
            charged(&store, order, 5).await;
        }
        let first = list(&store, 0, 2).await.unwrap();
        let orders =
            |page: &[Payment]| page.iter().map(|payment| payment.order_id.clone()).collect::<Vec<_>>();
        assert_eq!(orders(&first), ["b", "a"]);
        assert_eq!(orders(&list(&store, first[1].seq, 2).await.unwrap()), ["c"]);
        assert_eq!(find(&store, "a").await.unwrap().unwrap().state, State::Charged);
        assert_eq!(find(&store, "x").await.unwrap(), None);
    }
}
