//! The services together, over sockets and over the bus without a broker, on both databases.

mod shop;

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::events::Event;
use crate::mischief::Mischief;
use crate::trace::Trace;
use shop::{Shop, Who};

/// Winch oil: plenty of it.
const OIL: i64 = 6;
const OIL_CENTS: i64 = 1_290;
/// Portcullises: three there are.
const PORTCULLIS: i64 = 1;
const PORTCULLIS_CENTS: i64 = 1_499_900;

fn id(order: &Value) -> String {
    order["id"].as_str().unwrap().to_owned()
}

const FAILING: Mischief =
    Mischief { latency_ms: 0, error_rate: 1.0, hang: false, decline: false, crash: None };
const DECLINING: Mischief = Mischief { error_rate: 0.0, decline: true, ..FAILING };

#[tokio::test]
async fn an_order_is_paid_at_once_by_rest_and_cancelled_with_everything_undone() {
    for shop in Shop::each(&[]).await {
        let placed = shop.order(OIL, 3, None).await.expect(201).json();
        assert_eq!((&placed["state"], &placed["amount_cents"]), (&json!("paid"), &json!(3 * OIL_CENTS)));
        shop.agrees(3, 3 * OIL_CENTS).await;
        let cancelled = shop.post(&format!("/orders/{}/cancel", id(&placed))).await.expect(200).json();
        assert_eq!((&cancelled["state"], &cancelled["reason"]), (&json!("cancelled"), &json!("customer")));
        shop.agrees(0, 0).await;
        let again = shop.post(&format!("/orders/{}/cancel", id(&placed))).await.expect(200).json();
        assert_eq!(again["state"], "cancelled");
        shop.post(&format!("/orders/{}/payment", id(&placed))).await.problem(409, "not_payable");
    }
}

#[tokio::test]
async fn an_order_is_paid_by_events_and_cancelled_by_events() {
    for shop in Shop::each(&[("PAYMENT", "event")]).await {
        let placed = shop.order(OIL, 2, None).await.expect(202).json();
        assert_eq!(placed["state"], "reserved");
        shop.until(&id(&placed), "paid").await;
        shop.agrees(2, 2 * OIL_CENTS).await;
        shop.post(&format!("/orders/{}/payment", id(&placed))).await.expect(200);
        shop.post(&format!("/orders/{}/cancel", id(&placed))).await.expect(202);
        shop.until(&id(&placed), "cancelled").await;
        shop.agrees(0, 0).await;
    }
}

#[tokio::test]
async fn an_order_waits_for_a_payment_service_that_fails() {
    for shop in Shop::each(&[]).await {
        shop.misbehave(Who::Payment, FAILING);
        let placed = shop.order(OIL, 1, None).await.expect(202).json();
        assert_eq!(
            (&placed["state"], &placed["note"]),
            (&json!("reserved"), &json!("the service was told to fail"))
        );
        shop.post(&format!("/orders/{}/payment", id(&placed))).await.expect(202);
        shop.misbehave(Who::Payment, Mischief::default());
        // The sweep may be faster: then it was paid before.
        let seen = shop.post(&format!("/orders/{}/payment", id(&placed))).await;
        assert!(matches!(seen.status, 200 | 201), "{seen:?}");
        shop.agrees(1, OIL_CENTS).await;
    }
}

#[tokio::test]
async fn whoever_is_killed_the_order_is_driven_on_when_it_is_back() {
    for mut shop in Shop::each(&[]).await {
        shop.kill(Who::Product);
        let placed = shop.order(OIL, 1, None).await.expect(202).json();
        assert_eq!((&placed["state"], &placed["amount_cents"]), (&json!("placed"), &Value::Null));
        shop.kill(Who::Payment);
        shop.start(Who::Product).await;
        shop.until(&id(&placed), "reserved").await;
        shop.kill(Who::Order);
        shop.start(Who::Payment).await;
        shop.start(Who::Order).await;
        // Nobody asks for it: the sweep does.
        shop.until(&id(&placed), "paid").await;
        shop.agrees(1, OIL_CENTS).await;
    }
}

