//! What a gateway tells those who watch: events and recent requests, in order, without gaps and without secrets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};

use crate::support::{Act, Client, Gateway, Registry, Stream, Told, Upstream, until};

const EVENTS: &str = "/api/v1/events";
const REQUESTS: &str = "/api/v1/requests";
const REQUEST_STREAM: &str = "/api/v1/requests/stream";

fn start(upstream: &Upstream) -> Gateway {
    Gateway::start(&config(upstream))
}

fn config(upstream: &Upstream) -> String {
    format!(
        "upstreams: {{ orders: {{ hosts: [\"{}\"] }} }}\nroutes: {{ orders: {{ path: /api/**, to: orders }} }}",
        upstream.address
    )
}

fn drain(gateway: &Gateway, upstream: &Upstream, state: &str) {
    let target = format!("/api/v1/upstreams/orders/endpoints/{}", upstream.address);
    assert_eq!(gateway.admin("PATCH", &target, &format!("{{\"state\": \"{state}\"}}")).status, 200);
}

/// Begins to keep requests, as the first look does.
fn look(gateway: &Gateway) {
    assert_eq!(gateway.admin("GET", REQUESTS, "").status, 200);
}

fn shown(gateway: &Gateway, query: &str) -> Vec<serde_json::Value> {
    gateway.admin("GET", &format!("{REQUESTS}?{query}"), "").json()["items"].as_array().unwrap().clone()
}

#[test]
fn a_drain_a_reload_and_a_refusal_are_told_with_who_did_it() {
    let upstream = Upstream::answering("hello");
    let gateway = start(&upstream);
    let mut stream = Stream::open(&gateway, EVENTS, None);
    drain(&gateway, &upstream, "drain");
    let drained = stream.next_of("drain");
    assert_eq!(drained.data["endpoint"], upstream.address.to_string());
    assert_eq!(
        (drained.data["draining"].as_bool(), drained.data["by"].as_str()),
        (Some(true), Some("admin"))
    );
    assert!(drained.data["at"].as_str().unwrap().ends_with('Z'));
    let changed = config(&upstream).replace("/api/**", "/api/v2/**");
    assert_eq!(gateway.reload(&changed).status, 200);
    assert_eq!(stream.next_of("config_applied").data["generation"], 2);
    assert_eq!(gateway.reload("routes: { a: { path: /a, to: nobody } }").status, 422);
    assert_eq!(stream.next_of("config_refused").data["reason"], "invalid");
}

#[test]
fn endpoints_and_breakers_are_told_as_they_change() {
    let broken = Arc::new(AtomicBool::new(false));
    let theirs = broken.clone();
    let upstream = Upstream::start(move |_| match theirs.load(Ordering::SeqCst) {
        true => Act::status(503),
        false => Act::ok("fine"),
    });
    let other = Upstream::answering("other");
    let registry = Registry::start();
    registry.set("orders", &[("a", upstream.address)]);
    let gateway = Gateway::start(&format!(
        "discovery: {{ consul: {{ address: \"http://{}\", wait: 1s }} }}\n\
         routes:\n  all:\n    path: /**\n    to: consul://orders\n    circuit_breaker: {{ consecutive: 2, open: 5m }}\n",
        registry.address
    ));
    let mut stream = Stream::open(&gateway, EVENTS, None);
    broken.store(true, Ordering::SeqCst);
    until("the breaker trips", || {
        let _answer = gateway.get("/");
        gateway.admin("GET", "/api/v1/upstreams", "").json()["items"][0]["breaker"] == "tripped"
    });
    let tripped = stream.next_of("breaker");
    assert_eq!(
        (tripped.data["upstream"].as_str(), tripped.data["state"].as_str()),
        (Some("consul://orders"), Some("tripped"))
    );
    registry.set("orders", &[("b", other.address)]);
    let changed = stream.next_of("endpoints");
    assert_eq!(changed.data["added"][0], other.address.to_string());
    assert_eq!(changed.data["removed"][0], upstream.address.to_string());
}

