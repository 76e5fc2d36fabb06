//! What upstreams are told about a request: by the gateway, and never by the client in its place.

use crate::support::{Act, Answer, Gateway, Upstream};

fn through(extra: &str) -> (Upstream, Gateway) {
    let upstream = Upstream::answering("hello");
    let config = format!("{extra}routes: {{ all: {{ path: /**, to: \"http://{}\" }} }}\n", upstream.address);
    let gateway = Gateway::start(&config);
    (upstream, gateway)
}

#[test]
fn a_stranger_cannot_say_where_a_request_comes_from() {
    let (upstream, gateway) = through("");
    let spoofed = [
        ("X-Forwarded-For", "6.6.6.6"),
        ("x-forwarded-for", "7.7.7.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.test"),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Prefix", "/evil"),
        ("X-Real-IP", "6.6.6.6"),
        ("Forwarded", "for=6.6.6.6"),
        ("X-Original-URL", "/admin"),
        ("X-Rewrite-URL", "/admin"),
        ("True-Client-IP", "6.6.6.6"),
        ("CF-Connecting-IP", "6.6.6.6"),
        ("X-Envoy-Original-Path", "/admin"),
        ("X-Gateway-Route", "mine"),
        ("X-Portcullis-User", "root"),
        ("Proxy", "http://evil.test"),
        ("X_User", "alice"),
        ("X.User", "eve"),
    ];
    assert_eq!(gateway.ask("GET", "/", &spoofed, "").status, 200);
    let seen = upstream.only();
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.header("x-forwarded-host"), Some("shop.test"));
    // The configuration asks for port 0; what counts is the port that the system chose.
    assert_eq!(seen.header("x-forwarded-port"), Some(gateway.web.port().to_string().as_str()));
    for (name, value) in spoofed {
        assert!(!seen.all(name).contains(&value), "{name}: {value} went through: {:?}", seen.headers);
    }
}

#[test]
fn a_trusted_proxy_is_believed_up_to_the_first_stranger() {
    let (upstream, gateway) = through("trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]\n");
    let headers = [
        ("X-Forwarded-For", "6.6.6.6, 9.9.9.9, 10.0.0.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "public.test"),
        ("X-Request-Id", "from-the-proxy"),
    ];
    let reply = gateway.ask("GET", "/", &headers, "");
    let seen = upstream.only();
    assert_eq!(seen.all("x-forwarded-for").join(", "), "6.6.6.6, 9.9.9.9, 10.0.0.7, 127.0.0.1");
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.header("x-forwarded-host"), Some("public.test"));
    assert_eq!(seen.header("x-request-id"), Some("from-the-proxy"));
    assert_eq!(reply.header("x-request-id"), Some("from-the-proxy"));
    assert_eq!(gateway.logged("from-the-proxy")["client"], "9.9.9.9");
}

