//! Who may use the admin API, for what, and how often.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::{Client, Gateway, Reply, until};

/// The roles, each including the ones before it.
const ROLES: [&str; 3] = ["viewer", "operator", "admin"];
/// What must not be done while others still ask.
const ENDS_THE_GATEWAY: &str = "/api/v1/drain";

fn start() -> Gateway {
    Gateway::start("routes: { all: { path: /**, to: \"http://127.0.0.1:1\" } }")
}

/// Every operation of the description: its method, its path with the parameters filled in, its role.
fn operations(gateway: &Gateway) -> Vec<(String, String, usize)> {
    let document = gateway.admin("GET", "/api/v1/openapi.json", "").json();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let filled: Vec<&str> =
            path.split('/').map(|part| if part.starts_with('{') { "1" } else { part }).collect();
        for (method, operation) in item.as_object().unwrap() {
            let role = operation["x-required-role"].as_str().unwrap();
            let rank = ROLES.iter().position(|known| *known == role).unwrap();
            operations.push((method.to_uppercase(), filled.join("/"), rank));
        }
    }
    operations
}

#[test]
fn every_operation_takes_its_role_and_those_above_and_no_other() {
    let gateway = start();
    let operations = operations(&gateway);
    assert!(operations.len() > 8, "{operations:?}");
    let tokens =
        ROLES.map(|role| if role == "admin" { gateway.token.clone() } else { gateway.token_of(role) });
    for (method, path, needed) in &operations {
        for (rank, token) in tokens.iter().enumerate() {
            if rank >= *needed && path == ENDS_THE_GATEWAY {
                continue;
            }
            let mut reply = Reply { status: 429, headers: Vec::new(), body: Vec::new(), whole: true };
            until("the admin API has time", || {
                // The head alone: some answers never end.
                reply = gateway.admin_stream(token, method, path, "").head().unwrap();
                reply.status != 429
            });
            let role = ROLES[rank];
            if rank < *needed {
                assert_eq!(reply.status, 403, "{role}: {method} {path}");
            } else {
                assert!(![401, 403].contains(&reply.status), "{role}: {method} {path}: {}", reply.status);
            }
        }
        let nobody = gateway.admin_stream("nobody", method, path, "").head().unwrap();
        assert!([401, 429].contains(&nobody.status), "nobody: {method} {path}: {}", nobody.status);
    }
}

#[test]
fn a_refusal_for_the_role_names_both_roles() {
    let gateway = start();
    let viewer = gateway.token_of("viewer");
    let refused = gateway.admin_as(&viewer, "POST", "/api/v1/reload", "");
    assert_eq!((refused.status, refused.code().as_str()), (403, "role"));
    let text = refused.text();
    assert!(text.contains("operator") && text.contains("`viewer`"), "{text}");
    // What is not there is not there for anybody.
    assert_eq!(gateway.admin_as(&viewer, "GET", "/api/v1/nothing", "").status, 404);
}

#[test]
fn a_rebound_name_and_a_page_of_another_site_get_nowhere_even_with_the_token() {
    let gateway = start();
    let token = format!("Bearer {}", gateway.token);
    let ask = |method: &str, path: &str, headers: &[(&str, &str)]| {
        let mut all = vec![("Authorization", token.as_str())];
        all.extend_from_slice(headers);
        Client::connect(gateway.admin).ask(method, path, &all, "")
    };
    let port = gateway.admin.port();
    let (local, other) = (format!("localhost:{port}"), format!("localhost:{}", port ^ 1));
    for foreign in [
        &[("Host", "rebound.evil.test")][..],
        &[("Host", "127.0.0.1.nip.io")],
        &[("Host", &local), ("Origin", "https://evil.test")],
        &[("Host", &local), ("Origin", "null")],
        &[("Host", &local), ("Origin", &format!("http://{other}"))],
        &[("Host", &local), ("Sec-Fetch-Site", "cross-site")],
        &[("Host", &local), ("Sec-Fetch-Site", "same-site")],
    ] {
        for (method, path) in
            [("GET", "/api/v1/status"), ("POST", "/api/v1/reload"), ("DELETE", "/api/v1/tokens/x")]
        {
            let refused = ask(method, path, foreign);
            assert_eq!((refused.status, refused.code().as_str()), (403, "foreign_origin"), "{foreign:?}");
        }
    }
    for ours in [
        &[("Host", local.as_str())][..],
        &[("Host", &local), ("Origin", &format!("http://{local}"))],
        &[("Host", &local), ("Sec-Fetch-Site", "same-origin")],
        &[("Host", "[::1]:9901")],
    ] {
        assert_eq!(ask("GET", "/api/v1/status", ours).status, 200, "{ours:?}");
    }
    // No page can send these without a preflight, and no preflight is answered.
    let preflight = ask("OPTIONS", "/api/v1/reload", &[("Host", &local), ("Origin", "https://evil.test")]);
    assert_eq!(preflight.status, 403);
    assert!(preflight.header("access-control-allow-origin").is_none());
    assert_eq!(gateway.generation(), 1);
}

