//! Endpoints drained and brought back, breakers reset, and what the API says of routes, services and plugins.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Act, Answer, Gateway, Registry, Reply, Upstream, until};

fn two(first: &Upstream, second: &Upstream) -> String {
    format!(
        "upstreams: {{ orders: {{ hosts: [\"{}\", \"{}\"] }} }}\nroutes: {{ all: {{ path: /**, to: orders }} }}",
        first.address, second.address
    )
}

fn set_state(gateway: &Gateway, endpoint: &str, state: &str) -> Reply {
    let target = format!("/api/v1/upstreams/orders/endpoints/{endpoint}");
    gateway.admin("PATCH", &target, &format!("{{\"state\": \"{state}\"}}"))
}

/// Asks so often that both endpoints would have been asked.
fn ask_around(gateway: &Gateway) {
    for _ in 0..10 {
        assert_eq!(gateway.get("/").status, 200);
    }
}

#[test]
fn a_drained_endpoint_gets_no_new_request_and_finishes_those_it_has() {
    let slow = Upstream::start(|seen| match seen.target.as_str() {
        "/slow" => Act::Late(Duration::from_millis(600), Answer::new(200, "late but whole")),
        _ => Act::ok("quick"),
    });
    let other = Upstream::answering("other");
    let gateway = Gateway::start(&two(&slow, &other));
    let mut clients = Vec::new();
    // Round-robin: one of two goes to each.
    for _ in 0..2 {
        let mut client = gateway.client();
        client.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
        clients.push(client);
    }
    until("a request is in flight there", || slow.count() == 1);
    let drained = set_state(&gateway, &slow.address.to_string(), "drain");
    assert_eq!(drained.status, 200, "{}", drained.text());
    assert_eq!(
        (drained.json()["draining"].as_bool(), drained.json()["in_flight"].as_u64()),
        (Some(true), Some(1))
    );
    ask_around(&gateway);
    assert_eq!(slow.count(), 1, "a drained endpoint was asked");
    let bodies: Vec<String> = clients.iter_mut().map(|client| client.reply().text()).collect();
    assert!(bodies.contains(&"late but whole".to_owned()), "{bodies:?}");
    let ready = set_state(&gateway, &slow.address.to_string(), "ready");
    assert_eq!(ready.json()["draining"], false);
    ask_around(&gateway);
    assert!(slow.count() > 1, "it is asked again");
}

#[test]
fn a_drain_survives_a_reload_that_changes_the_upstream() {
    let (first, second) = (Upstream::answering("1"), Upstream::answering("2"));
    let gateway = Gateway::start(&two(&first, &second));
    assert_eq!(set_state(&gateway, &first.address.to_string(), "drain").status, 200);
    let changed = two(&first, &second).replace("hosts:", "max_requests: 100, hosts:");
    let reloaded = gateway.reload(&changed);
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    let before = first.count();
    ask_around(&gateway);
    assert_eq!(first.count(), before);
    let shown = gateway.admin("GET", "/api/v1/upstreams/orders/endpoints?filter=", "").json();
    let draining: Vec<&Value> =
        shown["items"].as_array().unwrap().iter().filter(|item| item["draining"] == true).collect();
    assert_eq!(draining.len(), 1, "{shown}");
    assert_eq!(draining[0]["address"], first.address.to_string());
}

#[test]
fn a_drain_survives_an_update_of_the_registry() {
    let (first, second, third) =
        (Upstream::answering("1"), Upstream::answering("2"), Upstream::answering("3"));
    let registry = Registry::start();
    registry.set("orders", &[("a", first.address), ("b", second.address)]);
    let gateway = Gateway::start(&format!(
        "discovery: {{ consul: {{ address: \"http://{}\", wait: 1s }} }}\n\
         upstreams: {{ orders: \"consul://orders\" }}\nroutes: {{ all: {{ path: /**, to: orders }} }}",
        registry.address
    ));
    assert_eq!(set_state(&gateway, "a", "drain").status, 200);
    registry.set("orders", &[("a", first.address), ("b", second.address), ("c", third.address)]);
    until("the new instance is asked", || {
        assert_eq!(gateway.get("/").status, 200);
        third.count() > 0
    });
    assert_eq!(first.count(), 0, "a drained endpoint was asked");
    assert_eq!(set_state(&gateway, "a", "ready").status, 200);
    until("the instance is asked again", || {
        assert_eq!(gateway.get("/").status, 200);
        first.count() > 0
    });
}

