//! The product service over a real socket, on both kinds of database.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::reservations::{Settled, expire, settle};
use super::*;
use crate::databases::{self, TestDatabase};
use crate::product::event::Happened;
use crate::served::{Seen, Served, serve};
use crate::server;

const TTL_MS: i64 = 60_000;

struct Shop {
    served: Served,
    products: Arc<Products>,
    _database: TestDatabase,
}

/// A fresh service for each kind of database.
async fn shops() -> Vec<Shop> {
    let mut shops = Vec::new();
    for database in databases::each().await {
        let store = database.open(MIGRATIONS).await;
        let products = Arc::new(Products { store, clock: Clock::set_to(1_000_000), ttl_ms: TTL_MS });
        let served = serve(server::app(router(products.clone()))).await;
        shops.push(Shop { served, products, _database: database });
    }
    shops
}

impl Shop {
    async fn staff(&self, method: Method, path: &str, body: &Value) -> Seen {
        let request = self.served.ask(method, path).json(body);
        let request = request.header("x-user-id", "s-1").header("x-user-role", "staff");
        Seen::of(request.header("x-scopes", "profile products:write")).await
    }

    async fn reserve(&self, order: &str, product: i64, quantity: i64) -> Seen {
        let body = json!({ "product_id": product, "quantity": quantity });
        Seen::of(self.served.ask(Method::PUT, &format!("/reservations/{order}")).json(&body)).await
    }

    async fn release(&self, order: &str) -> Seen {
        Seen::of(self.served.ask(Method::DELETE, &format!("/reservations/{order}"))).await
    }

    async fn state(&self, order: &str) -> String {
        let seen = self.served.get(&format!("/reservations/{order}")).await.expect(200);
        seen.json()["state"].as_str().unwrap().to_owned()
    }

    async fn settle(&self, order: &str, happened: Happened) -> Settled {
        let mut tx = self.products.store.begin().await.unwrap();
        let settled = settle(&mut tx, order, happened).await.unwrap();
        tx.commit().await.unwrap();
        settled
    }

    /// Available, held and sold of a product; the books must be in order.
    async fn pieces(&self, product: i64) -> [i64; 3] {
        let report = self.served.get("/stock-report").await.expect(200).json();
        assert_eq!(report["adds_up"], true, "{report}");
        let line =
            report["items"].as_array().unwrap().iter().find(|line| line["product_id"] == product).unwrap();
        ["available", "held", "sold"].map(|place| line[place].as_i64().unwrap())
    }
}

#[tokio::test]
async fn the_catalogue_is_read_page_by_page() {
    for shop in shops().await {
        let mut path = "/products?limit=4".to_owned();
        let mut names = Vec::new();
        loop {
            let seen = shop.served.get(&path).await.expect(200);
            let page = seen.json();
            names.extend(page["items"].as_array().unwrap().iter().map(|item| item["name"].to_string()));
            let Some(next) = page["next"].as_str() else {
                assert_eq!(seen.header("link"), "");
                break;
            };
            assert_eq!(seen.header("link"), format!("<?limit=4&cursor={next}>; rel=\"next\""));
            path = format!("/products?limit=4&cursor={next}");
        }
        assert_eq!(names.len(), 6);
    }
}

