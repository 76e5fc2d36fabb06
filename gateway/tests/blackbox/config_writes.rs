//! Changes of named things through the admin API: conditions, races, bad input, and when they are live.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::{Client, Gateway, Reply, Upstream, request};

pub(crate) const JSON: (&str, &str) = ("Content-Type", "application/json");
pub(crate) const MERGE: (&str, &str) = ("Content-Type", "application/merge-patch+json");
const OPERATIONS: (&str, &str) = ("Content-Type", "application/json-patch+json");
const NEW: (&str, &str) = ("If-None-Match", "*");

pub(crate) fn running() -> (Upstream, Gateway) {
    let upstream = Upstream::answering("hello");
    let gateway = Gateway::start(&format!(
        "upstreams: {{ orders: \"http://{}\" }}\nroutes:\n  all: {{ path: /**, to: orders }}\n",
        upstream.address
    ));
    (upstream, gateway)
}

pub(crate) fn etag(gateway: &Gateway, target: &str) -> String {
    gateway.admin("GET", target, "").header("etag").unwrap().to_owned()
}

/// Changes with the tag as it is now.
fn change(gateway: &Gateway, method: &str, target: &str, kind: (&str, &str), body: &Value) -> Reply {
    let tag = etag(gateway, target);
    gateway.admin_with(method, target, &[kind, ("If-Match", &tag)], &body.to_string())
}

fn overlay(gateway: &Gateway) -> String {
    std::fs::read_to_string(gateway.path("state/overlay.yaml")).unwrap_or_default()
}

#[test]
fn a_route_is_made_changed_and_taken_away_and_each_answer_is_true_when_it_comes() {
    let (upstream, gateway) = running();
    let to = format!("http://{}", upstream.address);
    let route = json!({ "path": "/new", "to": to, "response_headers": { "set": { "X-New": "1" } } });
    let target = "/api/v1/routes/new";
    assert_eq!(gateway.get("/new").header("x-new"), None, "the other route has it");

    let made = gateway.admin_with("PUT", target, &[JSON, NEW], &route.to_string());
    assert_eq!((made.status, made.header("location")), (201, Some(target)), "{}", made.text());
    assert_eq!(gateway.get("/new").header("x-new"), Some("1"));
    let shown = gateway.admin("GET", target, "");
    assert_eq!(shown.json(), route);
    assert_eq!(shown.header("etag"), made.header("etag"));
    assert!(overlay(&gateway).contains("revision: 1"), "{}", overlay(&gateway));

    let patch =
        json!({ "methods": ["GET"], "response_headers": { "set": { "X-New": null, "X-Patched": "1" } } });
    let patched = change(&gateway, "PATCH", target, MERGE, &patch);
    assert_eq!(patched.status, 200, "{}", patched.text());
    assert_eq!(patched.json()["changes"], "routes ~1", "{}", patched.text());
    let seen = gateway.get("/new");
    assert_eq!((seen.header("x-patched"), seen.header("x-new")), (Some("1"), None));
    assert_eq!(gateway.ask("POST", "/new", &[], "").header("x-patched"), None);

    let operations = json!([
        { "op": "test", "path": "/path", "value": "/new" },
        { "op": "replace", "path": "/response_headers/set/X-Patched", "value": "2" },
    ]);
    assert_eq!(change(&gateway, "PATCH", target, OPERATIONS, &operations).status, 200);
    assert_eq!(gateway.get("/new").header("x-patched"), Some("2"));

    let replaced = change(&gateway, "PUT", target, JSON, &route);
    let seen = gateway.get("/new");
    assert_eq!((replaced.status, seen.header("x-patched"), seen.header("x-new")), (200, None, Some("1")));
    let again = change(&gateway, "PUT", target, JSON, &route);
    assert_eq!((again.status, again.json()["changed"].as_bool()), (200, Some(false)));

    let gone = change(&gateway, "DELETE", target, JSON, &Value::Null);
    assert_eq!((gone.status, gone.body.len()), (204, 0), "{}", gone.text());
    let seen = gateway.get("/new");
    assert_eq!((seen.status, seen.header("x-new")), (200, None));
    assert_eq!(gateway.admin("GET", target, "").status, 404);
}

