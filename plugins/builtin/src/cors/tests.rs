//! CORS through the harness: what a page's browser would see.

use http::{Method, StatusCode};
use portcullis_plugin_sdk::testing::{Harness, Seen};
use serde_json::{Value, json};

use super::*;

const SHOP: &str = "https://shop.example.com";

fn cors(settings: Value) -> Harness {
    Harness::with::<Cors>(settings).unwrap()
}

fn shop() -> Harness {
    cors(json!({
        "origins": [SHOP, "https://*.example.org"],
        "methods": ["GET", "PUT"],
        "headers": ["Authorization", "X-Request-Id"],
        "expose_headers": ["X-Total"],
        "credentials": true,
        "max_age": "10m",
    }))
}

fn preflight(harness: &Harness, origin: &str) -> Seen {
    harness
        .request(Method::OPTIONS, "/orders")
        .header("origin", origin)
        .header("access-control-request-method", "PUT")
        .send()
        .unwrap()
}

fn get(harness: &Harness, origin: &str) -> Seen {
    harness.get("/orders").header("origin", origin).send().unwrap()
}

#[test]
fn a_preflight_of_an_allowed_page_is_answered_with_what_it_may_do() {
    let seen = preflight(&shop(), SHOP);
    assert_eq!(seen.status(), StatusCode::NO_CONTENT);
    assert!(!seen.reached_upstream());
    assert_eq!(seen.header("access-control-allow-origin"), [SHOP]);
    assert_eq!(seen.header("access-control-allow-credentials"), ["true"]);
    assert_eq!(seen.header("access-control-allow-methods"), ["GET, PUT"]);
    assert_eq!(seen.header("access-control-allow-headers"), ["Authorization, X-Request-Id"]);
    assert_eq!(seen.header("access-control-max-age"), ["600"]);
    assert_eq!(seen.header("vary"), ["Origin"]);
    assert!(seen.body().is_empty());
}

#[test]
fn a_preflight_of_another_page_is_answered_with_nothing_allowed() {
    let seen = preflight(&shop(), "https://evil.example");
    assert_eq!(seen.status(), StatusCode::NO_CONTENT);
    assert!(!seen.reached_upstream());
    assert_eq!(seen.header("vary"), ["Origin"]);
    for name in ["origin", "credentials", "methods", "headers"] {
        assert!(seen.header(&format!("access-control-allow-{name}")).is_empty(), "{name}");
    }
}

#[test]
fn options_that_is_no_preflight_goes_to_the_upstream() {
    let harness = shop();
    let plain = harness.request(Method::OPTIONS, "/").send().unwrap();
    assert!(plain.reached_upstream());
    let with_origin = harness.request(Method::OPTIONS, "/").header("origin", SHOP).send().unwrap();
    assert!(with_origin.reached_upstream());
    assert_eq!(with_origin.header("access-control-allow-origin"), [SHOP]);
}

#[test]
fn a_reply_to_an_allowed_page_may_be_read() {
    for origin in [SHOP, "https://a.example.org"] {
        let seen = get(&shop(), origin);
        assert!(seen.reached_upstream());
        assert_eq!(seen.header("access-control-allow-origin"), [origin]);
        assert_eq!(seen.header("access-control-allow-credentials"), ["true"]);
        assert_eq!(seen.header("access-control-expose-headers"), ["X-Total"]);
        assert_eq!(seen.header("vary"), ["Origin"]);
        assert!(seen.header("access-control-allow-methods").is_empty());
    }
}

#[test]
fn a_reply_to_another_page_or_to_no_page_still_varies_by_origin() {
    let evil = get(&shop(), "https://evil.example");
    let none = shop().get("/").send().unwrap();
    for seen in [evil, none, get(&shop(), "null"), get(&shop(), "https://example.org")] {
        assert!(seen.reached_upstream());
        assert!(seen.header("access-control-allow-origin").is_empty());
        assert!(seen.header("access-control-allow-credentials").is_empty());
        assert_eq!(seen.header("vary"), ["Origin"]);
    }
}