#[tokio::test]
async fn events_wait_for_a_consumer_that_is_down() {
    for mut shop in Shop::each(&[("PAYMENT", "event")]).await {
        // It has to have been seen once.
        shop.order(OIL, 1, None).await.expect(202);
        shop.agrees(1, OIL_CENTS).await;
        shop.kill(Who::Payment);
        let placed = shop.order(OIL, 1, None).await.expect(202).json();
        let other = shop.order(OIL, 1, None).await.expect(202).json();
        shop.post(&format!("/orders/{}/cancel", id(&other))).await.expect(202);
        shop.start(Who::Payment).await;
        shop.until(&id(&placed), "paid").await;
        shop.until(&id(&other), "cancelled").await;
        shop.agrees(2, 2 * OIL_CENTS).await;
    }
}

#[tokio::test]
async fn a_declined_order_is_cancelled_and_its_pieces_go_back() {
    for payment in ["rest", "event"] {
        for shop in Shop::each(&[("PAYMENT", payment)]).await {
            shop.misbehave(Who::Payment, DECLINING);
            if payment == "rest" {
                let refused = shop.order(OIL, 1, Some("k")).await.problem(402, "declined");
                assert!(refused.text.contains("the card was declined"), "{refused:?}");
                // The same key is the same order, not another try.
                shop.misbehave(Who::Payment, Mischief::default());
                assert_eq!(shop.order(OIL, 1, Some("k")).await.expect(200).json()["state"], "cancelled");
            } else {
                let placed = shop.order(OIL, 1, None).await.expect(202).json();
                shop.until(&id(&placed), "cancelled").await;
                assert_eq!(shop.get(&format!("/orders/{}", id(&placed))).await["reason"], "declined");
            }
            shop.agrees(0, 0).await;
        }
    }
}

#[tokio::test]
async fn what_cannot_be_had_is_refused_and_nothing_is_held() {
    for shop in Shop::each(&[]).await {
        let refused = shop.order(PORTCULLIS, 4, None).await.problem(409, "out_of_stock");
        assert!(refused.text.contains("only 3 of `Portcullis, cast iron` left"), "{refused:?}");
        shop.order(99, 1, None).await.problem(404, "no_such_product");
        shop.agrees(0, 0).await;
    }
}

#[tokio::test]
async fn one_key_is_one_order_however_many_ask_at_once() {
    for shop in Shop::each(&[]).await {
        let seen = join_all((0..6).map(|_| shop.order(OIL, 1, Some("k-1")))).await;
        let ids: std::collections::BTreeSet<String> = seen.iter().map(|seen| id(&seen.json())).collect();
        assert_eq!(ids.len(), 1, "{seen:?}");
        assert_eq!(seen.iter().filter(|seen| seen.status == 201).count(), 1, "{seen:?}");
        shop.order(OIL, 2, Some("k-1")).await.problem(409, "idempotency_key_reused");
        shop.agrees(1, OIL_CENTS).await;
    }
}

#[tokio::test]
async fn paid_and_cancelled_at_once_agrees_in_the_end() {
    for shop in Shop::each(&[]).await {
        shop.misbehave(Who::Payment, FAILING);
        let mut orders = Vec::new();
        for _ in 0..4 {
            orders.push(id(&shop.order(OIL, 1, None).await.expect(202).json()));
        }
        shop.misbehave(Who::Payment, Mischief::default());
        let both = orders.iter().map(async |order| {
            let (pay, cancel) = (format!("/orders/{order}/payment"), format!("/orders/{order}/cancel"));
            let (_, cancelled) = tokio::join!(shop.post(&pay), shop.post(&cancel));
            assert!(matches!(cancelled.status, 200 | 202), "{cancelled:?}");
        });
        join_all(both).await;
        for order in &orders {
            shop.until(order, "cancelled").await;
        }
        shop.agrees(0, 0).await;
    }
}

#[tokio::test]
async fn an_order_that_is_not_paid_in_time_is_cancelled() {
    for shop in Shop::each(&[("PAY_WITHIN", "1s")]).await {
        shop.misbehave(Who::Payment, FAILING);
        let placed = shop.order(OIL, 1, None).await.expect(202).json();
        shop.until(&id(&placed), "cancelling").await;
        shop.misbehave(Who::Payment, Mischief::default());
        shop.until(&id(&placed), "cancelled").await;
        assert_eq!(shop.get(&format!("/orders/{}", id(&placed))).await["reason"], "too_late");
        shop.agrees(0, 0).await;
    }
}