#[test]
fn what_stands_in_the_files_is_changed_and_taken_away_by_the_overlay() {
    let (_upstream, gateway) = running();
    let files = std::fs::read_to_string(gateway.path("gateway.yaml")).unwrap();
    let patch = json!({ "response_headers": { "set": { "X-Over": "1" } } });
    assert_eq!(change(&gateway, "PATCH", "/api/v1/routes/all", MERGE, &patch).status, 200);
    assert_eq!(gateway.get("/").header("x-over"), Some("1"));
    assert_eq!(change(&gateway, "DELETE", "/api/v1/routes/all", JSON, &Value::Null).status, 204);
    assert_eq!(gateway.get("/").status, 404);
    assert!(overlay(&gateway).contains("all: null"), "{}", overlay(&gateway));
    assert_eq!(std::fs::read_to_string(gateway.path("gateway.yaml")).unwrap(), files);
    let gateway = gateway.killed_and_started_again();
    assert_eq!(gateway.get("/").status, 404);
}

#[test]
fn upstreams_policies_and_consumers_are_changed_the_same_way() {
    let (_upstream, gateway) = running();
    let other = Upstream::answering("other");
    let target = "/api/v1/upstreams/orders";
    let shown = gateway.admin("GET", target, "").json();
    assert_eq!(shown["endpoints"].as_array().unwrap().len(), 1);
    let to = json!(format!("http://{}", other.address));
    let changed = change(&gateway, "PUT", target, JSON, &to);
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(gateway.get("/").text(), "other");
    assert_eq!(gateway.admin("GET", target, "").json()["config"], to);
    // In use, so it cannot go.
    let used = change(&gateway, "DELETE", target, JSON, &Value::Null);
    assert_eq!(
        (used.status, used.json()["errors"][0]["code"].as_str()),
        (422, Some("E0412")),
        "{}",
        used.text()
    );
    assert_eq!(used.json()["errors"][0]["pointer"], "/routes/all/to");

    let policy = json!({ "rate_limit": { "rate": "1/h", "by": "ip" } });
    let made = gateway.admin_with("PUT", "/api/v1/policies/slow", &[JSON, NEW], &policy.to_string());
    assert_eq!(made.status, 201, "{}", made.text());
    assert!(made.json()["warnings"].as_str().unwrap().contains("W0502"), "{}", made.text());
    let used = json!({ "use": ["slow"] });
    assert_eq!(change(&gateway, "PATCH", "/api/v1/routes/all", MERGE, &used).status, 200);
    assert_eq!((gateway.get("/").status, gateway.get("/").status), (200, 429));

    let consumer = json!({ "api_keys": [{ "sha256": "00".repeat(32) }] });
    let made = gateway.admin_with("PUT", "/api/v1/consumers/robot", &[JSON, NEW], &consumer.to_string());
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(gateway.admin("GET", "/api/v1/consumers/robot", "").json(), consumer);
}

#[test]
fn a_change_needs_a_condition_that_holds() {
    let (_upstream, gateway) = running();
    let target = "/api/v1/routes/all";
    let route = json!({ "path": "/x", "to": "orders" }).to_string();
    let old = etag(&gateway, target);
    for (method, kind) in [("PUT", JSON), ("PATCH", MERGE), ("DELETE", JSON)] {
        let bare = gateway.admin_with(method, target, &[kind], &route);
        assert_eq!((bare.status, bare.code().as_str()), (428, "precondition_required"), "{method}");
        for tag in ["\"0000\"", "W/\"0000\"", &format!("W/{old}"), old.trim_matches('"'), ""] {
            let wrong = gateway.admin_with(method, target, &[kind, ("If-Match", tag)], &route);
            assert_eq!((wrong.status, wrong.code().as_str()), (412, "precondition_failed"), "{method} {tag}");
            assert_eq!(wrong.header("etag"), Some(old.as_str()));
        }
        let both = gateway.admin_with(method, target, &[kind, NEW, ("If-Match", "*")], &route);
        assert_eq!(both.status, 400, "{method}");
        let unknown = gateway.admin_with(method, "/api/v1/routes/al", &[kind, ("If-Match", &old)], &route);
        let wanted = if method == "PUT" { 412 } else { 404 };
        assert_eq!(unknown.status, wanted, "{method} {}", unknown.text());
    }
    assert_eq!(gateway.admin_with("PUT", target, &[JSON, NEW], &route).status, 412);
    assert_eq!((gateway.generation(), overlay(&gateway).as_str()), (1, ""));
    // Several tags, one of them right; then that one is old.
    let tags = format!("\"0000\", {old}");
    assert_eq!(gateway.admin_with("PUT", target, &[JSON, ("If-Match", &tags)], &route).status, 200);
    assert_eq!(gateway.admin_with("PUT", target, &[JSON, ("If-Match", &tags)], &route).status, 412);
    assert_eq!(gateway.admin_with("PUT", target, &[JSON, ("If-Match", "*")], &route).status, 200);
}

