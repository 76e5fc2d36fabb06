//! Breakers, fallbacks, spreading, and the bound on requests in flight.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{Act, Answer, Gateway, Upstream, closed_address, timed, until};

fn ailing() -> (Upstream, Arc<AtomicBool>) {
    let ill = Arc::new(AtomicBool::new(true));
    let theirs = ill.clone();
    let upstream =
        Upstream::start(
            move |_| {
                if theirs.load(Ordering::SeqCst) { Act::status(503) } else { Act::ok("well") }
            },
        );
    (upstream, ill)
}

const BREAKER: &str = "circuit_breaker: { consecutive: 3, open: 400ms, probes: 1 }";

#[test]
fn a_tripped_breaker_answers_at_once_and_recovers() {
    let (upstream, ill) = ailing();
    let gateway = Gateway::start(&format!(
        "routes: {{ all: {{ path: /**, to: \"http://{}\", {BREAKER} }} }}",
        upstream.address
    ));
    for _ in 0..3 {
        assert_eq!(gateway.get("/").text(), "from the upstream");
    }
    let (took, reply) = timed(|| gateway.get("/"));
    assert_eq!((reply.status, reply.code().as_str()), (503, "breaker_tripped"));
    assert!(
        reply.header("retry-after").is_some_and(|seconds| seconds.parse::<u64>().unwrap() >= 1),
        "{reply:?}"
    );
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(upstream.count(), 3, "a tripped breaker let a request through");
    let shown = gateway.admin("GET", "/api/v1/upstreams", "").text();
    assert!(shown.contains("tripped"), "{shown}");
    ill.store(false, Ordering::SeqCst);
    until("the breaker passes again", || gateway.get("/").status == 200);
    assert_eq!(gateway.get("/").text(), "well");
    assert!(
        gateway.metric("gateway_circuit_transitions_total{to=\"tripped\"") >= 1.0
            || gateway.probe("/metrics").text().contains("to=\"tripped\"")
    );
}

#[test]
fn breakers_and_limits_survive_a_reload() {
    let (upstream, _ill) = ailing();
    let config = format!(
        "routes:\n  \
           all: {{ path: /all, to: \"http://{0}\", circuit_breaker: {{ consecutive: 3, open: 1h, probes: 1 }} }}\n  \
           few: {{ path: /few, to: \"http://{0}\", rate_limit: {{ rate: 2/h, by: ip }} }}\n",
        upstream.address
    );
    let gateway = Gateway::start(&config);
    for _ in 0..3 {
        assert_eq!(gateway.get("/all").text(), "from the upstream");
    }
    for expected in [503, 503, 429] {
        assert_eq!(gateway.get("/few").status, expected);
    }
    assert_eq!(gateway.get("/all").code(), "breaker_tripped");
    let changed = format!("{config}  more: {{ path: /more, to: \"http://{}\" }}\n", upstream.address);
    assert_eq!(gateway.reload(&changed).status, 200);
    assert_eq!(gateway.get("/more").status, 503);
    assert_eq!(gateway.get("/all").code(), "breaker_tripped");
    assert_eq!(gateway.get("/few").status, 429);
}

#[test]
fn a_fallback_answers_for_the_failures_it_names() {
    let (upstream, _ill) = ailing();
    let reserve = Upstream::answering("reserve");
    let (ailing, nobody, reserve_at) = (upstream.address, closed_address(), reserve.address);
    let gateway = Gateway::start(&format!(
        "routes:\n  \
           fixed: {{ path: /fixed, to: \"http://{nobody}\", fallback: {{ status: 203, json: {{ busy: true }} }} }}\n  \
           other: {{ path: /other, to: \"http://{nobody}\", fallback: {{ to: \"http://{reserve_at}\" }} }}\n  \
           named: {{ path: /named, to: \"http://{nobody}\", fallback: {{ on: [timeout], status: 200, text: no }} }}\n  \
           several:\n    path: /several\n    to: \"http://{ailing}\"\n    retry: {{ attempts: 2, statuses: [503] }}\n    \
             fallback: [ {{ on: [connect], status: 201, text: no }}, {{ on: [status], status: 202, text: \"yes\" }} ]\n"
    ));
    let fixed = gateway.get("/fixed");
    assert_eq!((fixed.status, fixed.json()["busy"].as_bool()), (203, Some(true)));
    assert_eq!(fixed.header("content-type"), Some("application/json"));
    assert_eq!(gateway.get("/other").text(), "reserve");
    assert_eq!(reserve.only().target, "/other");
    assert_eq!(gateway.get("/named").status, 502);
    let several = gateway.get("/several");
    assert_eq!((several.status, several.text().as_str(), upstream.count()), (202, "yes", 2));
}

