//! The admin API, the metrics door and the access log.

use std::os::unix::fs::PermissionsExt;

use sha2::{Digest, Sha256};

use crate::support::{Client, Gateway, Upstream, until};

fn running() -> (Upstream, Gateway) {
    let upstream = Upstream::answering("hello");
    let gateway = Gateway::start(&format!(
        "upstreams: {{ orders: \"http://{}\" }}\nroutes: {{ all: {{ path: /**, to: orders }} }}",
        upstream.address
    ));
    (upstream, gateway)
}

#[test]
fn nothing_opens_the_admin_api_but_its_token() {
    let (_upstream, gateway) = running();
    let ask =
        |headers: &[(&str, &str)]| Client::connect(gateway.admin).ask("GET", "/api/v1/status", headers, "");
    let missing = ask(&[("Host", "localhost")]);
    assert_eq!((missing.status, missing.code().as_str()), (401, "unauthenticated"));
    let good = format!("Bearer {}", gateway.token);
    for wrong in ["Bearer x", "Basic x", gateway.token.as_str(), &good[..good.len() - 1]] {
        assert_eq!(ask(&[("Host", "localhost"), ("Authorization", wrong)]).status, 401, "{wrong}");
    }
    let authorization = ("Authorization", good.as_str());
    for foreign in [("Host", "evil.test"), ("Host", "127.0.0.1.evil.test")] {
        assert_eq!(ask(&[foreign, authorization]).status, 403, "{foreign:?}");
    }
    assert_eq!(ask(&[("Host", "localhost"), ("Origin", "https://evil.test"), authorization]).status, 403);
    assert_eq!(ask(&[("Host", "127.0.0.1"), ("Origin", "http://127.0.0.1:1"), authorization]).status, 403);
    assert_eq!(ask(&[("Host", "127.0.0.1"), ("Origin", "http://127.0.0.1"), authorization]).status, 200);
    let mode = std::fs::metadata(gateway.path("state/admin-token")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn the_admin_api_shows_upstreams_and_corrects_typing_errors() {
    let (upstream, gateway) = running();
    assert_eq!(gateway.get("/").status, 200);
    let shown = gateway.admin("GET", "/api/v1/upstreams/orders", "").json();
    assert_eq!(shown["endpoints"][0]["address"], upstream.address.to_string());
    assert_eq!(shown["endpoints"][0]["picks"], 1);
    let unknown = gateway.admin("GET", "/api/v1/upstreams/order", "");
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "unknown_upstream"));
    assert!(unknown.text().contains("did you mean `orders`?"), "{}", unknown.text());
    assert_eq!(gateway.admin("GET", "/api/v1/nothing", "").status, 404);
    assert_eq!(gateway.admin("DELETE", "/api/v1/status", "").status, 405);
    assert_eq!(
        gateway.admin("GET", "/api/v1/openapi.json", "").json()["openapi"]
            .as_str()
            .unwrap()
            .split('.')
            .next(),
        Some("3")
    );
}

#[test]
fn validation_reports_every_error_and_changes_nothing() {
    let (_upstream, gateway) = running();
    let generation = gateway.generation();
    let text = "version: 1\nroutes:\n  a: { path: a, to: \"http://127.0.0.1:1\" }\n  b: { path: /b, to: nobody }\n  \
                c: { path: /c, to: \"http://127.0.0.1:1\", timeout: 5 }\n";
    let reply = gateway.admin("POST", "/api/v1/config/validate", text);
    assert_eq!(reply.status, 422);
    let problem = reply.json();
    let errors = problem["errors"].as_array().unwrap();
    assert!(errors.len() >= 3, "{problem:#}");
    assert!(errors.iter().all(|error| error["code"].as_str().unwrap().starts_with('E')), "{problem:#}");
    assert_eq!(gateway.generation(), generation);
    assert_eq!(gateway.admin("POST", "/api/v1/config/validate", "{{{").status, 422);
}

#[test]
fn the_metrics_door_gives_no_rights() {
    let (_upstream, gateway) = running();
    assert_eq!(gateway.get("/").status, 200);
    assert_eq!((gateway.probe("/livez").status, gateway.probe("/readyz").status), (200, 200));
    // The client has its reply a moment before the request is counted.
    until("the request is counted", || {
        gateway.probe("/metrics").text().contains("http_server_request_duration_seconds_count")
    });
    assert_eq!(gateway.probe("/api/v1/status").status, 404);
    assert_eq!(gateway.probe("/").status, 404);
}

#[test]
fn the_access_log_says_what_happened_and_keeps_secrets() {
    let upstream = Upstream::answering("hello");
    let hash = hex::encode(Sha256::digest(b"s3cret-key"));
    let gateway = Gateway::start(&format!(
        "consumers: {{ robot: {{ api_keys: [{{ sha256: {hash} }}] }} }}\n\
         routes:\n  keyed: {{ path: /keyed/**, to: \"http://{0}\", api_key: X-Api-Key }}\n  \
           open: {{ path: /open, to: \"http://{0}\" }}\n",
        upstream.address
    ));
    let secrets = [
        ("Authorization", "Bearer s3cret-token"),
        ("X-Api-Key", "s3cret-key"),
        ("Cookie", "session=s3cret-cookie"),
    ];
    let good = gateway.ask("POST", "/keyed/a?token=s3cret-query", &secrets, "s3cret-body");
    let line = gateway.logged(good.header("x-request-id").unwrap());
    for (key, value) in [
        ("method", "POST"),
        ("path", "/keyed/a"),
        ("route", "keyed"),
        ("consumer", "robot"),
        ("client", "127.0.0.1"),
        ("host", "shop.test"),
        ("listener", "web"),
        ("protocol", "HTTP/1.1"),
    ] {
        assert_eq!(line[key], value, "{line}");
    }
    assert_eq!((line["status"].as_u64(), line["bytes_out"].as_u64()), (Some(200), Some(5)), "{line}");
    assert_eq!(line["attempts"][0]["endpoint"], upstream.address.to_string(), "{line}");
    let wrong = gateway.ask("GET", "/keyed/a", &[("X-Api-Key", "s3cret-wrong")], "");
    let line = gateway.logged(wrong.header("x-request-id").unwrap());
    assert_eq!(
        (line["status"].as_u64(), line["code"].as_str()),
        (Some(401), Some("unauthenticated")),
        "{line}"
    );
    assert_eq!(
        (line["blame"].as_str(), line["answered_by"].as_str()),
        (Some("client"), Some("gateway")),
        "{line}"
    );
    let mut client = gateway.client();
    client.send("GET /open?s3cret-broken HTTP/1.1\nAuthorization: s3cret-broken\r\n\r\n");
    let refused = client.reply();
    gateway.logged(refused.header("x-request-id").unwrap());
    let everything = std::fs::read_to_string(gateway.path("access.log")).unwrap() + &gateway.log();
    assert!(!everything.contains("s3cret"), "{everything}");
}
