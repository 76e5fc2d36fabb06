//! The example's tests: a gateway with one filter, in process, without a socket.

use http::StatusCode;
use portcullis_plugin_example_maintenance::Maintenance;
use portcullis_plugin_sdk::testing::Harness;
use serde_json::json;

#[test]
fn a_client_is_told_when_to_come_back() {
    let gateway = Harness::with::<Maintenance>(json!({ "retry_after": "10m" })).unwrap();
    let seen = gateway.get("/orders/42").send().unwrap();
    assert!(!seen.reached_upstream());
    assert_eq!(seen.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(seen.header("retry-after"), ["600"]);
    assert_eq!(seen.header("cache-control"), ["no-store"]);
    assert_eq!(seen.header("content-type"), ["application/json"]);
    assert_eq!(seen.body(), r#"{"status":503,"title":"This service is under maintenance."}"#);
}

#[test]
fn a_client_in_the_allow_list_gets_through() {
    let settings =
        json!({ "retry_after": "1h", "allow": ["10.0.0.0/8", "2001:db8::1"], "message": "Later." });
    let gateway = Harness::with::<Maintenance>(settings).unwrap();
    for (ip, gets_through) in [
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("2001:db8::1", true),
        ("11.0.0.1", false),
        ("2001:db8::2", false),
    ] {
        let seen = gateway.get("/").from_ip(ip).send().unwrap();
        assert_eq!(seen.reached_upstream(), gets_through, "{ip}");
    }
}

#[test]
fn a_mistake_in_the_settings_is_pointed_at() {
    let gateway = Harness::with::<Maintenance>(json!({ "retry_after": "10m" })).unwrap();
    let error = gateway.config_error(json!({ "retry_after": "10m", "allow": ["10.0.0.0/8", "the office"] }));
    assert!(error.starts_with("/allow/1: `the office` is not an address"), "{error}");
    let error = gateway.config_error(json!({ "retry_after": 600 }));
    assert!(error.starts_with("/retry_after: "), "{error}");
    let error = gateway.config_error(json!({ "retryafter": "10m" }));
    assert_eq!(error, "/retryafter: unknown setting `retryafter`; did you mean `retry_after`?");
}
