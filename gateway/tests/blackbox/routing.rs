//! Which route answers, and in which form its upstream sees the path.

use sha2::{Digest, Sha256};

use crate::support::{Act, Client, Gateway, Upstream, request};

fn two_upstreams() -> (Upstream, Upstream, Gateway) {
    let (open, closed) = (Upstream::answering("open"), Upstream::answering("closed"));
    let config = format!(
        "consumers: {{ robot: {{ api_keys: [{{ sha256: {} }}] }} }}\n\
         routes:\n  \
           open: {{ path: /**, to: \"http://{}\" }}\n  \
           admin: {{ path: /admin/**, to: \"http://{}\", api_key: X-Api-Key }}\n",
        hex::encode(Sha256::digest(b"key")),
        open.address,
        closed.address,
    );
    let gateway = Gateway::start(&config);
    (open, closed, gateway)
}

#[test]
fn no_route_is_404_as_a_problem() {
    let upstream = Upstream::answering("hello");
    let gateway =
        Gateway::start(&format!("routes: {{ a: {{ path: /a, to: \"http://{}\" }} }}", upstream.address));
    assert_eq!(gateway.get("/a").text(), "hello");
    for target in ["/", "/b", "/a/", "/aa", "/A"] {
        let reply = gateway.get(target);
        assert_eq!((reply.status, reply.code().as_str()), (404, "no_route"), "{target}");
        assert_eq!(reply.json()["status"], 404, "{target}");
    }
    assert_eq!(upstream.count(), 1);
}

#[test]
fn a_wrong_method_is_405_and_says_which_ones_are_right() {
    let upstream = Upstream::answering("hello");
    let config =
        format!("routes: {{ a: {{ path: /a, methods: [POST, PUT], to: \"http://{}\" }} }}", upstream.address);
    let gateway = Gateway::start(&config);
    let reply = gateway.get("/a");
    assert_eq!((reply.status, reply.code().as_str()), (405, "method_not_allowed"));
    assert_eq!(reply.header("allow"), Some("POST, PUT"));
    assert_eq!(gateway.ask("PUT", "/a", &[], "x").status, 200);
    assert_eq!(upstream.count(), 1);
}

#[test]
fn a_head_request_gets_the_same_head_and_no_body() {
    let upstream = Upstream::answering("hello");
    let gateway =
        Gateway::start(&format!("routes: {{ a: {{ path: /a, to: \"http://{}\" }} }}", upstream.address));
    let mut client = gateway.client();
    let found = client.ask("HEAD", "/a", &[], "");
    assert_eq!((found.status, found.header("content-length")), (200, Some("5")));
    assert_eq!(upstream.only().method, "HEAD");
    // An answer of our own has no body either: the connection goes on with the next reply.
    let missing = client.ask("HEAD", "/b", &[], "");
    assert_eq!((missing.status, missing.header("content-type")), (404, Some("application/problem+json")));
    assert_eq!(client.ask("GET", "/a", &[], "").text(), "hello");
}

#[test]
fn hosts_conditions_and_rewrites_decide_what_reaches_which_upstream() {
    let (one, two) = (Upstream::answering("one"), Upstream::answering("two"));
    let (first, second) = (one.address, two.address);
    let gateway = Gateway::start(&format!(
        "routes:\n  \
           exact: {{ host: a.test, path: /api/**, to: \"http://{first}\", rewrite: {{ strip_prefix: /api }} }}\n  \
           wild: {{ host: \"*.test\", path: /api/**, to: \"http://{second}\" }}\n  \
           beta: {{ host: a.test, path: /api/**, headers: {{ X-Beta: \"1\" }}, to: \"http://{second}\" }}\n  \
           item: {{ path: \"/old/{{id:uint}}\", to: \"http://{first}\", rewrite: {{ path: \"/new/{{id}}\" }} }}\n"
    ));
    let ask = |target: &str, headers: &[(&str, &str)]| gateway.ask("GET", target, headers, "").text();
    assert_eq!(ask("/api/x?q=%2F..%2f", &[("Host", "a.test:8080")]), "one");
    assert_eq!(one.last().target, "/x?q=%2F..%2f");
    assert_eq!(ask("/api/x", &[("Host", "b.test")]), "two");
    assert_eq!(two.last().target, "/api/x");
    assert_eq!(ask("/api/x", &[("Host", "A.TEST"), ("X-Beta", "1")]), "two");
    assert_eq!(ask("/old/42", &[]), "one");
    assert_eq!(one.last().target, "/new/42");
    assert_eq!(gateway.get("/old/x").status, 404);
    // P18: a prefix ends where a segment ends.
    assert_eq!(gateway.ask("GET", "/api../secret", &[("Host", "a.test")], "").status, 404);
    assert_eq!(gateway.ask("GET", "/api%2e%2e/secret", &[("Host", "a.test")], "").status, 404);
}

#[test]
fn no_spelling_of_a_refused_path_reaches_the_route_beside_it() {
    let (open, closed, gateway) = two_upstreams();
    let denied = [
        "/pub/../admin/x",     // P1
        "/pub/%2e%2e/admin/x", // P2
        "/pub/%2E./admin/x",
        "//admin/x",  // P5
        "/./admin/x", // P6
        "/%61dmin/x", // P7
        "/admin",
    ];
    for target in denied {
        assert_eq!(gateway.get(target).status, 401, "{target}");
    }
    let refused = [
        "/pub/..%2fadmin/x", // P3
        "/%2fadmin/x",       // P4
        "/;a=b/../admin/x",  // P9
        "/pub/..;/admin/x",  // P10
        "/pub\\..\\admin/x", // P11
        "/pub/..%5cadmin/x", // P12
        "/admin%00/x",       // P15
        "/pub#/../admin",    // P16
        "?a",                // P17
    ];
    for target in refused {
        let status = gateway.get(target).status;
        assert!(status == 400 || status == 401, "{target}: {status}");
    }
    assert_eq!((open.seen().len(), closed.seen().len()), (0, 0), "{:#?}", open.seen());
}