#[tokio::test]
async fn a_search_looks_for_a_part_of_the_name_whatever_its_case() {
    for shop in shops().await {
        let found = async |search: &str| {
            let page = shop.served.get(&format!("/products?search={search}")).await.expect(200).json();
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["id"].as_i64().unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(found("OIL").await, [6]);
        assert_eq!(found("er").await, [3, 4, 5]);
        assert_eq!(found("%25").await, [0; 0]);
        assert_eq!(found("_").await, [0; 0]);
        shop.served.get("/products?search=%00").await.problem(422, "invalid_value");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_by_name() {
    for shop in shops().await {
        shop.served.get("/products?limit=0").await.problem(422, "invalid_value");
        shop.served.get("/products?limit=x").await.problem(400, "malformed_query");
        shop.served.get("/products?cursor=7").await.problem(422, "invalid_value");
        shop.served.get("/products?after=7").await.problem(400, "malformed_query");
        shop.served.get("/products/99").await.problem(404, "not_found");
        shop.served.get("/products/x").await.problem(400, "malformed_path");
        shop.served.get("/products/99999999999999999999").await.problem(400, "malformed_path");
        let seen =
            Seen::of(shop.served.ask(Method::DELETE, "/products/1")).await.problem(405, "wrong_method");
        assert_eq!(seen.header("allow"), "GET,HEAD,PATCH");
    }
}

#[tokio::test]
async fn staff_edit_the_catalogue_and_nobody_else_does() {
    for shop in shops().await {
        let rope = json!({ "name": "Rope, 10 m", "price_cents": 900, "stock": 5 });
        shop.served.post("/products", &rope).await.problem(401, "no_identity");
        let customer = shop.served.ask(Method::POST, "/products").json(&rope).header("x-user-id", "c-1");
        Seen::of(customer.header("x-scopes", "products:write")).await.problem(403, "not_staff");
        let made = shop.staff(Method::POST, "/products", &rope).await.expect(201);
        assert_eq!(made.header("location"), "products/7");
        let changed =
            shop.staff(Method::PATCH, "/products/7", &json!({ "price_cents": 950, "add_stock": -2 })).await;
        let expected = json!({ "id": 7, "name": "Rope, 10 m", "price_cents": 950, "stock": 3 });
        assert_eq!(changed.expect(200).json(), expected);
        assert_eq!(shop.served.get("/products/7").await.json(), expected);
        let refused =
            shop.staff(Method::PATCH, "/products/7", &json!({ "add_stock": -4, "name": "x" })).await;
        refused.problem(409, "stock_range");
        assert_eq!(shop.served.get("/products/7").await.json(), expected);
        assert_eq!(shop.pieces(7).await, [3, 0, 0]);
    }
}

#[tokio::test]
async fn values_that_cannot_be_are_refused() {
    for shop in shops().await {
        let good = json!({ "name": "Rope", "price_cents": 900, "stock": 5 });
        for (name, value) in [
            ("name", json!("")),
            ("name", json!("a\u{0}b")),
            ("name", json!("x".repeat(101))),
            ("price_cents", json!(0)),
            ("price_cents", json!(1_000_000_001_i64)),
            ("price_cents", json!(1.5)),
            ("price_cents", json!("900")),
            ("stock", json!(-1)),
            ("stock", json!(9_223_372_036_854_775_807_i64)),
            ("colour", json!("red")),
        ] {
            let mut body = good.clone();
            body[name] = value;
            let seen = shop.staff(Method::POST, "/products", &body).await;
            assert_eq!(
                (seen.status, seen.header("content-type")),
                (422, "application/problem+json"),
                "{body}"
            );
        }
        for body in [json!({}), json!({ "name": null }), json!({ "stock": 5 }), json!([])] {
            assert_eq!(shop.staff(Method::PATCH, "/products/1", &body).await.status, 422, "{body}");
        }
        shop.staff(Method::PATCH, "/products/99", &json!({ "name": "x" })).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn a_reservation_is_made_once_however_often_it_is_asked_for() {
    for shop in shops().await {
        let made = shop.reserve("o-1", 5, 3).await.expect(201).json();
        assert_eq!((&made["state"], &made["price_cents"]), (&json!("held"), &json!(2350)));
        assert_eq!(shop.reserve("o-1", 5, 3).await.expect(200).json(), made);
        assert_eq!(shop.pieces(5).await, [397, 3, 0]);
        shop.reserve("o-1", 5, 4).await.problem(409, "different_reservation");
        shop.reserve("o-1", 6, 3).await.problem(409, "different_reservation");
        shop.reserve("o-2", 99, 1).await.problem(404, "not_found");
        shop.reserve("o-2", 5, 398).await.problem(409, "out_of_stock");
        shop.served.get("/reservations/o-2").await.problem(404, "not_found");
        shop.reserve("o-2", 5, 0).await.problem(422, "invalid_value");
        shop.reserve("o%002", 5, 1).await.problem(422, "invalid_value");
        assert_eq!(shop.pieces(5).await, [397, 3, 0]);
    }
}

#[tokio::test]
async fn a_price_that_changes_later_changes_no_reservation() {
    for shop in shops().await {
        shop.reserve("o-1", 5, 1).await.expect(201);
        shop.staff(Method::PATCH, "/products/5", &json!({ "price_cents": 1 })).await.expect(200);
        assert_eq!(shop.reserve("o-1", 5, 1).await.expect(200).json()["price_cents"], 2350);
    }
}

#[tokio::test]
async fn a_release_gives_back_once_and_for_good() {
    for shop in shops().await {
        shop.reserve("o-1", 5, 3).await.expect(201);
        shop.release("o-1").await.expect(204);
        shop.release("o-1").await.expect(204);
        assert_eq!(shop.pieces(5).await, [400, 0, 0]);
        shop.reserve("o-1", 5, 3).await.problem(409, "cancelled");
        // An order that is released before its reservation arrives gets none.
        shop.release("o-2").await.expect(204);
        shop.reserve("o-2", 5, 3).await.problem(409, "cancelled");
        shop.reserve("o-3", 5, 3).await.expect(201);
        shop.settle("o-3", Happened::Paid).await;
        shop.release("o-3").await.problem(409, "sold");
        assert_eq!(shop.pieces(5).await, [397, 0, 3]);
    }
}

#[tokio::test]
async fn pieces_held_too_long_go_back_and_can_be_held_again() {
    for shop in shops().await {
        shop.reserve("o-1", 1, 3).await.expect(201);
        let expire = async || expire(&shop.products.store, shop.products.clock.now_ms()).await.unwrap();
        shop.products.clock.advance(Duration::from_millis(59_999));
        assert_eq!(expire().await, 0);
        shop.products.clock.advance(Duration::from_millis(1));
        assert_eq!((expire().await, expire().await), (1, 0));
        assert_eq!((shop.state("o-1").await.as_str(), shop.pieces(1).await), ("expired", [3, 0, 0]));
        shop.reserve("o-1", 1, 3).await.expect(200);
        assert_eq!((shop.state("o-1").await.as_str(), shop.pieces(1).await), ("held", [0, 3, 0]));
        shop.products.clock.advance(Duration::from_millis(60_000));
        expire().await;
        shop.reserve("o-2", 1, 2).await.expect(201);
        shop.reserve("o-1", 1, 3).await.problem(409, "out_of_stock");
        assert_eq!((shop.state("o-1").await.as_str(), shop.pieces(1).await), ("expired", [1, 2, 0]));
    }
}

#[tokio::test]
async fn an_event_moves_pieces_once_and_a_late_payment_finds_them_or_says_so() {
    for shop in shops().await {
        shop.reserve("o-1", 1, 2).await.expect(201);
        for _ in 0..2 {
            assert_eq!(shop.settle("o-1", Happened::Paid).await, Settled::Done);
            assert_eq!(shop.pieces(1).await, [1, 0, 2]);
        }
        for _ in 0..2 {
            assert_eq!(shop.settle("o-1", Happened::Cancelled).await, Settled::Done);
            assert_eq!((shop.state("o-1").await.as_str(), shop.pieces(1).await), ("released", [3, 0, 0]));
        }
        shop.reserve("o-2", 1, 2).await.expect(201);
        shop.products.clock.advance(Duration::from_millis(60_000));
        expire(&shop.products.store, shop.products.clock.now_ms()).await.unwrap();
        assert_eq!(shop.settle("o-2", Happened::Paid).await, Settled::Done);
        assert_eq!((shop.state("o-2").await.as_str(), shop.pieces(1).await), ("sold", [1, 0, 2]));
        shop.reserve("o-3", 1, 1).await.expect(201);
        shop.products.clock.advance(Duration::from_millis(60_000));
        expire(&shop.products.store, shop.products.clock.now_ms()).await.unwrap();
        shop.reserve("o-4", 1, 1).await.expect(201);
        assert_eq!(shop.settle("o-3", Happened::Paid).await, Settled::Lost);
        assert_eq!(shop.settle("o-5", Happened::Paid).await, Settled::Lost);
        assert_eq!(shop.pieces(1).await, [0, 1, 2]);
    }
}

#[tokio::test]
async fn an_order_cancelled_before_it_was_known_reserves_nothing() {
    for shop in shops().await {
        assert_eq!(shop.settle("o-1", Happened::Cancelled).await, Settled::Done);
        shop.reserve("o-1", 1, 1).await.problem(409, "cancelled");
        assert_eq!(shop.settle("o-1", Happened::Paid).await, Settled::Lost);
        assert_eq!(shop.pieces(1).await, [3, 0, 0]);
    }
}

#[tokio::test]
async fn a_purchase_sells_at_once() {
    for shop in shops().await {
        let bought = shop.served.post("/products/1/purchases", &json!({ "quantity": 3 })).await.expect(201);
        assert_eq!(bought.json()["stock"], 0);
        let refused = shop.served.post("/products/1/purchases", &json!({ "quantity": 1 })).await;
        let refused = refused.problem(409, "out_of_stock");
        assert_eq!(refused.json()["detail"], "only 0 of `Portcullis, cast iron` left");
        shop.served.post("/products/99/purchases", &json!({ "quantity": 1 })).await.problem(404, "not_found");
        assert_eq!(shop.pieces(1).await, [0, 0, 3]);
    }
}

#[tokio::test]
async fn many_buyers_of_few_pieces_get_as_many_as_there_are() {
    for shop in shops().await {
        let orders: Vec<String> = (0..12).map(|n| format!("o-{n}")).collect();
        // Each order asks twice at the same time, and so does everybody else.
        let asked = orders.iter().chain(&orders).map(|order| shop.reserve(order, 1, 1));
        let statuses: Vec<u16> = join_all(asked).await.into_iter().map(|seen| seen.status).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 3, "{statuses:?}");
        assert!(statuses.iter().all(|status| [200, 201, 409].contains(status)), "{statuses:?}");
        assert_eq!(shop.pieces(1).await, [0, 3, 0]);
    }
}

#[tokio::test]
async fn payment_release_and_expiry_at_the_same_time_keep_the_books_in_order() {
    for shop in shops().await {
        for n in 0..6 {
            let order = format!("o-{n}");
            shop.reserve(&order, 5, 10).await.expect(201);
            shop.products.clock.advance(Duration::from_millis(60_000));
            let now_ms = shop.products.clock.now_ms();
            let (_, _, expired) = tokio::join!(
                shop.settle(&order, Happened::Paid),
                shop.release(&order),
                expire(&shop.products.store, now_ms),
            );
            expired.unwrap();
            let [available, held, sold] = shop.pieces(5).await;
            assert_eq!((available + held + sold, held), (400, 0));
        }
    }
}
