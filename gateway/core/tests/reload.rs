//! What a reload keeps, changes and reports.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of a test, which fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use portcullis_core::limit::LimitSeed;
use portcullis_core::snapshot::{Carried, Difference, Route, Snapshot, UpstreamSource, compile};
use portcullis_plugin_sdk::Catalog;
use portcullis_schema::{MemorySource, Style, load, render};

const BASE: &str = r#"
version: 1
upstreams:
  orders: consul://orders
  fixed: { hosts: ["127.0.0.1:9000"] }
consumers:
  app: { api_keys: [{ sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 }], rate_limit: 7/s }
policies:
  public: { rate_limit: 100/s, retry: { attempts: 3 }, circuit_breaker: { failure_rate: 50% } }
  signed-in: { jwt: { jwks: "https://auth.test/jwks", headers: { X-User: sub } } }
routes:
  a: { path: /a, to: orders, use: [public, signed-in] }
  b: { path: /b, to: orders, use: [public] }
  c: { path: /c, to: fixed, api_key: X-Key, rate_limit: { rate: 5/s, by: consumer } }
"#;

fn snapshot(text: &str, carried: &Carried) -> Snapshot {
    let source = MemorySource::new().with("gateway.yaml", text);
    let loaded = load(Path::new("gateway.yaml"), &source, &BTreeMap::new());
    let compiled = compile(&loaded, &Catalog::new(), carried);
    let report = render(&compiled.diagnostics, &loaded.sources, Style::Plain);
    compiled.snapshot.unwrap_or_else(|| panic!("{report}"))
}

fn first() -> Snapshot {
    snapshot(BASE, &Carried::nothing(LimitSeed([1, 2])))
}

/// The snapshot of `BASE` with `from` replaced by `to`, taking over from `old`.
fn reloaded(old: &Snapshot, from: &str, to: &str) -> Snapshot {
    assert!(BASE.contains(from), "{from}");
    snapshot(&BASE.replace(from, to), old.carried())
}

fn route<'s>(snapshot: &'s Snapshot, name: &str) -> &'s Arc<Route> {
    snapshot.route(name).unwrap()
}

fn same<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
    Arc::ptr_eq(one.unwrap(), other.unwrap())
}

#[test]
fn a_reload_of_the_same_document_forgets_nothing() {
    let old = first();
    let new = snapshot(BASE, old.carried());
    assert_eq!((old.generation, new.generation), (1, 2));
    assert!(Arc::ptr_eq(&old.upstreams["orders"], &new.upstreams["orders"]));
    assert!(Arc::ptr_eq(&old.upstreams["fixed"].cell, &new.upstreams["fixed"].cell));
    for name in ["a", "b"] {
        assert!(same(route(&old, name).settings.limit.as_ref(), route(&new, name).settings.limit.as_ref()));
        assert!(same(route(&old, name).settings.retry.as_ref(), route(&new, name).settings.retry.as_ref()));
    }
    assert!(same(route(&old, "a").settings.jwt.as_ref(), route(&new, "a").settings.jwt.as_ref()));
    assert!(Arc::ptr_eq(&old.jwks[0], &new.jwks[0]));
    assert!(same(old.consumers["app"].limit.as_ref(), new.consumers["app"].limit.as_ref()));
    assert!(Difference::between(&old, &new).is_empty());
    assert_eq!(Difference::between(&old, &new).to_string(), "nothing");
}

#[test]
fn a_moved_line_is_no_difference() {
    let old = first();
    let new = reloaded(&old, "version: 1\n", "# a comment\n\nversion: 1\n");
    assert!(Difference::between(&old, &new).is_empty());
}

#[test]
fn routes_that_share_a_policy_share_its_limit_and_its_retry_budget() {
    let old = first();
    assert!(same(route(&old, "a").settings.limit.as_ref(), route(&old, "b").settings.limit.as_ref()));
    assert!(same(route(&old, "a").settings.retry.as_ref(), route(&old, "b").settings.retry.as_ref()));
    assert_eq!(old.limits.len(), 3);
}

#[test]
fn a_changed_limit_begins_anew_and_leaves_the_rest() {
    let old = first();
    let new = reloaded(&old, "rate_limit: 100/s", "rate_limit: 200/s");
    assert!(!same(route(&old, "b").settings.limit.as_ref(), route(&new, "b").settings.limit.as_ref()));
    assert!(same(route(&old, "b").settings.retry.as_ref(), route(&new, "b").settings.retry.as_ref()));
    assert!(Arc::ptr_eq(&old.upstreams["orders"], &new.upstreams["orders"]));
    assert_eq!(Difference::between(&old, &new).to_string(), "routes ~2");
}