#[test]
fn an_upstream_sees_the_path_that_was_matched() {
    let (open, closed, gateway) = two_upstreams();
    for (sent, seen) in [
        ("/a/../b", "/b"),
        ("//a///b", "/a/b"),
        ("/%61/%7e", "/a/~"),
        ("/a%3ab?x=/../%61", "/a%3Ab?x=/../%61"),
        ("/pub/%252e%252e/admin", "/pub/%252e%252e/admin"), // P13
        ("/pub/..%252fadmin", "/pub/..%252fadmin"),         // P14
        ("/ADMIN/x", "/ADMIN/x"),                           // P8
    ] {
        assert_eq!(gateway.get(sent).status, 200, "{sent}");
        assert_eq!(open.last().target, seen, "{sent}");
    }
    assert_eq!(gateway.ask("GET", "/x/../admin/./%62", &[("X-Api-Key", "key")], "").text(), "closed");
    assert_eq!(closed.only().target, "/admin/b");
}

#[test]
fn a_request_with_two_interpretations_is_refused_before_it_is_routed() {
    let (open, closed, gateway) = two_upstreams();
    for (what, bytes) in [
        ("bare LF", "GET / HTTP/1.1\nHost: h\r\n\r\n"),
        ("no host", "GET / HTTP/1.1\r\n\r\n"),
        ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        ("A1: target and host differ", "GET http://other/x HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("A2: port out of range", "GET / HTTP/1.1\r\nHost: h:99999\r\n\r\n"),
        ("A3: space in host", "GET / HTTP/1.1\r\nHost: h evil\r\n\r\n"),
        ("A4: userinfo", "GET / HTTP/1.1\r\nHost: a@evil\r\n\r\n"),
        (
            "length and coding",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("two lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        ("odd length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nhello"),
        ("coding on 1.0", "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("folded field", "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n"),
        ("space before colon", "GET / HTTP/1.1\r\nHost : h\r\n\r\n"),
    ] {
        let mut client = gateway.client();
        client.send(bytes);
        let reply = client.reply();
        assert_eq!((reply.status, reply.code().as_str()), (400, "malformed_request"), "{what}");
        assert!(client.is_closed(), "{what}: the connection went on");
    }
    assert_eq!((open.count(), closed.count()), (0, 0));
}

#[test]
fn heads_that_are_too_long_and_methods_that_open_tunnels_are_refused() {
    let (open, _closed, gateway) = two_upstreams();
    let long = "a".repeat(9_000);
    assert_eq!(gateway.get(&format!("/{long}")).status, 414);
    let many: Vec<(String, String)> = (0..101).map(|n| (format!("X-{n}"), "1".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(gateway.ask("GET", "/", &many, "").status, 431);
    assert_eq!(gateway.ask("GET", "/", &[("X-Long", &"b".repeat(33 << 10))], "").status, 431);
    assert_eq!(gateway.ask("GET", "/", &[("Expect", "200-ok")], "").status, 417);
    let trace = gateway.ask("TRACE", "/", &[], "");
    assert_eq!(trace.status, 405);
    let mut client = gateway.client();
    client.send(request("CONNECT", "127.0.0.1:22", &[("Host", "127.0.0.1:22")], ""));
    assert_eq!(client.reply_to("GET").unwrap().status, 405);
    assert_eq!(open.count(), 0);
}

#[test]
fn a_body_that_is_broken_on_its_way_is_400_and_its_rest_is_no_request() {
    let (open, closed, gateway) = two_upstreams();
    for broken in
        ["5\r\nhello!!\r\n0\r\n\r\n", "5\nhello\r\n0\r\n\r\n", "1_0\r\nhello\r\n0\r\n\r\n", "zz\r\n"]
    {
        let mut client = gateway.client();
        client.send("POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        client.send(broken);
        client.send("GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
        let reply = client.reply();
        assert_eq!((reply.status, reply.code().as_str()), (400, "malformed_request"), "{broken:?}");
        assert!(client.is_closed(), "{broken:?}");
    }
    assert!(open.seen().iter().all(|seen| seen.target == "/x" && !seen.whole), "{:#?}", open.seen());
    assert_eq!(closed.count(), 0);
}

#[test]
fn pipelined_requests_are_answered_in_order_and_a_chunked_body_arrives_whole() {
    let upstream = Upstream::start(|seen| Act::ok(&format!("{} [{}]", seen.target, seen.text())));
    let gateway =
        Gateway::start(&format!("routes: {{ all: {{ path: /**, to: \"http://{}\" }} }}", upstream.address));
    let mut client = Client::connect(gateway.web);
    client.send(
        "POST /one HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n\
         GET /two HTTP/1.1\r\nHost: h\r\n\r\n\
         POST /three HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
    );
    let replies: Vec<String> = (0..3).map(|_| client.reply().text()).collect();
    assert_eq!(replies, ["/one [hello world]", "/two []", "/three [abc]"]);
}
