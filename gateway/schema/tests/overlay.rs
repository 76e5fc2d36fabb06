//! The overlay: laid over the files' tree, every value at its own place.

use std::collections::BTreeMap;
use std::path::Path;

use portcullis_schema::{
    Loaded, MemorySource, Overlay, OverlayText, Style, WrittenDocument, load_with, load_written, mask,
    merge_patch, render, unmask,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const FILES: &str = "\
version: 1
admin: { address: 127.0.0.1:0 }
upstreams:
  orders: http://10.0.0.1:80
routes:
  orders: { path: /orders/**, to: orders }
  carts:
    path: /carts/**
    to: orders
    request_headers: { set: { Authorization: Basic c2VjcmV0, X-Shown: \"1\" } }
";

fn overlay(patch: &str) -> Overlay {
    let text = format!("revision: 3\npatch:\n  {}\n", patch.replace('\n', "\n  "));
    Overlay { path: "state/overlay.yaml".into(), bytes: text.into_bytes() }
}

fn loaded(overlay: &Overlay) -> Loaded {
    let env = BTreeMap::from([("ORDERS".to_owned(), "http://10.9.9.9:80".to_owned())]);
    load_with(Path::new("g.yaml"), &MemorySource::new().with("g.yaml", FILES), &env, Some(overlay))
}

fn findings(loaded: &Loaded) -> String {
    render(&loaded.diagnostics, &loaded.sources, Style::Plain)
}

fn written(files: &str, overlay: Option<&Overlay>) -> WrittenDocument {
    let source = MemorySource::new().with("g.yaml", files);
    load_written(Path::new("g.yaml"), &source, &BTreeMap::new(), overlay).1
}

#[test]
fn what_is_added_changed_and_taken_away_holds() {
    let overlay = overlay(
        "routes:\n  carts: null\n  new: { path: /new, to: orders }\n  orders: { methods: [GET] }\nupstreams:\n  orders: ${ORDERS}",
    );
    let loaded = loaded(&overlay);
    assert!(!loaded.has_errors(), "{}", findings(&loaded));
    let names: Vec<_> = loaded.document.routes.keys().map(|name| name.as_str().to_owned()).collect();
    assert_eq!(names, ["new", "orders"]);
    let orders = &loaded.document.routes.iter().find(|(name, _)| name.as_str() == "orders").unwrap().1;
    let place = |at: portcullis_schema::Span| loaded.sources.path(at.file).display().to_string();
    assert_eq!(place(orders.at), "g.yaml");
    let methods = orders.value.methods.as_ref().unwrap();
    assert_eq!(methods.len(), 1);
    assert_eq!(place(methods[0].at), "state/overlay.yaml");
    assert_eq!(methods[0].at.line, 6);
}

#[test]
fn a_mistake_in_the_overlay_is_shown_there() {
    let bad = loaded(&overlay("routes:\n  orders:\n    timeout: soon"));
    let text = findings(&bad);
    assert!(bad.has_errors());
    assert!(text.contains("state/overlay.yaml:5:16"), "{text}");
}

#[test]
fn keys_that_are_read_once_are_refused_by_name() {
    for key in ["admin: {}", "version: 1", "include: [a.yaml]", "telemetry: {}"] {
        let bad = loaded(&overlay(key));
        assert!(bad.has_errors(), "{key}");
        assert!(findings(&bad).contains("E0208"), "{}", findings(&bad));
    }
}

#[test]
fn an_overlay_that_cannot_be_read_refuses_everything() {
    for text in [
        "patch: [1]",
        "revision: many\npatch: {}",
        "- a",
        "patch: {\n",
        "more: 1\npatch: {}",
        "patch: {a: \u{1}}",
    ] {
        let overlay = Overlay { path: "o.yaml".into(), bytes: text.as_bytes().to_vec() };
        assert!(loaded(&overlay).has_errors(), "{text}");
        assert!(OverlayText::parse(&overlay).is_err(), "{text}");
    }
    let overlay = Overlay { path: "o.yaml".into(), bytes: vec![b'a', 0xff] };
    assert!(findings(&loaded(&overlay)).contains("not UTF-8"));
}

#[test]
fn taking_away_what_is_not_there_is_a_warning() {
    let found = loaded(&overlay("routes: { gone: null }"));
    assert!(!found.has_errors());
    assert!(findings(&found).contains("there is no `gone` to take away"), "{}", findings(&found));
}

#[test]
fn with_writes_off_the_overlay_is_named_and_not_applied() {
    let files = FILES.replace("admin: { address: 127.0.0.1:0 }", "admin: { writes: off }");
    let source = MemorySource::new().with("g.yaml", files);
    let overlay = overlay("routes: { orders: null }");
    let loaded = load_with(Path::new("g.yaml"), &source, &BTreeMap::new(), Some(&overlay));
    assert_eq!(loaded.document.routes.len(), 2);
    assert!(findings(&loaded).contains("`admin.writes` is `off`"), "{}", findings(&loaded));
}

#[test]
fn a_mask_that_comes_back_stands_for_what_it_hid() {
    let written = written(FILES, None);
    let secrets = written.secrets();
    assert_eq!(secrets, ["/routes/carts/request_headers/set/Authorization"]);
    let all = written.with_secrets();
    let mut shown = all.clone();
    mask(&mut shown, &secrets);
    assert!(!shown.to_string().contains("c2VjcmV0"), "{shown}");
    shown["routes"]["carts"]["path"] = json!("/c/**");
    assert_eq!(unmask(&mut shown, &secrets, &all), Vec::<String>::new());
    assert_eq!(shown["routes"]["carts"]["request_headers"]["set"]["Authorization"], "Basic c2VjcmV0");
    shown["routes"]["carts"]["request_headers"]["set"]["X-Shown"] = json!("***");
    assert_eq!(unmask(&mut shown, &secrets, &all), ["/routes/carts/request_headers/set/X-Shown"]);
}

#[test]
fn a_place_leads_to_its_part_of_the_document() {
    let overlay = overlay("routes:\n  orders:\n    methods: [GET, PSOT]");
    let source = MemorySource::new().with("g.yaml", FILES);
    let (loaded, written) = load_written(Path::new("g.yaml"), &source, &BTreeMap::new(), Some(&overlay));
    let document = &loaded.document;
    let orders = &document.routes.iter().find(|(name, _)| name.as_str() == "orders").unwrap().1.value;
    let methods = orders.methods.as_ref().unwrap();
    assert_eq!(written.pointer(methods[1].at).as_deref(), Some("/routes/orders/methods/1"));
    assert_eq!(written.pointer(orders.to.as_ref().unwrap().at).as_deref(), Some("/routes/orders/to"));
    // A key of the files whose value the overlay has replaced.
    let replaced = Overlay {
        path: "o.yaml".into(),
        bytes: b"patch: { upstreams: { orders: http://10.0.0.9:80 } }".to_vec(),
    };
    let (loaded, written) = load_written(Path::new("g.yaml"), &source, &BTreeMap::new(), Some(&replaced));
    let key = loaded.document.upstreams.values().next().unwrap().at;
    assert_eq!(written.pointer(key).as_deref(), Some("/upstreams/orders"));
}

/// Small documents of any shape; text never looks like a variable.
fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z/*{} .:0-9\"$#-]{0,8}".prop_map(Value::from),
        Just(json!("$${A}")),
        Just(json!("${A:-b}")),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            3 => prop::collection::btree_map("[a-d]", inner, 0..5)
                .prop_map(|entries| Value::Object(Map::from_iter(entries))),
        ]
    })
    .prop_filter("`${` alone is no reference", |value| {
        !value.to_string().replace("$${A}", "").replace("${A:-b}", "").contains("${")
    })
}

proptest! {
    #[test]
    fn files_with_the_difference_laid_over_are_what_was_wanted(from in tree(), wanted in tree()) {
        let (from, wanted) = (json!({ "routes": from }), json!({ "routes": wanted }));
        let files = portcullis_schema::to_yaml(&from);
        let patch = merge_patch::diff(&from, &wanted).unwrap().unwrap_or_else(|| json!({}));
        let text = OverlayText { revision: 1, patch: patch.as_object().unwrap().clone(), ..OverlayText::default() };
        let overlay = Overlay::new("o.yaml", &text);
        prop_assert_eq!(OverlayText::parse(&overlay).unwrap(), text);
        let written = written(&files, Some(&overlay));
        prop_assert_eq!(written.files(), &from, "{}", files);
        prop_assert_eq!(written.with_secrets(), wanted, "{}\n{}", files, String::from_utf8_lossy(&overlay.bytes));
    }
}