#[tokio::test]
async fn an_order_paid_after_its_pieces_went_to_another_is_paid_back() {
    for shop in Shop::each(&[("RESERVATION_TTL", "10ms")]).await {
        shop.misbehave(Who::Payment, FAILING);
        let late = id(&shop.order(PORTCULLIS, 3, None).await.expect(202).json());
        // Its reservation runs out, and somebody else takes all there are.
        let all = json!({ "quantity": 3 });
        let purchases = format!("/products/{PORTCULLIS}/purchases");
        while shop.ask("eve", Method::POST, &purchases, Some(&all)).await.status != 201 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        shop.misbehave(Who::Payment, Mischief::default());
        shop.until(&late, "cancelled").await;
        assert_eq!(shop.get(&format!("/orders/{late}")).await["reason"], "stock_lost");
        let ledger = shop.get("/ledger-report").await;
        assert_eq!(ledger["charged_cents"], 3 * PORTCULLIS_CENTS);
        assert_eq!(ledger["refunded_cents"], 3 * PORTCULLIS_CENTS);
    }
}

#[tokio::test]
async fn a_dead_letter_is_shown_replayed_and_thrown_away() {
    for shop in Shop::each(&[]).await {
        let key = Uuid::now_v7().to_string();
        let event = |kind: &str| Event::new(kind, &key, 1, &Trace::resume(None, None), json!({}));
        let (first, second) = (event("payment.charged"), event("payment.voided"));
        for event in [&first, &second] {
            let body = serde_json::to_value(event).unwrap();
            shop.direct(Who::Order, Method::POST, "/events/order-service", Some(&body)).await.expect(204);
        }
        let letters =
            shop.direct(Who::Order, Method::GET, "/dead-letters?limit=1", None).await.expect(200).json();
        assert_eq!(letters["items"][0]["reason"], format!("there is no order {key}"));
        assert_eq!(letters["items"][0]["event"]["id"], first.id.to_string());
        let next = format!("/dead-letters?cursor={}", letters["next"].as_str().unwrap());
        let rest = shop.direct(Who::Order, Method::GET, &next, None).await.expect(200).json();
        assert_eq!((&rest["items"][0]["id"], &rest["next"]), (&json!(second.id), &Value::Null));
        let replay = |id: Uuid| format!("/dead-letters/{id}/replay");
        shop.direct(Who::Order, Method::POST, &replay(second.id), None).await.problem(409, "not_the_first");
        let tried = shop.direct(Who::Order, Method::POST, &replay(first.id), None).await.expect(200).json();
        assert_eq!((&tried["replayed"], &tried["left"]), (&json!(0), &json!(2)));
        for event in [&first, &second] {
            let path = format!("/dead-letters/{}", event.id);
            shop.direct(Who::Order, Method::DELETE, &path, None).await.expect(204);
            shop.direct(Who::Order, Method::DELETE, &path, None).await.problem(404, "not_found");
        }
        shop.direct(Who::Order, Method::POST, &replay(first.id), None).await.problem(404, "not_found");
        let nobody = shop.order(OIL, 1, None).await.expect(201);
        assert_eq!(nobody.json()["state"], "paid");
    }
}

#[tokio::test]
async fn a_dead_letter_takes_effect_once_what_it_lacked_is_there() {
    for shop in Shop::each(&[]).await {
        // Money came for an order that is still being placed: forbidden, so dead; then it is reserved.
        shop.misbehave(Who::Product, FAILING);
        let order = id(&shop.order(OIL, 1, None).await.expect(202).json());
        let charged = Event::new("payment.charged", &order, 1, &Trace::resume(None, None), json!({}));
        let body = serde_json::to_value(&charged).unwrap();
        shop.direct(Who::Order, Method::POST, "/events/order-service", Some(&body)).await.expect(204);
        let letters = shop.direct(Who::Order, Method::GET, "/dead-letters", None).await.expect(200).json();
        assert_eq!(letters["items"][0]["reason"], "an order that is placed cannot be charged");
        shop.misbehave(Who::Payment, FAILING);
        shop.misbehave(Who::Product, Mischief::default());
        shop.until(&order, "reserved").await;
        let replay = format!("/dead-letters/{}/replay", charged.id);
        let replayed = shop.direct(Who::Order, Method::POST, &replay, None).await.expect(200).json();
        assert_eq!(replayed, json!({ "replayed": 1, "left": 0, "reason": null }));
        assert_eq!(shop.state(&order).await, "paid");
        // It is known now: once more it does nothing.
        shop.direct(Who::Order, Method::POST, "/events/order-service", Some(&body)).await.expect(204);
        assert_eq!(shop.state(&order).await, "paid");
    }
}

