//! Built-in plugins, through the same door as anybody's.

use crate::support::{Gateway, Issuer, Upstream};
use serde_json::json;

#[test]
fn a_preflight_is_answered_before_credentials_are_asked_for() {
    let (issuer, app) = (Issuer::new("k1"), Upstream::answering("in"));
    let keys = issuer.serve();
    let gateway = Gateway::start(&format!(
        "routes:\n  all:\n    path: /**\n    to: \"http://{}\"\n    \
           jwt: {{ issuer: \"https://issuer.test\", audience: shop, jwks: \"http://{}/keys\", algorithms: [ES256] }}\n    \
           plugins: [ {{ cors: {{ origins: [\"https://shop.test\"], methods: [GET, PUT], credentials: true }} }} ]\n",
        app.address, keys.address
    ));
    let asked = |origin: &'static str, method: &'static str| {
        let headers = [("Origin", origin), ("Access-Control-Request-Method", method)];
        gateway.ask("OPTIONS", "/x", &headers, "")
    };
    let allowed = asked("https://shop.test", "PUT");
    assert!(matches!(allowed.status, 200 | 204), "{allowed:?}");
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://shop.test"));
    assert_eq!(allowed.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(asked("https://evil.test", "PUT").header("access-control-allow-origin"), None);
    // OPTIONS that is no preflight meets the gate like anything else.
    assert_eq!(gateway.ask("OPTIONS", "/x", &[], "").status, 401);
    assert_eq!(gateway.ask("GET", "/x", &[("Origin", "https://shop.test")], "").status, 401);
    assert_eq!(app.count(), 0);
    let token = format!("Bearer {}", issuer.token(&json!({ "sub": "u1" })));
    let headers = [("Origin", "https://shop.test"), ("Authorization", token.as_str())];
    let reply = gateway.ask("GET", "/x", &headers, "");
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, Some("https://shop.test")));
}

#[test]
fn the_headers_plugin_edits_both_ways_and_cannot_speak_for_the_gateway() {
    let app = Upstream::answering("in");
    let gateway = Gateway::start(&format!(
        "routes:\n  all:\n    path: /**\n    to: \"http://{}\"\n    \
           plugins:\n      - headers: {{ request: {{ set: {{ X-Stage: test }}, remove: [X-Secret] }}, \
           response: {{ set: {{ X-Served-By: us }} }} }}\n",
        app.address
    ));
    let reply = gateway.ask("GET", "/", &[("X-Stage", "mine"), ("X-Secret", "1")], "");
    assert_eq!((reply.status, reply.header("x-served-by")), (200, Some("us")));
    assert_eq!((app.only().header("x-stage"), app.only().header("x-secret")), (Some("test"), None));
}