#[test]
fn a_watcher_that_comes_back_gets_what_it_missed_and_nothing_twice() {
    let upstream = Upstream::answering("hello");
    let gateway = start(&upstream);
    let mut first = Stream::open(&gateway, EVENTS, None);
    drain(&gateway, &upstream, "drain");
    let seen = first.next_of("drain");
    drop(first);
    drain(&gateway, &upstream, "ready");
    drain(&gateway, &upstream, "drain");
    let mut again = Stream::open(&gateway, EVENTS, Some(&seen.id));
    drain(&gateway, &upstream, "ready");
    let states: Vec<_> = (0..3).map(|_| again.next().unwrap().data["draining"].as_bool().unwrap()).collect();
    assert_eq!(states, [false, true, false]);
    // An id of another run, or none of ours: what is lost is said, what is kept is shown.
    for foreign in ["deadbeef-1", "nonsense"] {
        let mut stream = Stream::open(&gateway, EVENTS, Some(foreign));
        assert_eq!(stream.next().unwrap().kind, "gap", "{foreign}");
        assert!(stream.next().unwrap().kind != "gap", "{foreign}");
    }
}

#[test]
fn a_watcher_that_does_not_read_is_let_go_and_told_so() {
    let upstream = Upstream::answering("hello");
    let gateway = start(&upstream);
    let slow = Client::connect(gateway.admin).with_small_buffer();
    let mut stream = Stream::over(slow, &gateway, REQUEST_STREAM, None);
    let mut client = gateway.client();
    let long = format!("/none/{}", "x".repeat(2_000));
    for _ in 0..1_500 {
        assert_eq!(client.ask("GET", &long, &[], "").status, 404);
    }
    let mut last: Option<Told> = None;
    while let Some(told) = stream.next() {
        last = Some(told);
    }
    let last = last.unwrap();
    assert_eq!(last.kind, "lagged", "{last:?}");
    assert!(last.data["missed"].as_u64().unwrap() > 0);
    // Nobody else was held up by it.
    assert_eq!(gateway.get("/api/x").status, 200);
}

