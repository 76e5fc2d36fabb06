//! What the commands print and how they exit, for people and for programs.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// What a command did.
struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Done {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}:\n{}{}", self.out, self.err))
    }
}

fn portcullis(folder: &Path, arguments: &[&str]) -> Done {
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(arguments)
        .current_dir(folder)
        .env("SHOP_TOKEN", "s3cret-from-the-environment")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Done { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// A folder with this text in `gateway.yaml`.
fn folder(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("gateway.yaml"), text).unwrap();
    folder
}

const SHOP: &str = "\
version: 1
discovery: { consul: { address: http://127.0.0.1:8500, token: s3cret-acl } }
defaults:
  timeout: { request: 10s }
upstreams:
  orders: { service: consul://order-service, timeout: { connect: 200ms } }
policies:
  resilient:
    retry: { attempts: 3 }
    request_headers: { set: { Authorization: s3cret-header, X-Token: \"${SHOP_TOKEN}\" } }
routes:
  orders:
    path: /api/orders/**
    use: [resilient]
    timeout: { idle: 5s }
    to: orders
";

#[test]
fn explain_shows_each_setting_with_its_line_and_whose_it_is() {
    let folder = folder(SHOP);
    let done = portcullis(folder.path(), &["explain", "orders"]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    let words: Vec<String> =
        done.out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for expected in [
        "route orders, gateway.yaml:12",
        "path /api/orders/** route gateway.yaml:13",
        "use [resilient] route gateway.yaml:14",
        "to orders route gateway.yaml:16",
        "retry.attempts 3 policy resilient gateway.yaml:9",
        "retry.errors [connect, reset] default",
        "timeout.connect 200ms upstream orders gateway.yaml:6",
        "timeout.request 10s defaults gateway.yaml:4",
        "timeout.idle 5s route gateway.yaml:15",
        "max_body 2MiB default",
        "jwt none default",
        "request_headers.set.Authorization *** policy resilient gateway.yaml:10",
        "2. off rate_limit by ip, header or route, else 429",
        "6. on max_body, else 413",
    ] {
        assert!(words.iter().any(|line| line == expected), "no line {expected:?} in:\n{}", done.out);
    }
    assert!(!done.out.contains("s3cret"), "{}", done.out);
    assert!(done.out.contains("${SHOP_TOKEN}"), "{}", done.out);
}

#[test]
fn explain_gives_programs_the_same() {
    let folder = folder(SHOP);
    let answer = portcullis(folder.path(), &["explain", "orders", "--json"]).json();
    assert_eq!((&answer["route"], &answer["line"]), (&"orders".into(), &12.into()));
    let setting = |key: &str| {
        let settings = answer["settings"].as_array().unwrap();
        settings
            .iter()
            .find(|setting| setting["key"] == key)
            .unwrap_or_else(|| panic!("{key}: {answer:#}"))
            .clone()
    };
    let attempts = setting("retry.attempts");
    assert_eq!((&attempts["source"], &attempts["name"]), (&"policy".into(), &"resilient".into()));
    assert_eq!((&attempts["value"], &attempts["line"]), (&"3".into(), &9.into()));
    let body = setting("max_body");
    assert_eq!((&body["source"], &body["line"]), (&"default".into(), &Value::Null));
    let gates: Vec<&str> =
        answer["gates"].as_array().unwrap().iter().map(|gate| gate["gate"].as_str().unwrap()).collect();
    assert_eq!(gates, ["preflight", "rate_limit", "api_key", "jwt", "consumer_limit", "max_body", "plugins"]);
    assert!(!answer.to_string().contains("s3cret"), "{answer:#}");
}

#[test]
fn explain_says_what_was_probably_meant() {
    let folder = folder(SHOP);
    let explain = |subject: &str| portcullis(folder.path(), &["explain", subject]);
    let known = explain("e0412");
    assert_eq!(known.code, Some(0));
    assert!(known.out.starts_with("E0412: unknown upstream\n"), "{}", known.out);
    for (subject, hint) in [
        ("order", "did you mean `orders`?"),
        ("E412", "did you mean the error E0412?"),
        ("E0418", "(did you mean E04"),
        ("payments", "its routes: orders"),
    ] {
        let done = explain(subject);
        assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "{subject}");
        assert!(done.err.contains(hint), "{subject}: {}", done.err);
    }
    let json = portcullis(folder.path(), &["explain", "W0506", "--json"]).json();
    assert_eq!((&json["code"], &json["severity"]), (&"W0506".into(), &"warning".into()));
    let nowhere = portcullis(folder.path(), &["explain", "orders", "-c", "nowhere.yaml"]);
    assert_eq!(nowhere.code, Some(2));
    assert!(
        nowhere.err.contains("`orders` is no error code") && nowhere.err.contains("nowhere.yaml"),
        "{}",
        nowhere.err
    );
}

#[test]
fn t_checks_and_capital_t_prints_what_was_read_without_secrets() {
    let folder = folder(SHOP);
    std::fs::write(
        folder.path().join("other.yaml"),
        "version: 1\nroutes: { a: { path: a, to: consul://a } }\n",
    )
    .unwrap();
    let done = portcullis(folder.path(), &["-t"]);
    assert_eq!(
        (done.code, done.out.as_str()),
        (Some(0), "gateway.yaml: ok: 1 routes, 1 upstreams, 1 listeners\n")
    );
    for wrong in [["-t", "-c", "other.yaml"], ["-c", "other.yaml", "-t"]] {
        assert_eq!(portcullis(folder.path(), &wrong).code, Some(2), "{wrong:?}");
    }
    let printed = portcullis(folder.path(), &["-T"]);
    assert_eq!(printed.code, Some(0));
    assert!(printed.out.starts_with("# file gateway.yaml\nversion: 1\n"), "{}", printed.out);
    assert!(printed.err.contains("gateway.yaml: ok"), "{}", printed.err);
    assert!(!printed.out.contains("s3cret") && printed.out.contains("token: **********"), "{}", printed.out);
    assert!(printed.out.contains("${SHOP_TOKEN}"), "{}", printed.out);
    let quiet = portcullis(folder.path(), &["-Tq"]);
    assert_eq!((quiet.code, quiet.out, quiet.err), (Some(0), printed.out, String::new()));
    let json = portcullis(folder.path(), &["check", "--print", "--json"]).json();
    assert_eq!(json["files"][0]["path"], "gateway.yaml");
}

#[test]
fn run_says_why_it_does_not_start_as_json_and_test_takes_a_file() {
    let folder = folder("version: 1\nroutes: { a: { path: /a, to: nobody } }\n");
    let refused = portcullis(folder.path(), &["run", "--json", "--state-dir", "state"]);
    assert_eq!(refused.code, Some(2));
    assert_eq!(refused.json()["errors"][0]["code"], "E0412");
    std::fs::write(folder.path().join("good.yaml"), SHOP).unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let stopped =
        portcullis(folder.path(), &["run", "-c", "good.yaml", "-q", "--json", "--state-dir", "file/state"]);
    assert_eq!(stopped.code, Some(1));
    assert_eq!(stopped.json()["code"], "not_started");
    assert!(!stopped.err.contains("s3cret"), "{}", stopped.err);
    let tested = portcullis(folder.path(), &["test", "good.yaml"]);
    assert_eq!((tested.code, tested.out.as_str()), (Some(0), "0 passed, 0 failed\n"));
}

#[test]
fn schema_is_json_for_editors_and_a_page_for_people() {
    let folder = folder("");
    assert!(portcullis(folder.path(), &["schema", "--json"]).json()["$defs"]["Route"].is_object());
    let page = portcullis(folder.path(), &["schema", "--markdown"]).out;
    assert!(
        page.contains("\n## `routes.<name>`\n") && page.contains("| `path` | [text](#values) | required |"),
        "{page}"
    );
    assert_eq!(portcullis(folder.path(), &["schema", "--json", "--markdown"]).code, Some(2));
}