#[test]
fn two_origins_are_none() {
    let seen = shop().get("/").header("origin", SHOP).header("origin", SHOP).send().unwrap();
    assert!(seen.header("access-control-allow-origin").is_empty());
}

#[test]
fn what_the_upstream_says_about_origins_is_replaced() {
    let loose = Reply::new(StatusCode::OK)
        .with_header(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))
        .with_header(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    let answer =
        |origin| shop().get("/").header("origin", origin).upstream_answers(loose.clone()).send().unwrap();
    assert_eq!(answer(SHOP).header("access-control-allow-origin"), [SHOP]);
    let evil = answer("https://evil.example");
    assert!(evil.header("access-control-allow-origin").is_empty());
    assert!(evil.header("access-control-allow-credentials").is_empty());
}

#[test]
fn vary_is_added_to_what_the_upstream_says_and_never_twice() {
    let answer = |vary| {
        let upstream = Reply::new(StatusCode::OK).with_header(VARY, HeaderValue::from_static(vary));
        let seen = shop().get("/").header("origin", SHOP).upstream_answers(upstream).send().unwrap();
        seen.header("vary").join(" + ")
    };
    assert_eq!(answer("Accept-Encoding"), "Accept-Encoding + Origin");
    assert_eq!(answer("accept, ORIGIN"), "accept, ORIGIN");
    assert_eq!(answer("*"), "*");
}

#[test]
fn every_origin_means_a_star_and_no_vary() {
    let open = cors(json!({ "origins": ["*"], "headers": ["*"], "methods": ["*"] }));
    let seen = get(&open, "https://anybody.example");
    assert_eq!(seen.header("access-control-allow-origin"), ["*"]);
    assert!(seen.header("access-control-allow-credentials").is_empty());
    assert!(seen.header("vary").is_empty());
    let seen = preflight(&open, "https://anybody.example");
    assert_eq!(seen.header("access-control-allow-headers"), ["*"]);
    assert_eq!(seen.header("access-control-allow-methods"), ["*"]);
    assert!(seen.header("access-control-max-age").is_empty());
}

#[test]
fn a_star_never_goes_with_credentials() {
    let good = json!({ "origins": [SHOP], "credentials": true });
    for (name, pointer) in [
        ("origins", "/origins/0"),
        ("methods", "/methods/0"),
        ("headers", "/headers/0"),
        ("expose_headers", "/expose_headers/0"),
    ] {
        let mut bad = good.clone();
        bad[name] = json!(["*"]);
        let error = shop().config_error(bad);
        assert!(error.starts_with(pointer) && error.contains("credentials"), "{error}");
    }
}

#[test]
fn a_mistake_in_the_settings_is_pointed_at() {
    let harness = shop();
    let check = |settings: Value, wanted: &str| {
        let error = harness.config_error(settings);
        assert!(error.starts_with(wanted), "{error}");
    };
    check(json!({ "origins": [] }), "/origins: list at least one");
    check(
        json!({ "origins": [SHOP, "shop.example.com"] }),
        "/origins/1: `shop.example.com`: an origin starts",
    );
    check(json!({ "origins": ["*", SHOP] }), "/origins/0: `*` allows all");
    check(json!({ "origins": [SHOP], "methods": ["get"] }), "/methods/0: `get` is not a name");
    check(json!({ "origins": [SHOP], "headers": ["X-A", "X B"] }), "/headers/1: `X B` is not a name");
    check(json!({ "origins": [SHOP], "headers": ["X-A", "*"] }), "/headers: `*` allows all");
    check(json!({ "origins": [SHOP], "max_age": 600 }), "/max_age: invalid type");
    check(json!({ "origin": [SHOP] }), "/origin: unknown setting `origin`; did you mean `origins`?");
    check(json!({}), "missing field `origins`");
}
