//! The defaults that the language documents are those that hold: written out, they change nothing.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of a test, which fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use portcullis_core::limit::LimitSeed;
use portcullis_core::snapshot::{Carried, Difference, Snapshot, compile};
use portcullis_plugin_sdk::Catalog;
use portcullis_schema::{MemorySource, Style, json_schema, load, render};
use serde_json::{Map, Value, json};

/// Each map of the language that has a default, with only what it must have.
fn bare() -> Value {
    json!({
        "version": 1,
        "admin": {},
        "metrics": {},
        "discovery": { "consul": {} },
        "telemetry": { "access_log": {} },
        "listeners": {
            "web": { "address": "127.0.0.1:8080", "limits": {}, "tls": { "cert": "a.pem", "key": "a.key" } },
        },
        "upstreams": {
            "orders": { "service": "consul://orders" },
            "fixed": { "hosts": [{ "address": "127.0.0.1:9000" }] },
        },
        "consumers": {
            "app": { "api_keys": [{ "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" }] },
        },
        "routes": {
            "orders": {
                "path": "/orders", "to": "orders",
                "jwt": { "jwks": "https://auth.test/jwks" },
                "rate_limit": { "rate": "5/s" },
                "retry": { "backoff": {}, "budget": {} },
                "circuit_breaker": { "failure_rate": "50%" },
                "fallback": { "text": "later" },
                "timeout": {},
            },
            "fixed": { "path": "/fixed", "to": "fixed", "api_key": {} },
        },
    })
}

/// Writes every default that the schema names into the maps of `value` that do not say otherwise.
fn spell_out(value: &mut Value, schema: &Value, root: &Value, written: &mut BTreeSet<String>) {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        let definition = &root["$defs"][name];
        let map = definition.get("anyOf").map_or(definition, |choices| &choices[1]);
        let Value::Object(entries) = value else { return };
        for (key, property) in map["properties"].as_object().unwrap() {
            match (entries.get_mut(key), property.get("default")) {
                (Some(entry), _) => spell_out(entry, property, root, written),
                (None, Some(default)) => {
                    entries.insert(key.clone(), default.clone());
                    written.insert(format!("{name}.{key}"));
                }
                (None, None) => {}
            }
        }
        return;
    }
    for choice in schema["anyOf"].as_array().into_iter().flatten() {
        spell_out(value, choice, root, written);
    }
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(|item| spell_out(item, &schema["items"], root, written))
        }
        Value::Object(entries) => entries
            .values_mut()
            .for_each(|entry| spell_out(entry, &schema["additionalProperties"], root, written)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn documented() -> BTreeSet<String> {
    let schema = json_schema();
    let definitions = schema["$defs"].as_object().unwrap();
    let keys = definitions.iter().flat_map(|(name, definition)| {
        let map = definition.get("anyOf").map_or(definition, |choices| &choices[1]);
        let properties: &Map<String, Value> = map["properties"].as_object().unwrap();
        properties
            .iter()
            .filter(|(_, property)| property.get("default").is_some())
            .map(move |(key, _)| format!("{name}.{key}"))
    });
    // The keys of a policy stand in a route too, and are written there.
    keys.filter(|key| !key.starts_with("PolicyKeys.")).collect()
}

fn snapshot(document: &Value, carried: &Carried) -> Snapshot {
    let source = MemorySource::new().with("gateway.yaml", document.to_string());
    let loaded = load(Path::new("gateway.yaml"), &source, &BTreeMap::new());
    let compiled = compile(&loaded, &Catalog::new(), carried);
    let report = render(&compiled.diagnostics, &loaded.sources, Style::Plain);
    compiled.snapshot.unwrap_or_else(|| panic!("{report}"))
}

#[test]
fn a_documented_default_that_is_written_out_changes_nothing() {
    let (mut spelled, mut written) = (bare(), BTreeSet::new());
    let schema = json_schema();
    spell_out(&mut spelled, &schema, &schema, &mut written);
    assert_eq!(written, documented(), "a default that is written nowhere");
    assert!(written.len() > 30, "only {}", written.len());
    let before = snapshot(&bare(), &Carried::nothing(LimitSeed([1, 2])));
    let after = snapshot(&spelled, before.carried());
    assert_eq!(Difference::between(&before, &after), Difference::default());
    assert_eq!(before.boot, after.boot);
}

#[test]
fn another_value_is_a_difference() {
    let before = snapshot(&bare(), &Carried::nothing(LimitSeed([1, 2])));
    for (pointer, value) in [
        ("/routes/orders/retry/attempts", json!(3)),
        ("/routes/orders/retry/budget/floor", json!(4)),
        ("/routes/orders/circuit_breaker/window", json!(21)),
        ("/routes/orders/rate_limit/max_keys", json!(7)),
        ("/routes/orders/timeout/connect", json!("2s")),
        ("/routes/orders/jwt/leeway", json!("31s")),
        ("/routes/fixed/api_key/header", json!("X-Other")),
        ("/routes/fixed/max_body", json!("3MiB")),
        ("/listeners/web/limits/idle", json!("61s")),
        ("/listeners/web/tls/min_version", json!("1.3")),
        ("/upstreams/orders/balance", json!("least-request")),
        ("/upstreams/fixed/hosts/0/weight", json!(2)),
    ] {
        let mut changed = bare();
        let (map, key) = pointer.rsplit_once('/').unwrap();
        changed.pointer_mut(map).unwrap()[key] = value;
        let after = snapshot(&changed, before.carried());
        assert_ne!(Difference::between(&before, &after), Difference::default(), "{pointer}");
    }
}