#[test]
fn changed_key_settings_keep_the_keys_of_the_same_source() {
    let old = first();
    let new = reloaded(&old, "headers: { X-User: sub }", "headers: { X-Subject: sub }");
    assert!(!same(route(&old, "a").settings.jwt.as_ref(), route(&new, "a").settings.jwt.as_ref()));
    assert!(Arc::ptr_eq(&old.jwks[0], &new.jwks[0]));
    assert!(new.identity_names.contains(&http::HeaderName::from_static("x-subject")));
    assert!(!new.identity_names.contains(&http::HeaderName::from_static("x-user")));
    let moved = reloaded(&old, "https://auth.test/jwks", "https://other.test/jwks");
    assert!(!Arc::ptr_eq(&old.jwks[0], &moved.jwks[0]));
}

#[test]
fn another_service_under_the_same_name_inherits_no_endpoint() {
    let old = first();
    let new = reloaded(&old, "orders: consul://orders", "orders: consul://orders-v2");
    assert!(!Arc::ptr_eq(&old.upstreams["orders"].cell, &new.upstreams["orders"].cell));
    assert!(!new.upstreams["orders"].cell.has_answer());
    assert_eq!(Difference::between(&old, &new).to_string(), "upstreams ~1");
}

#[test]
fn a_changed_list_of_hosts_changes_the_new_snapshot_only() {
    let old = first();
    let new = reloaded(&old, r#"["127.0.0.1:9000"]"#, r#"["127.0.0.1:9000", "127.0.0.1:9001"]"#);
    assert_eq!(old.upstreams["fixed"].cell.endpoints().len(), 1);
    assert_eq!(new.upstreams["fixed"].cell.endpoints().len(), 2);
    assert!(matches!(&new.upstreams["fixed"].source, UpstreamSource::Hosts(set) if set.len() == 2));
}

#[test]
fn a_difference_counts_what_came_went_and_changed() {
    let old = first();
    let text = BASE.replace("  b: { path: /b,", "  d: { path: /d,").replace("path: /a,", "path: /a/**,");
    let new = snapshot(&text, old.carried());
    assert_eq!(Difference::between(&old, &new).to_string(), "routes +1 -1 ~1");
}

#[test]
fn keys_that_need_a_restart_are_named() {
    let old = first();
    let new = reloaded(
        &old,
        "version: 1\n",
        "version: 1\nadmin: { address: \"127.0.0.1:9999\" }\ntelemetry: { access_log: none }\n",
    );
    assert_eq!(new.boot.changed_keys(&old.boot), ["admin", "telemetry.access_log"]);
    assert!(old.boot.changed_keys(&first().boot).is_empty());
}

#[test]
fn a_consumers_own_limit_stands_in_for_one_by_consumer() {
    let snapshot = first();
    let names = |route_name: &str, consumer: Option<&str>| -> Vec<String> {
        let limits = snapshot.limits_for(route(&snapshot, route_name), consumer);
        limits.map(|limit| limit.settings().name.to_string()).collect()
    };
    assert_eq!(names("c", None), ["c"]);
    assert_eq!(names("c", Some("app")), ["app"]);
    assert_eq!(names("b", Some("app")), ["public", "app"]);
    assert_eq!(names("b", Some("stranger")), ["public"]);
}

#[test]
fn weights_are_kept_to() {
    let text = BASE.replace("a, to: orders,", "a, weights: { orders: 3, fixed: 1, \"consul://none\": 0 },");
    let snapshot = snapshot(&text, &Carried::nothing(LimitSeed([1, 2])));
    let target = &route(&snapshot, "a").settings.target;
    let mut state = 0_u64;
    let mut rng = || {
        // splitmix64 (Steele, Lea and Flood, 2014)
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let mut picked: BTreeMap<Arc<str>, u32> = BTreeMap::new();
    for _ in 0..40_000 {
        let destination = target.pick(&mut rng).unwrap();
        *picked.entry(Arc::clone(&destination.upstream.name)).or_default() += 1;
    }
    assert_eq!(picked.len(), 2);
    assert!(picked["orders"].abs_diff(30_000) < 600, "{picked:?}");
}