#[test]
fn hop_by_hop_fields_end_here() {
    let (upstream, gateway) = through("");
    let headers = [
        ("TE", "gzip"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic eDp5"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
        ("X-Hop", "1"),
        ("Connection", "X-Hop, Upgrade, HTTP2-Settings, keep-alive"),
        ("X-Stays", "1"),
    ];
    assert_eq!(gateway.ask("GET", "/", &headers, "").status, 200);
    let seen = upstream.only();
    for name in
        ["te", "keep-alive", "proxy-connection", "proxy-authorization", "upgrade", "http2-settings", "x-hop"]
    {
        assert_eq!(seen.all(name), Vec::<&str>::new(), "{:?}", seen.headers);
    }
    assert_eq!(seen.header("x-stays"), Some("1"));
}

#[test]
fn nominating_our_own_fields_does_not_remove_them() {
    let (upstream, gateway) = through("");
    let headers =
        [("X-User", "alice"), ("Connection", "close, x-user, X-Forwarded-For, x-request-id, via, host")];
    let reply = gateway.ask("GET", "/", &headers, "");
    if reply.status == 200 {
        let seen = upstream.only();
        assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(seen.header("x-user"), None);
        assert_eq!(seen.header("host"), Some("shop.test"));
        assert!(seen.header("x-request-id").is_some() && seen.header("via").is_some());
    } else {
        assert_eq!(reply.status, 400);
    }
}

#[test]
fn two_credentials_in_one_request_are_refused() {
    let (upstream, gateway) = through("");
    let headers = [("Authorization", "Bearer a"), ("Authorization", "Bearer b")];
    assert_eq!(gateway.ask("GET", "/", &headers, "").status, 400);
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_request_that_comes_round_again_is_508() {
    let (upstream, gateway) = through("");
    assert_eq!(gateway.ask("GET", "/", &[("Via", "1.1 somebody-else")], "").status, 200);
    let via = upstream.only().all("via").join(", ");
    assert!(via.starts_with("1.1 somebody-else, 1.1 portcullis-"), "{via}");
    let looped = gateway.ask("GET", "/", &[("Via", &via)], "");
    assert_eq!((looped.status, looped.code().as_str()), (508, "loop"));
    assert_eq!(upstream.count(), 1);
}

#[test]
fn a_gateway_that_is_its_own_upstream_ends_the_loop_after_one_round() {
    // The port must be known to both sides: the first gateway finds it, a reload closes the circle.
    let (_upstream, gateway) = through("");
    let config = format!("routes: {{ all: {{ path: /**, to: \"http://{}\" }} }}\n", gateway.web);
    assert_eq!(gateway.reload(&config).status, 200);
    let reply = gateway.get("/");
    assert_eq!((reply.status, reply.code().as_str()), (508, "loop"));
}

#[test]
fn every_request_has_an_id_that_upstream_client_and_log_share() {
    let (upstream, gateway) = through("");
    let reply = gateway.ask("GET", "/a?secret=1", &[("X-Request-Id", "chosen-by-a-stranger")], "");
    let id = reply.header("x-request-id").unwrap().to_owned();
    assert_ne!(id, "chosen-by-a-stranger");
    assert_eq!(upstream.only().header("x-request-id"), Some(id.as_str()));
    assert_eq!(gateway.logged(&id)["path"], "/a");
    let refused = gateway.ask("GET", "/", &[("Expect", "200-ok")], "");
    assert_eq!(refused.json()["request_id"].as_str(), refused.header("x-request-id"));
}

#[test]
fn a_trace_is_continued_or_begun() {
    let (upstream, gateway) = through("");
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let given = format!("00-{trace}-b7ad6b7169203331-01");
    let reply = gateway.ask("GET", "/", &[("traceparent", &given), ("tracestate", "a=1")], "");
    let id = reply.header("x-request-id").unwrap().to_owned();
    let seen = upstream.last();
    let continued = seen.header("traceparent").unwrap();
    assert!(continued.starts_with(&format!("00-{trace}-")) && continued.ends_with("-01"), "{continued}");
    assert_ne!(continued, given, "the gateway is a hop of its own");
    assert_eq!(seen.header("tracestate"), Some("a=1"));
    assert_eq!(gateway.logged(&id)["trace_id"], trace);
    for broken in ["", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "nonsense"] {
        assert_eq!(gateway.ask("GET", "/", &[("traceparent", broken)], "").status, 200);
        let begun = upstream.last().header("traceparent").unwrap().to_owned();
        assert_eq!(begun.len(), 55, "{begun}");
        assert!(!begun.contains("00000000000000000000000000000000"), "{begun}");
    }
}

#[test]
fn a_reply_loses_its_hop_by_hop_fields_and_gains_what_the_route_says() {
    let upstream = Upstream::start(|_| {
        let answer = Answer::new(200, "hello").with("Connection", "X-Hop").with("X-Hop", "1");
        Act::Reply(
            answer.with("Keep-Alive", "timeout=5").with("Server", "secret/1.0").with("Set-Cookie", "a=1"),
        )
    });
    let gateway = Gateway::start(&format!(
        "routes:\n  all:\n    path: /**\n    to: \"http://{}\"\n    \
           request_headers: {{ set: {{ X-Set: gateway }}, remove: [X-Remove] }}\n    \
           response_headers: {{ set: {{ X-Frame-Options: DENY }}, add: {{ Set-Cookie: b=2 }}, remove: [Server] }}\n",
        upstream.address
    ));
    let reply = gateway.ask("GET", "/", &[("X-Set", "client"), ("X-Remove", "1")], "");
    assert_eq!(upstream.only().header("x-set"), Some("gateway"));
    assert_eq!(upstream.only().header("x-remove"), None);
    assert_eq!(reply.header("x-frame-options"), Some("DENY"));
    assert_eq!(
        (reply.header("server"), reply.header("x-hop"), reply.header("keep-alive")),
        (None, None, None)
    );
    let cookies: Vec<&str> = reply
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
        .map(|(_, v)| &**v)
        .collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
}