#[test]
fn wrong_tokens_are_told_to_wait_and_right_ones_are_not_kept_waiting() {
    let gateway = start();
    let mut statuses = Vec::new();
    until("the address is told to wait", || {
        let reply = gateway.admin_as("0123456789abcdef0123456789abcdef", "GET", "/api/v1/status", "");
        statuses.push(reply.status);
        if reply.status == 429 {
            assert_eq!(reply.code(), "rate_limited");
            assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
        }
        reply.status == 429
    });
    assert_eq!(statuses[0], 401);
    assert!(statuses.len() >= 6, "five are looked at first: {statuses:?}");
    assert_eq!(gateway.admin_as(&gateway.token, "GET", "/api/v1/status", "").status, 200);
}

#[test]
fn a_caller_that_asks_too_often_is_told_to_wait_and_another_is_not() {
    let gateway = start();
    let viewer = gateway.token_of("viewer");
    let bearer = format!("Bearer {viewer}");
    let mut client = Client::connect(gateway.admin);
    let mut refused = None;
    for _ in 0..2_000 {
        let headers = [("Authorization", bearer.as_str()), ("Host", "localhost")];
        let reply = client.ask("GET", "/api/v1/info", &headers, "");
        if reply.status == 429 {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.expect("2000 requests in a row were all let in");
    assert_eq!(refused.code(), "rate_limited");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(gateway.admin("GET", "/api/v1/info", "").status, 200);
}

#[test]
fn a_made_token_is_shown_once_survives_a_reload_and_ends_when_it_is_removed() {
    let gateway = start();
    let made =
        gateway.admin("POST", "/api/v1/tokens", r#"{"name": "ci", "role": "operator", "expires_in": "1h"}"#);
    assert_eq!((made.status, made.header("location")), (201, Some("/api/v1/tokens/ci")));
    let token = made.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(gateway.admin_as(&token, "POST", "/api/v1/reload", "").status, 200);
    let listed = gateway.admin("GET", "/api/v1/tokens", "");
    assert!(!listed.text().contains(&token));
    let items = listed.json()["items"].as_array().unwrap().clone();
    let names: Vec<&str> = items.iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["admin", "ci"]);
    assert!(items[1]["expires"].is_string() && items[1]["origin"] == "made", "{items:?}");
    let path = gateway.path("state/tokens.json");
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(!kept.contains(&token) && !gateway.log().contains(&token));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let again = gateway.admin("POST", "/api/v1/tokens", r#"{"name": "ci", "role": "viewer"}"#);
    assert_eq!((again.status, again.code().as_str()), (409, "token_exists"));
    assert_eq!(gateway.admin("DELETE", "/api/v1/tokens/ci", "").status, 204);
    assert_eq!(gateway.admin_as(&token, "GET", "/api/v1/status", "").status, 401);
    assert_eq!(gateway.admin("DELETE", "/api/v1/tokens/ci", "").code(), "unknown_token");
    assert_eq!(gateway.admin("DELETE", "/api/v1/tokens/admin", "").code(), "token_not_made");
}

#[test]
fn a_token_of_the_configuration_opens_and_cannot_be_removed_by_the_api() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("viewer-token");
    std::fs::write(&file, format!("{}\n", "v".repeat(40))).unwrap();
    let config = format!(
        "version: 1\nadmin:\n  address: 127.0.0.1:0\n  tokens:\n    grafana: {{ role: viewer, token_file: {} }}\n\
         metrics: {{ address: 127.0.0.1:0 }}\nlisteners: {{ web: {{ address: 127.0.0.1:0 }} }}\n\
         routes: {{ all: {{ path: /**, to: \"http://127.0.0.1:1\" }} }}",
        file.display()
    );
    let gateway = Gateway::start_whole(&config);
    let token = "v".repeat(40);
    assert_eq!(gateway.admin_as(&token, "GET", "/api/v1/status", "").status, 200);
    assert_eq!(gateway.admin_as(&token, "POST", "/api/v1/reload", "").status, 403);
    assert_eq!(gateway.admin("DELETE", "/api/v1/tokens/grafana", "").code(), "token_not_made");
    std::fs::write(&file, "w".repeat(44)).unwrap();
    until("the new token opens", || {
        [200].contains(&gateway.admin_as(&"w".repeat(44), "GET", "/api/v1/status", "").status)
    });
    assert_ne!(gateway.admin_as(&token, "GET", "/api/v1/status", "").status, 200);
}

#[test]
fn bad_bodies_and_queries_are_problems_that_say_what_is_wrong() {
    let gateway = start();
    for (body, status, part) in [
        ("{", 400, "EOF"),
        ("{}", 422, "name"),
        (r#"{"name": "x", "role": "king"}"#, 422, "king"),
        (r#"{"name": "x", "role": "viewer", "more": 1}"#, 422, "more"),
        (r#"{"name": "no spaces", "role": "viewer"}"#, 422, "`name`"),
        (r#"{"name": "x", "role": "viewer", "expires_in": "soon"}"#, 422, "expires_in"),
    ] {
        let reply = gateway.admin("POST", "/api/v1/tokens", body);
        assert_eq!(reply.status, status, "{body}: {}", reply.text());
        assert!(!reply.code().is_empty() && reply.text().contains(part), "{body}: {}", reply.text());
    }
    assert_eq!(gateway.admin("POST", "/api/v1/tokens", "name: x").code(), "not_json");
    assert_eq!(gateway.admin("GET", "/api/v1/upstreams?limit=0", "").code(), "bad_query");
    assert_eq!(gateway.admin("GET", "/api/v1/upstreams?limit=some", "").code(), "bad_query");
    assert_eq!(gateway.admin("GET", "/api/v1/upstreams?curser=aa", "").code(), "bad_query");
    let long = format!("{{\"name\": \"{}\"}}", "x".repeat(65 << 10));
    assert_eq!(gateway.admin("POST", "/api/v1/tokens", &long).code(), "body_too_large");
}

#[test]
fn a_list_is_paged_and_filtered() {
    let routes: String =
        (1..=5).map(|n| format!("  r{n}: {{ path: /{n}, to: \"http://127.0.0.{n}:1\" }}\n")).collect();
    let gateway = Gateway::start(&format!("routes:\n{routes}"));
    let mut seen = Vec::new();
    let mut target = "/api/v1/upstreams?limit=2".to_owned();
    loop {
        let page = gateway.admin("GET", &target, "");
        let value: Value = page.json();
        let items = value["items"].as_array().unwrap();
        seen.extend(items.iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        let Some(next) = value["next"].as_str() else { break };
        let link = page.header("link").unwrap().to_owned();
        assert!(link.contains(next) && link.ends_with("rel=\"next\""), "{link}");
        target = link.trim_start_matches('<').split('>').next().unwrap().to_owned();
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
    assert!(seen.is_sorted());
    let filtered = gateway.admin("GET", "/api/v1/upstreams?filter=127.0.0.3", "").json();
    assert_eq!(filtered["items"].as_array().unwrap().len(), 1, "{filtered}");
}

#[test]
fn a_query_that_is_no_text_is_refused_and_a_scheme_may_be_spelt_in_any_case() {
    let gateway = start();
    for target in ["routes?filter=%FF", "requests?method=%", "services?filter=%zz", "upstreams?cursor=%C3"] {
        let refused = gateway.admin("GET", &format!("/api/v1/{target}"), "");
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, "bad_query"),
            "{target} {}",
            refused.text()
        );
    }
    assert_eq!(gateway.admin("GET", "/api/v1/routes?filter=%C3%A9", "").status, 200);
    let token = std::fs::read_to_string(gateway.path("state/admin-token")).unwrap();
    for (scheme, status) in [("bearer", 200), ("BEARER", 200), ("Basic", 401), ("Bearer:", 401)] {
        let field = format!("{scheme} {}", token.trim());
        let fields = [("Authorization", field.as_str()), ("Host", "localhost")];
        let reply = Client::connect(gateway.admin).ask("GET", "/api/v1/status", &fields, "");
        assert_eq!(reply.status, status, "{scheme}");
    }
}
