//! What an outline shows of a document: every value, as written, on one line, and no secret.

use std::collections::BTreeMap;
use std::path::Path;

use portcullis_schema::{MemorySource, Style, load, outline, render};

/// The outline of a whole document, one line a value.
fn lines(text: &str) -> Vec<String> {
    let env = BTreeMap::from([("TOKEN".to_owned(), "s3cret".to_owned())]);
    let loaded = load(Path::new("g.yaml"), &MemorySource::new().with("g.yaml", text), &env);
    assert!(!loaded.has_errors(), "{}", render(&loaded.diagnostics, &loaded.sources, Style::Plain));
    let written = outline(&loaded.document, &loaded.sources);
    written.iter().map(|one| format!("{} = {} :{}", one.key, one.value, one.at.line)).collect()
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(lines(text), expected);
}

#[test]
fn each_value_has_its_keys_its_text_and_its_line() {
    check(
        "\
version: 1
policies:
  p:
    retry: {}
    rate_limit: 100/s
    jwt: none
    fallback:
      text: |
        one
        two
routes:
  a:
    host: shop.test
    path: /a # why
    methods:
      - GET
      - \"PUT\"
    query: { x: { present: true } }
    weights: { \"consul://a\": 1, b: 2 }
    plugins: [maintenance]
",
        &[
            "version = 1 :1",
            "policies.p.jwt = none :6",
            "policies.p.rate_limit.rate = 100/s :5",
            "policies.p.retry = {} :4",
            "policies.p.fallback.text = one two :9",
            "routes.a.host = shop.test :13",
            "routes.a.path = /a :14",
            "routes.a.methods = [GET, \"PUT\"] :16",
            "routes.a.query.x.present = true :18",
            "routes.a.weights.b = 2 :19",
            "routes.a.weights.consul://a = 1 :19",
            "routes.a.plugins = [maintenance] :20",
        ],
    );
}

#[test]
fn secrets_are_masked_and_variables_kept() {
    let text = "\
version: 1
discovery: { consul: { address: \"http://127.0.0.1:8500\", token: s3cret } }
policies:
  p: { request_headers: { set: { Cookie: s3cret, X-B: \"a ${TOKEN}\", X-Token: \"${TOKEN:-s3cret}\" } } }
";
    let expected = [
        "version = 1 :1",
        "discovery.consul.address = \"http://127.0.0.1:8500\" :2",
        "discovery.consul.token = *** :2",
        "policies.p.request_headers.set.Cookie = *** :4",
        "policies.p.request_headers.set.X-B = \"a ${TOKEN}\" :4",
        "policies.p.request_headers.set.X-Token = *** :4",
    ];
    check(text, &expected);
    assert_eq!(
        lines(&text.replace("token: s3cret", "token_env: TOKEN"))[2],
        "discovery.consul.token = *** :2"
    );
}