#[test]
fn of_two_writers_with_one_tag_one_is_told_that_it_came_late() {
    let (_upstream, gateway) = running();
    for round in 0..10 {
        let tag = etag(&gateway, "/api/v1/config");
        let start = std::sync::Barrier::new(4);
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|writer| {
                    let (gateway, tag, start) = (&gateway, tag.as_str(), &start);
                    scope.spawn(move || {
                        let mark = json!({ "X-Mark": format!("{round}-{writer}") });
                        let patch = json!({ "routes": { "all": { "response_headers": { "set": mark } } } });
                        start.wait();
                        let fields = [MERGE, ("If-Match", tag)];
                        let reply =
                            gateway.admin_with("PATCH", "/api/v1/config", &fields, &patch.to_string());
                        if reply.status == 200 {
                            let mark = format!("{round}-{writer}");
                            assert_eq!(gateway.get("/").header("x-mark"), Some(mark.as_str()));
                        }
                        reply.status
                    })
                })
                .collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        let of = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
        assert_eq!((of(200), of(412)), (1, 3), "{statuses:?}");
    }
    assert!(overlay(&gateway).contains("revision: 10"), "{}", overlay(&gateway));
}

#[test]
fn a_body_that_cannot_be_read_is_told_clearly_and_changes_nothing() {
    let (_upstream, gateway) = running();
    let target = "/api/v1/routes/all";
    let tag = etag(&gateway, target);
    let put =
        |kind: (&str, &str), body: &str| gateway.admin_with("PUT", target, &[kind, ("If-Match", &tag)], body);
    for body in [
        "",
        "{",
        "{\"path\":}",
        r#"{"path":"/a","path":"/b"}"#,
        "[1,",
        "\u{1}",
        &format!("{}1{}", "[".repeat(500), "]".repeat(500)),
    ] {
        let reply = put(JSON, body);
        assert_eq!((reply.status, reply.code().as_str()), (400, "malformed_body"), "{body}");
    }
    for body in ["a: [", "a: 1\na: 2", "!tag a", "a\tb: c: d"] {
        let reply = put(("Content-Type", "application/yaml"), body);
        assert_eq!((reply.status, reply.code().as_str()), (400, "malformed_body"), "{body}");
        assert!(reply.json()["errors"][0]["line"].is_u64(), "{}", reply.text());
    }
    for kind in ["", "text/plain", "application/x-www-form-urlencoded", "application/merge-patch+json"] {
        assert_eq!(put(("Content-Type", kind), "{}").status, 415, "{kind}");
    }
    let as_json = gateway.admin_with("PATCH", target, &[JSON, ("If-Match", &tag)], "{}");
    assert_eq!(as_json.status, 415);
    assert_eq!((gateway.generation(), overlay(&gateway).as_str()), (1, ""));
    assert_eq!(etag(&gateway, target), tag);
}

