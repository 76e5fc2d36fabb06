//! Limits: of requests in time, and of a body's size.

use sha2::{Digest, Sha256};

use crate::support::{Act, Gateway, Upstream, request};

fn limited(limit: &str) -> (Upstream, Gateway) {
    let upstream = Upstream::answering("hello");
    let config = format!(
        "routes: {{ all: {{ path: /**, rate_limit: {limit}, to: \"http://{}\" }} }}",
        upstream.address
    );
    let gateway = Gateway::start(&config);
    (upstream, gateway)
}

#[test]
fn a_used_up_limit_is_429_and_says_when_to_come_back() {
    let (upstream, gateway) = limited("{ rate: 3/h, by: ip }");
    for left in ["r=2", "r=1", "r=0"] {
        let reply = gateway.get("/");
        assert_eq!(reply.status, 200);
        assert!(reply.header("ratelimit").is_some_and(|state| state.contains(left)), "{reply:?}");
        assert!(
            reply.header("ratelimit-policy").is_some_and(|policy| policy.contains("q=3;w=3600")),
            "{reply:?}"
        );
    }
    let refused = gateway.get("/");
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limited"));
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=1_200).contains(&seconds), "{seconds}");
    assert!(refused.header("ratelimit").is_some_and(|state| state.contains("r=0")), "{refused:?}");
    assert_eq!(upstream.count(), 3);
    assert!(gateway.metric("gateway_rate_limited_total") >= 1.0);
}

#[test]
fn no_disguise_buys_a_fresh_allowance() {
    let (upstream, gateway) = limited("{ rate: 2/h, by: ip }");
    for (n, (target, headers)) in [
        ("/a", vec![("X-Forwarded-For", "1.1.1.1")]),
        ("/%61", vec![("X-Real-IP", "2.2.2.2")]),
        ("//a", vec![("Host", "SHOP.test")]),
        ("/./a", vec![("Host", "shop.test:81")]),
        ("/a?x", vec![("X-HTTP-Method-Override", "DELETE"), ("Forwarded", "for=3.3.3.3")]),
    ]
    .into_iter()
    .enumerate()
    {
        let expected = if n < 2 { 200 } else { 429 };
        assert_eq!(gateway.ask("GET", target, &headers, "").status, expected, "{target}");
    }
    assert_eq!(upstream.count(), 2);
}

#[test]
fn a_dry_run_counts_and_refuses_nothing() {
    let (upstream, gateway) = limited("{ rate: 1/h, by: ip, dry_run: true }");
    for _ in 0..3 {
        assert_eq!(gateway.get("/").status, 200);
    }
    assert_eq!(upstream.count(), 3);
    let text = gateway.probe("/metrics").text();
    let counted =
        text.lines().any(|line| line.starts_with("gateway_rate_limited_total") && line.contains("dry_run"));
    assert!(counted, "{text}");
}

#[test]
fn each_consumer_and_each_header_value_has_a_count_of_its_own() {
    let app = Upstream::answering("in");
    let hash = |key: &str| hex::encode(Sha256::digest(key.as_bytes()));
    let gateway = Gateway::start(&format!(
        "consumers:\n  \
           one: {{ api_keys: [{{ sha256: {one} }}] }}\n  \
           two: {{ api_keys: [{{ sha256: {two} }}], rate_limit: 3/h }}\n\
         routes:\n  \
           keyed: {{ path: /keyed, to: \"http://{app}\", api_key: X-Api-Key, rate_limit: {{ rate: 1/h, by: consumer }} }}\n  \
           tenant: {{ path: /tenant, to: \"http://{app}\", rate_limit: {{ rate: 1/h, by: \"header:X-Tenant\" }} }}\n",
        one = hash("one"),
        two = hash("two"),
        app = app.address,
    ));
    let keyed = |key: &str| gateway.ask("GET", "/keyed", &[("X-Api-Key", key)], "").status;
    assert_eq!([keyed("one"), keyed("one")], [200, 429]);
    assert_eq!([keyed("two"), keyed("two"), keyed("two"), keyed("two")], [200, 200, 200, 429]);
    let tenant = |name: &str| gateway.ask("GET", "/tenant", &[("X-Tenant", name)], "").status;
    assert_eq!([tenant("a"), tenant("a"), tenant("b")], [200, 429, 200]);
}

#[test]
fn a_body_that_says_it_is_too_long_is_413_before_the_upstream_hears_of_it() {
    let upstream = Upstream::answering("hello");
    let gateway = Gateway::start(&format!(
        "routes: {{ all: {{ path: /**, max_body: 10B, to: \"http://{}\" }} }}",
        upstream.address
    ));
    assert_eq!(gateway.ask("POST", "/", &[], "0123456789").status, 200);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
    let reply = client.reply();
    assert_eq!((reply.status, reply.code().as_str()), (413, "body_too_large"));
    assert_eq!(upstream.count(), 1);
}

#[test]
fn a_body_that_grows_too_long_on_its_way_is_413_and_its_rest_is_no_request() {
    let upstream = Upstream::start(|seen| Act::ok(&format!("{} bytes", seen.body.len())));
    let gateway = Gateway::start(&format!(
        "routes: {{ all: {{ path: /**, max_body: 10B, to: \"http://{}\" }} }}",
        upstream.address
    ));
    let chunked = [("Transfer-Encoding", "chunked")];
    assert_eq!(gateway.ask("POST", "/", &chunked, "a\r\n0123456789\r\n0\r\n\r\n").text(), "10 bytes");
    let mut client = gateway.client();
    client.send(request("POST", "/", &chunked, "6\r\n012345\r\n"));
    client.send("6\r\n012345\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
    let reply = client.reply();
    assert_eq!((reply.status, reply.code().as_str()), (413, "body_too_large"));
    assert!(client.is_closed());
    assert!(upstream.seen().iter().all(|seen| seen.target == "/"), "{:#?}", upstream.seen());
    assert_eq!(upstream.seen().iter().filter(|seen| seen.whole).count(), 1);
}
