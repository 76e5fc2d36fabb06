//! A body that works, for every operation whose body is a part of a configuration, or any whole one.
//!
//! The description cannot say what a configuration may hold, as its own schema does; what it shows instead is tried
//! on a gateway by the tests.

use axum::http::Method;
use serde_json::{Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::path::Operation;

/// Shows the operation's body, in each of its media types that has an example.
pub(super) fn add(operation: &mut Operation, method: &Method, path: &str) {
    let Some(RefOr::T(body)) = operation.request_body.as_mut() else { return };
    for (media_type, content) in &mut body.content {
        if let RefOr::T(content) = content {
            content.example = example(method, path, media_type);
        }
    }
}

fn example(method: &Method, path: &str, media_type: &str) -> Option<Value> {
    let path = path.strip_prefix("/api/v1/")?;
    match (method.as_str(), media_type) {
        ("PATCH", "application/merge-patch+json") => changed(path),
        ("PATCH", "application/json-patch+json") => changed(path).map(|changed| patch(&changed)),
        ("PUT" | "POST", "application/json" | "application/yaml") => whole(path),
        _ => None,
    }
}

/// A whole thing, or a whole configuration.
fn whole(path: &str) -> Option<Value> {
    Some(match path {
        "routes/{name}" => json!({ "path": "/api/orders/**", "to": "http://127.0.0.1:9001" }),
        "upstreams/{name}" => {
            json!({ "hosts": ["127.0.0.1:9001", "127.0.0.1:9002"], "balance": "least-request" })
        }
        "policies/{name}" => json!({ "rate_limit": { "rate": "100/s", "burst": 50, "by": "ip" } }),
        "consumers/{name}" => {
            json!({ "api_keys": [{ "sha256": "50d858e0985ecc7f60418aaf0cc5ab587f42c2570a884095a9e8ccacd0f6545c" }] })
        }
        "config/{pointer}" => json!({ "request": "5s" }),
        "config/test" => json!({
            "version": 1,
            "listeners": { "web": { "address": "127.0.0.1:8080" } },
            "routes": { "orders": { "path": "/api/orders/**", "to": "http://127.0.0.1:9001" } },
        }),
        _ => return None,
    })
}

/// A part of a thing, or of the configuration, with another value.
fn changed(path: &str) -> Option<Value> {
    Some(match path {
        "routes/{name}" | "policies/{name}" => json!({ "timeout": { "request": "5s" } }),
        "upstreams/{name}" => json!({ "max_requests": 200 }),
        "consumers/{name}" => json!({ "rate_limit": "500/s" }),
        "config/{pointer}" => json!({ "request": "7s" }),
        "config" => json!({ "defaults": { "timeout": { "request": "5s" } } }),
        _ => return None,
    })
}

/// The same change, step by step.
fn patch(changed: &Value) -> Value {
    let fields = changed.as_object().into_iter().flatten();
    fields.map(|(name, value)| json!({ "op": "add", "path": format!("/{name}"), "value": value })).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_body_that_is_a_part_of_the_configuration_has_an_example() {
        let document = serde_json::to_value(super::super::openapi()).unwrap();
        let mut without = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let bodies = operation.pointer("/requestBody/content").and_then(|bodies| bodies.as_object());
                for (media_type, body) in bodies.into_iter().flatten() {
                    let is_any_value =
                        !["$ref", "oneOf"].iter().any(|known| body["schema"].get(known).is_some());
                    if is_any_value && body.get("example").is_none() {
                        without.push(format!("{method} {path} {media_type}"));
                    }
                }
            }
        }
        // What these take has to agree with the gateway's own files.
        without.retain(|body| {
            ![
                "put /api/v1/config ",
                "post /api/v1/config/diff ",
                "post /api/v1/config/fold ",
                "post /api/v1/config/validate ",
            ]
            .iter()
            .any(|of| body.starts_with(of))
        });
        assert!(without.is_empty(), "{without:#?}");
    }
}
