//! The registry as a client sees it: real sockets, port 0, loopback only.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "in a test a panic is the report")]

use std::future::Future;
use std::time::Duration;

use portcullis_consul_wire::{HealthServiceEntry, headers};
use portcullis_discovery_registry::{Options, Registry};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

/// Longer than any of these tests needs, short enough to fail soon.
const PATIENCE: Duration = Duration::from_secs(20);

struct World {
    registry: Registry,
    client: Client,
}

impl World {
    async fn start() -> Self {
        let registry = Registry::start(Options::default()).await.unwrap();
        Self { registry, client: Client::builder().no_proxy().build().unwrap() }
    }

    async fn send(&self, method: Method, path: &str, body: impl Into<reqwest::Body>) -> Response {
        let url = format!("{}{path}", self.registry.url());
        self.client.request(method, url).body(body).timeout(PATIENCE).send().await.unwrap()
    }

    async fn get(&self, path: &str) -> Response {
        self.send(Method::GET, path, "").await
    }

    async fn put(&self, path: &str, body: &Value) -> Response {
        self.send(Method::PUT, path, body.to_string()).await
    }

    async fn register(&self, body: Value) {
        let response = self.put("/v1/agent/service/register", &body).await;
        assert_eq!(response.status(), StatusCode::OK, "{}", response.text().await.unwrap());
    }

    async fn entries(&self, path: &str) -> (u64, Vec<HealthServiceEntry>) {
        let response = self.get(path).await;
        (index(&response), response.json().await.unwrap())
    }