#[test]
fn requests_are_kept_while_somebody_looks_and_found_by_what_they_were() {
    let upstream = Upstream::start(|seen| match seen.target.as_str() {
        "/api/broken" => Act::status(503),
        _ => Act::ok("hello"),
    });
    let gateway = start(&upstream);
    assert_eq!(gateway.get("/api/unseen").status, 200);
    // An answer may be read before its request is put away.
    until("it is over", || gateway.metric("gateway_overhead_seconds_count{route=\"orders\"}") >= 1.0);
    look(&gateway);
    let good = gateway.get("/api/good");
    assert_eq!(gateway.ask("POST", "/api/broken", &[], "x").status, 503);
    assert_eq!(gateway.get("/none").status, 404);
    until("all three are there", || shown(&gateway, "").len() == 3);
    let paths: Vec<String> =
        shown(&gateway, "").iter().map(|item| item["path"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        paths,
        ["/none", "/api/broken", "/api/good"],
        "newest first, and nothing from before the look"
    );
    let only = |query: &str, path: &str| {
        let found = shown(&gateway, query);
        assert_eq!(found.len(), 1, "{query}: {found:?}");
        assert_eq!(found[0]["path"], path, "{query}");
    };
    only("status=5xx", "/api/broken");
    only("status=404", "/none");
    only("method=POST", "/api/broken");
    only("route=orders&status=2xx", "/api/good");
    only(&format!("id={}", good.header("x-request-id").unwrap()), "/api/good");
    only("limit=1", "/none");
    assert!(shown(&gateway, "min_ms=60000").is_empty());
    for bad in ["status=9xx", "limit=0", "min_ms=-1", "min_ms=86400001", "colour=red"] {
        assert_eq!(gateway.admin("GET", &format!("{REQUESTS}?{bad}"), "").code(), "bad_query", "{bad}");
    }
    assert_eq!(shown(&gateway, "status=2xx")[0]["attempts"][0]["endpoint"], upstream.address.to_string());
}

#[test]
fn no_secret_is_shown_of_a_request_wherever_it_was() {
    let upstream = Upstream::answering("hello");
    let hash = hex::encode(Sha256::digest(b"s3cret-key"));
    let gateway = Gateway::start(&format!(
        "consumers: {{ robot: {{ api_keys: [{{ sha256: {hash} }}] }} }}\n\
         routes:\n  keyed: {{ path: /keyed/**, to: \"http://{0}\", api_key: X-Api-Key }}\n  \
           open: {{ path: /open, to: \"http://{0}\" }}\n",
        upstream.address
    ));
    let mut stream = Stream::open(&gateway, REQUEST_STREAM, None);
    let secrets = [
        ("Authorization", "Bearer s3cret-token"),
        ("Proxy-Authorization", "Basic s3cret-proxy"),
        ("X-Api-Key", "s3cret-key"),
        ("Cookie", "session=s3cret-cookie"),
        ("X-Other", "s3cret-other"),
        ("Referer", "https://shop.test/?s3cret-referer"),
        ("User-Agent", "a browser"),
    ];
    assert_eq!(
        gateway.ask("POST", "/keyed/a?token=s3cret-query&s3cret-name", &secrets, "s3cret-body").status,
        200
    );
    let told = stream.next_of("request");
    assert_eq!(
        (told.data["consumer"].as_str(), told.data["headers"]["user-agent"].as_str()),
        (Some("robot"), Some("a browser"))
    );
    assert_eq!(gateway.ask("GET", "/keyed/a?s3cret-x=1", &[("X-Api-Key", "s3cret-wrong")], "").status, 401);
    assert_eq!(stream.next_of("request").data["code"], "unauthenticated");
    let mut client = gateway.client();
    client.send("GET /open?s3cret-broken HTTP/1.1\nAuthorization: s3cret-broken\r\n\r\n");
    assert_eq!(client.reply().status, 400);
    assert_eq!(stream.next_of("request").data["status"], 400, "what the listener refuses is shown too");
    let everything = gateway.admin("GET", REQUESTS, "").text();
    assert!(everything.contains("keyed") && !everything.contains("s3cret"), "{everything}");
    assert!(!gateway.log().contains("s3cret"));
}

#[test]
fn a_stream_of_requests_goes_on_where_it_stopped_and_filters() {
    let upstream = Upstream::answering("hello");
    let gateway = start(&upstream);
    let mut stream = Stream::open(&gateway, &format!("{REQUEST_STREAM}?status=404"), None);
    for path in ["/api/1", "/none/1", "/api/2", "/none/2"] {
        let _answer = gateway.get(path);
    }
    let first = stream.next().unwrap();
    assert_eq!((first.data["path"].as_str(), first.kind.as_str()), (Some("/none/1"), "request"));
    drop(stream);
    let mut again = Stream::open(&gateway, REQUEST_STREAM, Some(&first.id));
    assert_eq!(
        [again.next(), again.next()].map(|told| told.unwrap().data["path"].as_str().unwrap().to_owned()),
        ["/api/2", "/none/2"]
    );
}

#[test]
fn there_are_only_so_many_seats() {
    let upstream = Upstream::answering("hello");
    let gateway = start(&upstream);
    let token = gateway.token_of("viewer");
    let open = || {
        let mut client = gateway.admin_stream(&token, "GET", EVENTS, "");
        let head = client.head().unwrap();
        (client, head)
    };
    let streams: Vec<_> = (0..64).map(|_| open()).collect();
    assert!(streams.iter().all(|(_, head)| head.status == 200));
    let (_, refused) = open();
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some());
    drop(streams);
    until("a seat is free again", || {
        gateway.admin_stream(&gateway.token, "GET", EVENTS, "").head().unwrap().status == 200
    });
}