#[test]
fn a_fallback_upstream_is_not_asked_with_a_post_that_may_have_been_carried_out() {
    let first = Upstream::start(|_| Act::Reset);
    let reserve = Upstream::answering("reserve");
    let gateway = Gateway::start(&format!(
        "routes: {{ all: {{ path: /**, to: \"http://{}\", fallback: {{ to: \"http://{}\", methods: [GET, POST] }} }} }}",
        first.address, reserve.address
    ));
    assert_eq!(gateway.ask("POST", "/", &[], "pay").status, 502);
    assert_eq!((first.count(), reserve.count()), (1, 0));
    assert_eq!(gateway.get("/").text(), "reserve");
}

fn spread(balance: &str, requests: usize) -> BTreeMap<String, usize> {
    let upstreams: Vec<Upstream> = ["a", "b", "c"].map(Upstream::answering).into_iter().collect();
    let hosts: Vec<String> = upstreams.iter().map(|upstream| format!("\"{}\"", upstream.address)).collect();
    let gateway = Gateway::start(&format!(
        "upstreams: {{ app: {{ hosts: [{}], balance: {balance} }} }}\nroutes: {{ all: {{ path: /**, to: app }} }}",
        hosts.join(", ")
    ));
    let mut client = gateway.client();
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        *counts.entry(client.ask("GET", "/", &[], "").text()).or_insert(0) += 1;
    }
    counts
}

#[test]
fn round_robin_gives_every_endpoint_the_same() {
    assert_eq!(spread("round-robin", 30).into_values().collect::<Vec<_>>(), [10, 10, 10]);
}

#[test]
fn least_request_leaves_no_endpoint_out() {
    let counts = spread("least-request", 150);
    assert!(counts.len() == 3 && counts.values().all(|count| *count > 20), "{counts:?}");
}

#[test]
fn least_request_avoids_an_endpoint_that_is_busy() {
    let busy = Upstream::start(|_| Act::Late(Duration::from_secs(3), Answer::new(200, "busy")));
    let idle = Upstream::answering("idle");
    let gateway = Gateway::start(&format!(
        "upstreams: {{ app: {{ hosts: [\"{}\", \"{}\"], balance: least-request }} }}\n\
         routes: {{ all: {{ path: /**, to: app }} }}",
        busy.address, idle.address
    ));
    std::thread::scope(|scope| {
        // Asks until one request is stuck at the busy one.
        let stuck: Vec<_> = (0..8).map(|_| scope.spawn(|| gateway.get("/").text())).collect();
        until("a request is stuck", || busy.count() >= 1 && idle.count() + busy.count() == 8);
        let before = busy.count();
        for _ in 0..10 {
            // The client has its reply a moment before the request is counted out.
            until("the idle one is idle", || in_flight(&gateway, &idle) == 0);
            assert_eq!(gateway.get("/").text(), "idle");
        }
        assert_eq!(busy.count(), before);
        drop(stuck);
    });
}

fn in_flight(gateway: &Gateway, upstream: &Upstream) -> u64 {
    let shown = gateway.admin("GET", "/api/v1/upstreams/app", "").json();
    let endpoints = shown["endpoints"].as_array().unwrap();
    let found = endpoints.iter().find(|endpoint| endpoint["address"] == upstream.address.to_string());
    found.unwrap()["in_flight"].as_u64().unwrap()
}

#[test]
fn weights_divide_the_traffic() {
    let (many, few) = (Upstream::answering("many"), Upstream::answering("few"));
    let gateway = Gateway::start(&format!(
        "upstreams: {{ many: \"http://{}\", few: \"http://{}\" }}\n\
         routes: {{ all: {{ path: /**, weights: {{ many: 90, few: 10 }} }} }}",
        many.address, few.address
    ));
    let mut client = gateway.client();
    for _ in 0..400 {
        assert_eq!(client.ask("GET", "/", &[], "").status, 200);
    }
    // 40 expected, standard deviation 6: these bounds fail once in a million runs.
    assert!((10..=70).contains(&few.count()), "{} of 400", few.count());
    assert_eq!(many.count() + few.count(), 400);
}

#[test]
fn more_than_max_requests_in_flight_is_503() {
    let upstream = Upstream::start(|_| Act::Late(Duration::from_millis(600), Answer::new(200, "slow")));
    let gateway = Gateway::start(&format!(
        "upstreams: {{ app: {{ hosts: [\"{}\"], max_requests: 2 }} }}\nroutes: {{ all: {{ path: /**, to: app }} }}",
        upstream.address
    ));
    std::thread::scope(|scope| {
        let first: Vec<_> = (0..2).map(|_| scope.spawn(|| gateway.get("/").status)).collect();
        until("two are in flight", || upstream.count() == 2);
        let third = gateway.get("/");
        assert_eq!((third.status, third.code().as_str()), (503, "upstream_overloaded"));
        assert!(third.header("retry-after").is_some());
        for request in first {
            assert_eq!(request.join().unwrap(), 200);
        }
    });
    assert_eq!(gateway.get("/").status, 200);
}
