//! The order of the gates, from outside: where two neighbours would both stop a request, the earlier one does.

use portcullis_core::snapshot::Gate;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::{Gateway, Issuer, Upstream};

/// One path for each pair of neighbours.
fn config(keys: &Upstream, app: &Upstream) -> String {
    let hash = hex::encode(Sha256::digest(b"key"));
    let (app, keys) = (app.address, keys.address);
    let jwt = format!(
        "jwt: {{ issuer: \"https://issuer.test\", audience: shop, jwks: \"http://{keys}/keys\", algorithms: [ES256] }}"
    );
    let route =
        |name: &str, gates: &str| format!("  {name}: {{ path: /{name}, to: \"http://{app}\", {gates} }}\n");
    let once = |by: &str| format!("rate_limit: {{ rate: 1/h, by: {by} }}");
    [
        format!("consumers: {{ robot: {{ api_keys: [{{ sha256: {hash} }}] }} }}\nroutes:\n"),
        route(
            "preflight",
            &format!("{}, plugins: [{{ cors: {{ origins: [\"https://shop.test\"] }} }}]", once("route")),
        ),
        route("rate_limit", &format!("{}, api_key: X-Api-Key", once("route"))),
        route("api_key", &format!("api_key: X-Api-Key, {jwt}")),
        route("jwt", &format!("{jwt}, {}", once("consumer"))),
        route("consumer_limit", &format!("api_key: X-Api-Key, {}, max_body: 1B", once("consumer"))),
    ]
    .concat()
}

#[test]
fn of_two_gates_that_would_stop_a_request_the_earlier_one_does() {
    let (issuer, app) = (Issuer::new("k1"), Upstream::answering("in"));
    let keys = issuer.serve();
    let gateway = Gateway::start(&config(&keys, &app));
    let get = |target: &str, headers: &[(&str, &str)]| gateway.ask("GET", target, headers, "");
    let key = [("X-Api-Key", "key")];
    let mut tried = Vec::new();

    tried.push([Gate::Preflight, Gate::RateLimit]);
    assert_eq!([get("/preflight", &[]).status, get("/preflight", &[]).status], [200, 429]);
    let preflight = [("Origin", "https://shop.test"), ("Access-Control-Request-Method", "GET")];
    assert_eq!(gateway.ask("OPTIONS", "/preflight", &preflight, "").status, 204);

    tried.push([Gate::RateLimit, Gate::ApiKey]);
    assert_eq!([get("/rate_limit", &key).status, get("/rate_limit", &[]).status], [200, 429]);

    tried.push([Gate::ApiKey, Gate::Jwt]);
    for (headers, challenge) in [(&[][..], "ApiKey"), (&key[..], "Bearer")] {
        let refused = get("/api_key", headers);
        assert_eq!(refused.status, 401);
        let said = refused.header("www-authenticate").unwrap_or_default();
        assert!(said.starts_with(challenge), "{said}");
    }

    tried.push([Gate::Jwt, Gate::ConsumerLimit]);
    let token = format!("Bearer {}", issuer.token(&json!({ "sub": "u1" })));
    let bearer = [("Authorization", token.as_str())];
    assert_eq!([get("/jwt", &bearer).status, get("/jwt", &bearer).status], [200, 429]);
    assert_eq!([get("/jwt", &[]).status, get("/jwt", &[]).status, get("/jwt", &[]).status], [401; 3]);

    tried.push([Gate::ConsumerLimit, Gate::MaxBody]);
    let post = || gateway.ask("POST", "/consumer_limit", &key, "too long").status;
    assert_eq!([post(), post()], [413, 429]);

    // No plugin of this binary stops a request, so the last pair is shown by the code alone.
    let neighbours: Vec<&[Gate]> = Gate::ORDER.windows(2).collect();
    assert_eq!(tried, neighbours[..neighbours.len() - 1]);
}