#[test]
fn an_endpoint_that_is_not_there_is_named_with_the_nearest() {
    let (first, second) = (Upstream::answering("1"), Upstream::answering("2"));
    let gateway = Gateway::start(&two(&first, &second));
    let unknown = set_state(&gateway, "nobody", "drain");
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "unknown_endpoint"));
    assert_eq!(set_state(&gateway, &first.address.to_string(), "asleep").status, 422);
    let other = gateway.admin("PATCH", "/api/v1/upstreams/carts/endpoints/x", "{\"state\": \"drain\"}");
    assert_eq!(other.code(), "unknown_upstream");
}

#[test]
fn a_reset_lets_requests_through_a_tripped_breaker() {
    let broken = Arc::new(AtomicBool::new(true));
    let theirs = broken.clone();
    let upstream = Upstream::start(move |_| match theirs.load(Ordering::SeqCst) {
        true => Act::status(503),
        false => Act::ok("mended"),
    });
    let gateway = Gateway::start(&format!(
        "upstreams: {{ orders: {{ hosts: [\"{}\"] }} }}\nroutes:\n  all:\n    path: /**\n    to: orders\n    \
         circuit_breaker: {{ consecutive: 2, open: 5m }}\n",
        upstream.address
    ));
    until("the breaker trips", || {
        gateway.get("/").header("proxy-status").is_some_and(|text| text.contains("breaker")) || {
            gateway.admin("GET", "/api/v1/upstreams/orders", "").json()["breaker"] == "tripped"
        }
    });
    let asked = upstream.count();
    assert_eq!(gateway.get("/").status, 503);
    assert_eq!(upstream.count(), asked, "a tripped breaker asks nobody");
    broken.store(false, Ordering::SeqCst);
    let reset = gateway.admin("POST", "/api/v1/circuits/orders/reset", "");
    assert_eq!(reset.status, 200, "{}", reset.text());
    assert!(reset.json()["reset"].as_u64().unwrap() >= 1);
    assert_eq!(gateway.get("/").text(), "mended");
    assert_eq!(gateway.admin("POST", "/api/v1/circuits/orders/reset", "").json()["reset"], 0);
}

#[test]
fn services_are_shown_routed_or_not_and_what_was_said_last_if_the_registry_is_away() {
    let upstream = Upstream::answering("1");
    let registry = Registry::start();
    registry.set("orders", &[("a", upstream.address)]);
    registry.set("reports", &[("r", upstream.address)]);
    let gateway = Gateway::start(&format!(
        "discovery: {{ consul: {{ address: \"http://{}\", wait: 1s }} }}\n\
         routes:\n  all: {{ path: /**, to: \"consul://orders\" }}\n  gone: {{ path: /gone, to: \"consul://gone\" }}",
        registry.address
    ));
    let shown = gateway.admin("GET", "/api/v1/services", "");
    assert!(shown.header("x-registry-trouble").is_none(), "{shown:?}");
    let items = shown.json()["items"].as_array().unwrap().clone();
    let of =
        |name: &str| items.iter().find(|item| item["name"] == name).unwrap_or_else(|| panic!("{items:?}"));
    assert_eq!(
        (of("orders")["offered"].as_bool(), of("orders")["endpoints"].as_u64()),
        (Some(true), Some(1))
    );
    assert_eq!(of("orders")["upstreams"][0], "consul://orders");
    assert_eq!(
        (of("reports")["offered"].as_bool(), of("reports")["upstreams"].as_array().unwrap().len()),
        (Some(true), 0)
    );
    assert_eq!(of("gone")["offered"], false);
    drop(registry);
    until("the registry's absence is told", || {
        let shown = gateway.admin("GET", "/api/v1/services", "");
        let items = shown.json()["items"].as_array().unwrap().len();
        assert!(items >= 3, "{}", shown.text());
        shown.header("x-registry-trouble").is_some_and(|text| text.contains("last answered"))
    });
}