#[tokio::test]
async fn an_order_is_its_customers_alone() {
    for shop in Shop::each(&[]).await {
        let order = id(&shop.order(OIL, 1, None).await.expect(201).json());
        for (method, path) in [(Method::GET, ""), (Method::POST, "/payment"), (Method::POST, "/cancel")] {
            let path = format!("/orders/{order}{path}");
            shop.ask("bob", method, &path, None).await.problem(404, "not_found");
        }
        assert_eq!(
            shop.ask("bob", Method::GET, "/orders", None).await.expect(200).json()["items"],
            json!([])
        );
        let own = shop.get("/orders?state=paid&limit=1").await;
        assert_eq!((&own["items"][0]["id"], &own["next"]), (&json!(order), &Value::Null));
        assert_eq!(shop.get("/orders?state=placed").await["items"], json!([]));
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    for shop in Shop::each(&[]).await {
        for (body, code) in [
            (json!({ "product_id": 6 }), 422),
            (json!({ "product_id": 6, "quantity": 0 }), 422),
            (json!({ "product_id": 6, "quantity": 1_001 }), 422),
            (json!({ "product_id": 0, "quantity": 1 }), 422),
            (json!({ "product_id": "6", "quantity": 1 }), 422),
            (json!({ "product_id": 6, "quantity": 1, "price_cents": 1 }), 422),
        ] {
            let seen = shop.ask("ada", Method::POST, "/orders", Some(&body)).await;
            assert_eq!(
                (seen.status, seen.header("content-type")),
                (code, "application/problem+json"),
                "{body}"
            );
        }
        for path in ["/orders?limit=0", "/orders?cursor=x"] {
            shop.ask("ada", Method::GET, path, None).await.problem(422, "invalid_value");
        }
        shop.ask("ada", Method::GET, "/orders?state=lost", None).await.problem(400, "malformed_query");
        for path in ["/orders/x", "/orders/%00"] {
            shop.ask("ada", Method::GET, path, None).await.problem(404, "not_found");
        }
        let long = "k".repeat(129);
        shop.order(OIL, 1, Some(&long)).await.problem(422, "invalid_value");
        for body in [
            json!({ "order_id": "", "amount_cents": 1 }),
            json!({ "order_id": "a\u{0}b", "amount_cents": 1 }),
            json!({ "order_id": "o1", "amount_cents": 0 }),
        ] {
            shop.ask("ada", Method::POST, "/payments", Some(&body)).await.problem(422, "invalid_value");
        }
        let charge = |cents: i64| json!({ "order_id": "o1", "amount_cents": cents });
        shop.ask("ada", Method::POST, "/payments", Some(&charge(5))).await.expect(201);
        shop.ask("ada", Method::POST, "/payments", Some(&charge(5))).await.expect(200);
        shop.ask("ada", Method::POST, "/payments", Some(&charge(6))).await.problem(409, "other_amount");
        assert_eq!(shop.post("/payments/o1/refund").await.expect(200).json()["state"], "refunded");
        shop.ask("ada", Method::POST, "/payments", Some(&charge(5))).await.problem(409, "refunded");
        assert_eq!(shop.post("/payments/o2/refund").await.expect(200).json()["state"], "voided");
        shop.ask("ada", Method::GET, "/payments", None).await.problem(403, "not_staff");
        shop.ask("ada", Method::GET, "/payments/o3", None).await.problem(404, "not_found");
        let max = json!({ "order_id": "o4", "amount_cents": i64::MAX });
        shop.ask("ada", Method::POST, "/payments", Some(&max)).await.problem(402, "declined");
    }
}