#[test]
fn what_is_no_configuration_is_told_with_the_part_that_is_to_blame() {
    let (_upstream, gateway) = running();
    let target = "/api/v1/routes/all";
    let tag = etag(&gateway, target);
    for (body, pointer) in [
        ("5", "/routes/all"),
        ("null", "/routes/all"),
        ("[]", "/routes/all"),
        (r#"{"path":"/x","to":"orders","timeout":"soon"}"#, "/routes/all/timeout"),
        (r#"{"path":"/x","to":"orders","methods":["GET",{}]}"#, "/routes/all/methods/1"),
        (r#"{"path":"/x","to":"order"}"#, "/routes/all/to"),
        (r#"{"path":"/x","to":"orders","retry":{"attempts":null}}"#, "/routes/all/retry/attempts"),
        (r#"{"path":"/x","to":"orders","tmeout":"5s"}"#, "/routes/all/tmeout"),
        (
            r#"{"path":"/x","to":"orders","request_headers":{"set":{"X":"***"}}}"#,
            "/routes/all/request_headers/set/X",
        ),
    ] {
        let reply = gateway.admin_with("PUT", target, &[JSON, ("If-Match", &tag)], body);
        assert_eq!(reply.status, 422, "{body}: {}", reply.text());
        let problem = reply.json();
        let pointers: Vec<&str> = problem["errors"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|error| error["pointer"].as_str())
            .collect();
        assert!(pointers.contains(&pointer), "{body}: {problem:#}");
        assert!(problem["errors"][0]["detail"].is_string(), "{problem:#}");
    }
    // A finding is shown in what was sent.
    let yaml = [("Content-Type", "application/yaml"), ("If-Match", tag.as_str())];
    let reply = gateway.admin_with("PUT", target, &yaml, "path: /x\nto: orders\ntimeout: soon\n");
    let error = reply.json()["errors"][0].clone();
    assert_eq!(
        (error["file"].as_str(), error["excerpt"].as_str()),
        (Some("request.yaml"), Some("timeout: soon")),
        "{error}"
    );
    assert_eq!((error["line"].as_u64(), error["column"].as_u64()), (Some(3), Some(10)), "{error}");
    let bad_patch =
        |body: &str| gateway.admin_with("PATCH", target, &[OPERATIONS, ("If-Match", &tag)], body).status;
    assert_eq!(bad_patch(r#"{"op":"add"}"#), 400);
    assert_eq!(bad_patch(r#"[{"op":"nonsense","path":"/a"}]"#), 400);
    assert_eq!(bad_patch(r#"[{"op":"remove","path":"/nothing"}]"#), 422);
    assert_eq!(bad_patch(r#"[{"op":"test","path":"/path","value":"/other"}]"#), 422);
    for query in
        ["dryrun=true", "dry_run=maybe", "confirm_within=60s", &format!("reason={}", "x".repeat(501))]
    {
        let reply =
            gateway.admin_with("PUT", &format!("{target}?{query}"), &[JSON, ("If-Match", &tag)], "{}");
        assert_eq!((reply.status, reply.code().as_str()), (400, "bad_query"), "{query}");
    }
    let name =
        gateway.admin_with("PUT", "/api/v1/routes/a%20b", &[JSON, NEW], r#"{"path":"/x","to":"orders"}"#);
    assert_eq!(
        (name.status, name.json()["errors"][0]["code"].as_str()),
        (422, Some("E0304")),
        "{}",
        name.text()
    );
    assert_eq!(gateway.admin("GET", "/api/v1/routes/%ff", "").status, 400);
    assert_eq!(gateway.admin("GET", "/api/v1/routes/al", "").status, 404);
    assert!(gateway.admin("GET", "/api/v1/routes/al", "").text().contains("did you mean `all`?"));
    assert_eq!(gateway.admin("POST", target, "{}").status, 405);
    assert_eq!((gateway.generation(), overlay(&gateway).as_str()), (1, ""));
    assert_eq!(etag(&gateway, target), tag);
}

#[test]
fn a_huge_body_is_refused_before_it_is_read_whole() {
    let (_upstream, gateway) = running();
    let token = format!("Bearer {}", gateway.token);
    for (method, target, kind, size) in [
        ("PUT", "/api/v1/routes/all", JSON, (1 << 20) + 1),
        ("PATCH", "/api/v1/config", MERGE, (16 << 20) + 1),
        ("POST", "/api/v1/config/validate", JSON, (16 << 20) + 1),
    ] {
        let length = size.to_string();
        let fields = [
            ("Host", "localhost"),
            ("Authorization", token.as_str()),
            kind,
            ("If-Match", "*"),
            ("Content-Length", &length),
        ];
        let mut client = Client::connect(gateway.admin);
        client.send(request(method, target, &fields, ""));
        client.send(vec![b' '; size]);
        let reply = client.reply_to(method).unwrap();
        assert_eq!((reply.status, reply.code().as_str()), (413, "body_too_large"), "{target}");
    }
}

#[test]
fn a_dry_run_tells_and_changes_nothing() {
    let (_upstream, gateway) = running();
    let target = "/api/v1/routes/all";
    let tag = etag(&gateway, target);
    let route = json!({ "path": "/other/**", "to": "orders" }).to_string();
    let dry = format!("{target}?dry_run=true");
    let told = gateway.admin_with("PUT", &dry, &[JSON, ("If-Match", &tag)], &route);
    assert_eq!(told.status, 200, "{}", told.text());
    let answer = told.json();
    assert_eq!(answer["patch"], json!({ "routes": { "all": { "path": "/other/**" } } }));
    assert_eq!((answer["dry_run"].as_bool(), answer["revision"].as_u64()), (Some(true), Some(0)));
    assert_eq!(gateway.admin_with("DELETE", &dry, &[("If-Match", &tag)], "").status, 200);
    let made = gateway.admin_with("PUT", "/api/v1/routes/b?dry_run=true", &[JSON, NEW], &route);
    assert_eq!((made.status, made.header("etag")), (200, None));
    let wrong = gateway.admin_with("PUT", &dry, &[JSON, ("If-Match", &tag)], "5");
    assert_eq!(wrong.status, 422);
    assert_eq!((gateway.generation(), overlay(&gateway).as_str(), gateway.get("/x").status), (1, "", 200));
}

#[test]
fn fifty_changes_under_traffic_fail_no_request() {
    let (_upstream, gateway) = running();
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut kept = gateway.client();
                while !over.load(Ordering::SeqCst) {
                    assert_eq!(kept.ask("GET", "/x", &[], "").status, 200);
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut tag = etag(&gateway, "/api/v1/routes/all");
            for n in 0..50 {
                let mark = json!({ "response_headers": { "set": { "X-Mark": n.to_string() } } }).to_string();
                let fields = [MERGE, ("If-Match", tag.as_str())];
                let reply = gateway.admin_with("PATCH", "/api/v1/routes/all", &fields, &mark);
                assert_eq!(reply.status, 200, "{}", reply.text());
                tag = reply.header("etag").unwrap().to_owned();
                assert_eq!(gateway.get("/x").header("x-mark"), Some(n.to_string().as_str()));
            }
        }));
        over.store(true, Ordering::SeqCst);
        if let Err(failure) = done {
            std::panic::resume_unwind(failure);
        }
    });
    assert!(asked.load(Ordering::SeqCst) > 50, "{asked:?}");
    assert_eq!(gateway.generation(), 51);
}

#[test]
fn lists_come_page_by_page() {
    let upstream = Upstream::answering("hello");
    let routes: String = (0..25)
        .map(|n| format!("  r{n:02}: {{ path: /r{n}, to: \"http://{}\" }}\n", upstream.address))
        .collect();
    let gateway = Gateway::start(&format!("routes:\n{routes}"));
    let mut names = Vec::new();
    let mut next = "/api/v1/routes?limit=10&filter=r".to_owned();
    loop {
        let page = gateway.admin("GET", &next, "");
        assert_eq!(page.status, 200, "{}", page.text());
        let items = page.json()["items"].as_array().unwrap().clone();
        assert!(items.iter().all(|item| item["etag"].is_string() && item["config"]["path"].is_string()));
        names.extend(items.iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        let Some(link) = page.header("link") else { break };
        next = link.trim_start_matches('<').split('>').next().unwrap().to_owned();
    }
    assert_eq!(names.len(), 25);
    assert!(names.is_sorted());
    let filtered = gateway.admin("GET", "/api/v1/routes?filter=r07", "").json();
    assert_eq!(filtered["items"].as_array().unwrap().len(), 1);
    assert_eq!(filtered["items"][0]["overlaid"], false);
    for bad in ["limit=0", "limit=1001", "limit=x", "page=2"] {
        assert_eq!(gateway.admin("GET", &format!("/api/v1/routes?{bad}"), "").status, 400, "{bad}");
    }
}

#[test]
fn what_is_refused_takes_no_number_and_says_which_condition_does_not_hold() {
    let (_upstream, gateway) = running();
    let target = "/api/v1/routes/all";
    let there = gateway.admin_with("PUT", target, &[JSON, NEW], "{}");
    assert_eq!((there.status, there.code().as_str()), (412, "precondition_failed"));
    assert!(there.text().contains("it is there already"), "{}", there.text());
    let tag = etag(&gateway, target);
    let gone = gateway.admin_with("PUT", "/api/v1/routes/none", &[JSON, ("If-Match", &tag)], "{}");
    assert!(gone.text().contains("it is not there"), "{}", gone.text());
    for body in [json!({ "to": "nobody" }), json!({ "nothing": 1 }), json!({ "x".repeat(3_000): 1 })] {
        let refused = change(&gateway, "PATCH", target, MERGE, &body);
        assert_eq!((refused.status, refused.code().as_str()), (422, "invalid"), "{}", refused.text());
        let codes = refused.json()["errors"].to_string();
        assert!(codes.contains("E0412") || codes.contains("E0201"), "{codes}");
    }
    let made = change(&gateway, "PATCH", target, MERGE, &json!({ "methods": ["GET"] }));
    assert_eq!((made.status, made.json()["revision"].as_u64()), (200, Some(1)), "{}", made.text());
}