#[test]
fn routes_are_listed_matched_and_explained() {
    let gateway = Gateway::start(
        "defaults: { timeout: { request: 7s } }\n\
         routes:\n  orders: { host: shop.test, path: \"/api/orders/{id:uint}\", methods: [GET, POST], to: \"http://127.0.0.1:1\" }\n  \
           rest: { path: /**, to: \"http://127.0.0.1:2\" }\n",
    );
    let listed = gateway.admin("GET", "/api/v1/routes?filter=SHOP", "").json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    let orders = &listed["items"][0];
    assert_eq!(
        (orders["path"].as_str(), orders["hosts"][0].as_str()),
        (Some("/api/orders/{id:uint}"), Some("shop.test"))
    );
    assert_eq!(orders["methods"].as_array().unwrap().len(), 3, "HEAD comes with GET: {orders}");
    let ask = |body: &str| gateway.admin("POST", "/api/v1/match", body);
    let won = ask(r#"{"request": "GET shop.test/api/./orders/42?x=1"}"#).json();
    assert_eq!((won["route"].as_str(), won["path"].as_str()), (Some("orders"), Some("/api/orders/42")));
    assert!(won["lost"][0]["reason"].as_str().unwrap().contains("`orders` is more specific"), "{won}");
    let other = ask(r#"{"request": "GET shop.test/api/orders/no-number", "listener": "web"}"#).json();
    assert_eq!(other["route"], "rest");
    for bad in [r#"{"request": "nonsense"}"#, r#"{"request": "GET a/b", "listener": "none"}"#, r#"{}"#] {
        assert_eq!(ask(bad).status, 422, "{bad}");
    }
    let explained = gateway.admin("GET", "/api/v1/routes/orders/explain", "").json();
    let settings = explained["settings"].as_array().unwrap();
    let request = settings.iter().find(|setting| setting["key"] == "timeout.request").unwrap();
    assert_eq!((request["value"].as_str(), request["source"].as_str()), (Some("7s"), Some("defaults")));
    assert!(request["line"].is_u64());
    let unknown = gateway.admin("GET", "/api/v1/routes/order/explain", "");
    assert!(unknown.status == 404 && unknown.text().contains("`orders`"), "{}", unknown.text());
}

#[test]
fn plugins_are_listed_with_their_settings_and_their_routes() {
    let gateway = Gateway::start(
        "routes:\n  a: { path: /a, to: \"http://127.0.0.1:1\", plugins: [ { cors: { origins: [ \"https://shop.test\" ] } } ] }\n",
    );
    let listed = gateway.admin("GET", "/api/v1/plugins", "").json();
    let cors =
        listed["items"].as_array().unwrap().iter().find(|item| item["name"] == "cors").unwrap().clone();
    assert_eq!((cors["routes"].as_u64(), cors["used_by"][0].as_str()), (Some(1), Some("a")));
    assert!(cors["settings"]["properties"]["origins"].is_object(), "{cors}");
}

#[test]
fn certificates_are_shown_with_their_names_and_their_end() {
    let made =
        rcgen::generate_simple_self_signed(vec!["shop.test".to_owned(), "*.shop.test".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let gateway = Gateway::start(&format!(
        "listeners: {{ web: {{ address: \"127.0.0.1:0\", tls: {{ cert: {}, key: {} }} }} }}\n\
         routes: {{ a: {{ path: /a, to: \"http://127.0.0.1:1\" }} }}",
        cert.display(),
        key.display()
    ));
    let shown = gateway.admin("GET", "/api/v1/certificates", "").json();
    let item = &shown["items"][0];
    assert_eq!((item["listener"].as_str(), item["names"][1].as_str()), (Some("web"), Some("*.shop.test")));
    assert!(
        item["days_left"].as_i64().unwrap() > 300 && item["sha256"].as_str().unwrap().len() == 64,
        "{item}"
    );
}
