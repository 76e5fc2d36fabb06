//! What the admin API says of itself is what it does: by schemathesis, a tool that does not know it, and by its examples.

use std::path::Path;

use serde_json::Value;

use crate::schemathesis::{Questions, Schemathesis};
use crate::support::Gateway;

/// What there is to be asked about; schemathesis.toml has the names.
const CONFIG: &str = "\
upstreams:
  orders: { hosts: [\"127.0.0.1:9\"] }
policies:
  signed-in: { api_key: X-Api-Key, rate_limit: 100/s }
consumers:
  mobile-app: { api_keys: [{ sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 }] }
routes:
  orders: { path: /shop/orders/**, use: [signed-in], to: orders }
";
const EXAMPLES_MAX: u32 = 5;
/// All but those that schemathesis.toml leaves out.
const OPERATIONS: usize = 53;

#[test]
fn the_admin_api_is_as_it_is_described() {
    let Some(tool) = Schemathesis::find() else { return };
    let gateway = Gateway::start(CONFIG);
    let url = format!("http://{}", gateway.admin);
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    tool.finds_nothing(&Questions {
        location: &format!("{url}/api/v1/openapi.json"),
        operations: OPERATIONS,
        examples_max: EXAMPLES_MAX,
        config: Some(&tests.join("schemathesis.toml")),
        arguments: &["--url", &url],
        variables: &[
            ("PORTCULLIS_ADMIN_TOKEN", &gateway.token),
            ("SCHEMATHESIS_HOOKS", tests.join("schemathesis.py").to_str().unwrap()),
        ],
    });
}

#[test]
fn every_example_of_a_body_is_taken() {
    let gateway = Gateway::start(CONFIG);
    let description = gateway.admin("GET", "/api/v1/openapi.json", "").json();
    let mut tried = 0;
    for (path, item) in description["paths"].as_object().unwrap() {
        // A thing is made before it is changed.
        for method in ["put", "patch", "post"] {
            let bodies = item.pointer(&format!("/{method}/requestBody/content")).and_then(Value::as_object);
            for (media_type, content) in bodies.into_iter().flatten() {
                let Some(example) = content.get("example") else { continue };
                let path = path.replace("{name}", "example").replace("{pointer}", "routes/orders/timeout");
                send(&gateway, method, &path, media_type, example);
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 23);
}

fn send(gateway: &Gateway, method: &str, path: &str, media_type: &str, example: &Value) {
    let is_there = gateway.admin("GET", path, "").status == 200;
    let condition = if is_there { "If-Match" } else { "If-None-Match" };
    let fields = [("Content-Type", media_type), (condition, "*")];
    let reply = gateway.admin_with(&method.to_uppercase(), path, &fields, &example.to_string());
    assert!(matches!(reply.status, 200 | 201), "{method} {path} {media_type}: {}", reply.text());
}