    /// Asks again with blocking queries until the answer is as wanted.
    async fn until(&self, service: &str, wanted: impl Fn(&[HealthServiceEntry]) -> bool) {
        let wait = async {
            let mut seen = 0;
            loop {
                let path = format!("/v1/health/service/{service}?index={seen}&wait=10s");
                let (index, entries) = self.entries(&path).await;
                if wanted(&entries) {
                    return;
                }
                seen = index;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the answer did not become as wanted");
    }
}

fn index(response: &Response) -> u64 {
    response.headers()[&headers::INDEX].to_str().unwrap().parse().unwrap()
}

async fn said(response: Response) -> (u16, String) {
    (response.status().as_u16(), response.text().await.unwrap())
}

#[expect(clippy::disallowed_methods, reason = "a test measures how long an answer takes")]
async fn timed<T>(work: impl Future<Output = T>) -> (Duration, T) {
    let start = Instant::now();
    let done = work.await;
    (start.elapsed(), done)
}

#[tokio::test]
async fn a_blocking_query_returns_as_soon_as_its_service_changes() {
    let world = World::start().await;
    world.register(json!({"Name": "web", "ID": "w1", "Port": 1})).await;
    let (seen, _) = world.entries("/v1/health/service/web").await;
    let path = format!("/v1/health/service/web?index={seen}&wait=10s");
    let (mut waiting, mut others) = (Box::pin(world.entries(&path)), 0);
    // Changes of other services do not end the wait: five of them pass first.
    let (index, entries) = loop {
        tokio::select! {
            answer = &mut waiting => break answer,
            () = async {
                let name = if others < 5 { "other" } else { "web" };
                others += 1;
                world.register(json!({"Name": name, "ID": format!("{name}-{others}"), "Port": 2})).await;
            } => {}
        }
    };
    assert!(others >= 6, "ended after {others} registrations");
    assert!(index > seen);
    assert!(entries.len() >= 2);
}

#[tokio::test]
async fn a_change_is_answered_within_milliseconds_and_an_old_index_at_once() {
    let world = World::start().await;
    world.register(json!({"Name": "web", "ID": "w1"})).await;
    let (seen, _) = world.entries("/v1/health/service/web").await;
    let path = format!("/v1/health/service/web?index={seen}&wait=10s");
    let waiting = world.entries(&path);
    let change = world.register(json!({"Name": "web", "ID": "w2"}));
    let (took, (answer, ())) = timed(async { tokio::join!(waiting, change) }).await;
    assert_eq!(answer.1.len(), 2);
    assert!(took < Duration::from_secs(1), "{took:?}");
    let (took, _) = timed(world.entries(&path)).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn a_wait_without_a_change_lasts_as_long_as_asked() {
    let world = World::start().await;
    let (seen, entries) = world.entries("/v1/health/service/nobody").await;
    assert!(entries.is_empty());
    assert!(seen > 0);
    let path = format!("/v1/health/service/nobody?index={seen}&wait=300ms");
    let (took, (index, _)) = timed(world.entries(&path)).await;
    assert_eq!(index, seen);
    assert!(took >= Duration::from_millis(300), "{took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn a_ttl_check_passes_when_reported_and_expires_when_silent() {
    let world = World::start().await;
    world.register(json!({"Name": "web", "ID": "w1", "Check": {"TTL": "400ms"}})).await;
    assert!(world.entries("/v1/health/service/web?passing").await.1.is_empty());
    assert_eq!(world.put("/v1/agent/check/pass/service:w1?note=fine", &Value::Null).await.status(), 200);
    let entries = world.entries("/v1/health/service/web?passing=1").await.1;
    assert_eq!(entries[0].checks[1].output, "fine");
    world.until("web", |entries| entries[0].checks[1].output.starts_with("TTL expired")).await;
    assert!(world.entries("/v1/health/service/web?passing").await.1.is_empty());
    let update = json!({"Status": "warning", "Output": "slow"});
    assert_eq!(world.put("/v1/agent/check/update/service:w1", &update).await.status(), 200);
    let (_, entries) = world.entries("/v1/health/service/web").await;
    assert_eq!(entries[0].status().as_str(), "warning");
}

#[tokio::test]
async fn an_http_check_follows_what_the_service_answers() {
    let world = World::start().await;
    let (status, told) = watch::channel(200);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let service = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let status = *told.borrow();
            let _ = stream
                .write_all(format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\nhi").as_bytes())
                .await;
        }
    };
    let story = async {
        let check = json!({"HTTP": format!("http://{addr}/healthz"), "Interval": "1s", "Timeout": "1s"});
        world.register(json!({"Name": "web", "ID": "w1", "Check": check})).await;
        let is = |wanted: &'static str| {
            move |entries: &[HealthServiceEntry]| entries[0].checks[1].status.as_str() == wanted
        };
        world.until("web", is("passing")).await;
        let (_, entries) = world.entries("/v1/health/service/web").await;
        assert!(
            entries[0].checks[1].output.ends_with("200 OK Output: hi"),
            "{}",
            entries[0].checks[1].output
        );
        status.send_replace(429);
        world.until("web", is("warning")).await;
        status.send_replace(503);
        world.until("web", is("critical")).await;
        status.send_replace(204);
        world.until("web", is("passing")).await;
    };
    tokio::select! { () = service => {}, () = story => {} }
}

#[tokio::test]
async fn a_tcp_check_sees_the_listener_come_and_go() {
    let world = World::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let check = json!({"TCP": addr.to_string(), "Interval": "1s"});
    world.register(json!({"Name": "db", "Check": check})).await;
    world.until("db", |entries| entries[0].checks[1].status.as_str() == "passing").await;
    drop(listener);
    world.until("db", |entries| entries[0].checks[1].status.as_str() == "critical").await;
}

#[tokio::test]
async fn maintenance_takes_an_instance_out_of_the_passing_ones() {
    let world = World::start().await;
    world.register(json!({"Name": "web", "ID": "w1"})).await;
    let path = "/v1/agent/service/maintenance/w1";
    assert_eq!(world.put(&format!("{path}?enable=true&reason=disk"), &Value::Null).await.status(), 200);
    assert!(world.entries("/v1/health/service/web?passing").await.1.is_empty());
    assert_eq!(world.put(&format!("{path}?enable=false"), &Value::Null).await.status(), 200);
    assert_eq!(world.entries("/v1/health/service/web?passing").await.1.len(), 1);
    assert_eq!(said(world.put(path, &Value::Null).await).await, (400, "Missing value for enable".into()));
    let unknown = world.put("/v1/agent/service/maintenance/nobody?enable=true", &Value::Null).await;
    assert_eq!(unknown.status(), 404);
}

#[tokio::test]
async fn keys_are_written_compared_listed_and_deleted() {
    let world = World::start().await;
    let put =
        async |path: &str, value: &str| said(world.send(Method::PUT, path, value.to_owned()).await).await;
    let (ok, no) = ((200, "true".to_owned()), (200, "false".to_owned()));
    assert_eq!(world.get("/v1/kv/app/a").await.status(), 404);
    assert_eq!(put("/v1/kv/app/a?cas=0&flags=7", "one").await, ok);
    assert_eq!(put("/v1/kv/app/a?cas=0", "two").await, no);
    let response = world.get("/v1/kv/app/a").await;
    let seen = index(&response);
    let pairs: Value = response.json().await.unwrap();
    assert_eq!((&pairs[0]["Value"], &pairs[0]["Flags"]), (&json!("b25l"), &json!(7)));
    assert_eq!(put(&format!("/v1/kv/app/a?cas={seen}"), "two").await, ok);
    assert_eq!(said(world.get("/v1/kv/app/a?raw").await).await, (200, "two".into()));
    assert_eq!(put("/v1/kv/app/b/c", "3").await, ok);
    assert_eq!(said(world.get("/v1/kv/app/?keys&separator=/").await).await.1, r#"["app/a","app/b/"]"#);
    let all: Value = world.get("/v1/kv/app?recurse").await.json().await.unwrap();
    assert_eq!(all.as_array().unwrap().len(), 2);
    assert_eq!(said(world.send(Method::DELETE, "/v1/kv/app?recurse", "").await).await, ok);
    assert_eq!(world.get("/v1/kv/app?recurse").await.status(), 404);
    let big = vec![b'x'; 512 * 1024 + 1];
    assert_eq!(world.send(Method::PUT, "/v1/kv/big", big).await.status(), 413);
}

#[tokio::test]
async fn shutdown_answers_blocked_queries_instead_of_cutting_them() {
    let world = World::start().await;
    let url = format!("{}/v1/health/service/nobody", world.registry.url());
    let seen = index(&world.client.get(&url).send().await.unwrap());
    let client = world.client.clone();
    let blocked = async move { client.get(format!("{url}?index={seen}&wait=60s")).send().await };
    let mut blocked = Box::pin(blocked);
    while world.registry.n_blocked() == 0 {
        // Other requests are what time passes by; the query itself bounds the loop.
        tokio::select! {
            early = &mut blocked => panic!("ended early: {early:?}"),
            _ = world.get("/v1/status/leader") => {}
        }
    }
    let World { registry, client: _client } = world;
    let (took, (answer, ())) = timed(async { tokio::join!(blocked, registry.shutdown()) }).await;
    assert_eq!(answer.unwrap().status(), 200);
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test]
async fn what_is_wrong_is_said_with_the_right_status() {
    let world = World::start().await;
    let register = "/v1/agent/service/register";
    let cases: &[(Method, &str, &str, u16, &str)] = &[
        (Method::PUT, register, "{", 400, "Request decode failed"),
        (Method::PUT, register, "", 400, "Request decode failed: EOF"),
        (Method::PUT, register, "{}", 400, "Missing service name"),
        (Method::PUT, register, r#"{"Name":"a","Nmae":1}"#, 400, "unknown field"),
        (Method::PUT, register, r#"{"Name":"a","Check":{"HTTP":"http://x"}}"#, 400, "Interval must be > 0"),
        (Method::PUT, register, r#"{"Name":"a","Check":{"TTL":"10"}}"#, 400, "missing unit"),
        (Method::PUT, register, r#"{"Name":"a","Check":{"TTL":"1s","Status":"ok"}}"#, 400, "status"),
        (Method::POST, register, "{}", 405, "method POST not allowed"),
        (Method::DELETE, "/v1/health/service/web", "", 405, "method DELETE not allowed"),
        (Method::GET, "/v1/nothing", "", 404, "not a recognized HTTP API endpoint"),
        (Method::GET, "/nothing", "", 404, "/v1/"),
        (Method::GET, "/v1/health/service/", "", 400, "Missing service name"),
        (Method::GET, "/v1/health/service/web?index=x", "", 400, "Invalid index"),
        (Method::GET, "/v1/health/service/web?wait=x", "", 400, "Invalid wait time"),
        (Method::GET, "/v1/health/service/web?filter=x", "", 400, "filter"),
        (Method::GET, "/v1/health/service/web?dc=other", "", 500, "No path to datacenter"),
        (Method::GET, "/v1/health/service/web?stale&consistent", "", 400, "conflicting semantics"),
        (Method::GET, "/v1/health/service/%ff", "", 400, "percent-encoded"),
        (Method::GET, "/v1/agent/service/nobody", "", 404, "unknown service ID: nobody"),
        (Method::PUT, "/v1/agent/service/deregister/nobody", "", 404, "Unknown service ID"),
        (Method::PUT, "/v1/agent/check/pass/nobody", "", 404, "Unknown check ID"),
        (
            Method::PUT,
            "/v1/agent/check/register",
            r#"{"Name":"c","TTL":"1s","ServiceID":"x"}"#,
            404,
            "does not exist",
        ),
    ];
    for (method, path, body, status, text) in cases {
        let response = world.send(method.clone(), path, *body).await;
        let (found, said) = said(response).await;
        assert_eq!(found, *status, "{method} {path} {body}: {said}");
        assert!(said.contains(text), "{method} {path} {body}: {said}");
    }
    assert_eq!(said(world.get("/v1/agent/services").await).await.1, "{}", "nothing was half-applied");
}

#[tokio::test]
async fn what_is_registered_is_shown_everywhere_and_gone_everywhere() {
    let world = World::start().await;
    world
        .register(json!({
            "ID": "w/1", "Name": "web", "Tags": ["Blue", "v1"], "Port": 80, "Address": "10.0.0.1",
            "Meta": {"zone": "a"}, "Weights": {"Passing": 10, "Warning": 2}, "Check": {"TTL": "10s", "Status": "passing"},
        }))
        .await;
    let response = world.get("/v1/health/service/web?tag=blue&tag=V1&passing&near=_agent&stale").await;
    assert_eq!(response.headers()[&headers::PORTCULLIS_REGISTRY], portcullis_discovery_registry::NOTICE);
    assert_eq!(response.headers()[&headers::EFFECTIVE_CONSISTENCY], "stale");
    assert_eq!(response.headers()[&headers::KNOWN_LEADER], "true");
    let entries: Vec<HealthServiceEntry> = response.json().await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].effective_address(), entries[0].effective_weight()), ("10.0.0.1", 10));
    assert!(world.entries("/v1/health/service/web?tag=green").await.1.is_empty());
    assert_eq!(said(world.get("/v1/catalog/services").await).await.1, r#"{"web":["Blue","v1"]}"#);
    assert_eq!(said(world.get("/v1/catalog/datacenters").await).await.1, r#"["dc1"]"#);
    for path in [
        "/v1/agent/services",
        "/v1/agent/checks",
        "/v1/agent/service/w%2F1",
        "/v1/catalog/service/web",
        "/v1/health/checks/web",
        "/v1/health/state/passing?pretty",
        "/v1/health/node/portcullis",
    ] {
        assert!(said(world.get(path).await).await.1.contains("w/1"), "{path}");
    }
    assert_eq!(world.put("/v1/agent/service/deregister/w%2F1", &Value::Null).await.status(), 200);
    assert!(world.entries("/v1/health/service/web").await.1.is_empty());
    for path in ["/v1/agent/services", "/v1/agent/checks", "/v1/catalog/services"] {
        assert_eq!(said(world.get(path).await).await.1, "{}", "{path}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_says_what_to_do() {
    let world = World::start().await;
    let error =
        Registry::start(Options { bind: world.registry.addr(), ..Options::default() }).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("in use") && text.contains("ss -ltnp") && text.contains("--listen"), "{text}");
}
