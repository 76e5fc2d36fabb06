//! The whole configuration through the admin API: reading, replacing, looking, history, and files that change below it.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::config_writes::{JSON, MERGE, etag, running};
use crate::support::{Gateway, Upstream, run_to_end, until};

const CONFIG: &str = "/api/v1/config";

#[test]
fn the_configuration_is_shown_as_written_and_secrets_are_not() {
    let upstream = Upstream::answering("hello");
    let gateway = Gateway::start(&format!(
        "routes:\n  all:\n    path: /**\n    to: \"http://{}\"\n    request_headers:\n      set: {{ Authorization: Basic c2VjcmV0LXBhc3M=, X-Home: \"${{HOME:-none}}\" }}\n",
        upstream.address
    ));
    let shown = gateway.admin("GET", CONFIG, "");
    assert_eq!(shown.status, 200);
    assert!(shown.header("etag").unwrap().starts_with("\"rev-0-"), "{shown:?}");
    let set = |value: &Value| value["routes"]["all"]["request_headers"]["set"].clone();
    assert_eq!(set(&shown.json()), json!({ "Authorization": "***", "X-Home": "${HOME:-none}" }));
    let tag = etag(&gateway, CONFIG);
    let same = gateway.admin_with("GET", CONFIG, &[("If-None-Match", &tag)], "");
    assert_eq!((same.status, same.body.len()), (304, 0));
    let yaml = gateway.admin_with("GET", CONFIG, &[("Accept", "application/yaml")], "");
    assert_eq!(yaml.header("content-type"), Some("application/yaml"));
    assert!(yaml.text().contains("Authorization: \"***\""), "{}", yaml.text());

    // What was shown may come back: the mask stands for what it hid.
    let text = yaml.text().replace("path: /**", "path: /v1/**");
    let fields = [("Content-Type", "application/yaml"), ("If-Match", tag.as_str())];
    let put = gateway.admin_with("PUT", CONFIG, &fields, &text);
    assert_eq!(put.status, 200, "{}", put.text());
    assert!(put.header("etag").unwrap().starts_with("\"rev-1-"), "{put:?}");
    assert_eq!(put.json()["patch"], json!({ "routes": { "all": { "path": "/v1/**" } } }));
    assert_eq!(gateway.get("/v1/x").status, 200);
    assert_eq!(upstream.last().header("authorization"), Some("Basic c2VjcmV0LXBhc3M="));
    let everything = [
        gateway.admin("GET", "/api/v1/routes", "").text(),
        gateway.admin("GET", "/api/v1/routes/all", "").text(),
        gateway.admin("GET", "/api/v1/config/effective", "").text(),
        put.text(),
        gateway.log(),
    ];
    assert!(everything.iter().all(|text| !text.contains("c2VjcmV0")), "{everything:?}");
}

#[test]
fn only_live_keys_can_be_changed_and_the_others_are_named() {
    let (_upstream, gateway) = running();
    let tag = etag(&gateway, CONFIG);
    for (patch, key) in [
        (json!({ "admin": { "writes": "off" } }), "admin"),
        (json!({ "metrics": null }), "metrics"),
        (json!({ "telemetry": { "access_log": { "path": "/tmp/x" } } }), "telemetry"),
        (json!({ "discovery": {} }), "discovery"),
        (json!({ "version": 2 }), "version"),
        (json!({ "include": ["*.yaml"] }), "include"),
    ] {
        let reply = gateway.admin_with("PATCH", CONFIG, &[MERGE, ("If-Match", &tag)], &patch.to_string());
        assert_eq!((reply.status, reply.code().as_str()), (409, "files_only"), "{patch} {}", reply.text());
        assert!(reply.text().contains(key), "{}", reply.text());
    }
    let unknown = gateway.admin_with("PATCH", CONFIG, &[MERGE, ("If-Match", &tag)], r#"{"rotes":{}}"#);
    assert_eq!((unknown.status, unknown.json()["errors"][0]["code"].as_str()), (422, Some("E0201")));
    for body in ["5", "[]", "null", "{}"] {
        let reply = gateway.admin_with("PUT", CONFIG, &[JSON, ("If-Match", &tag)], body);
        assert!(matches!(reply.status, 409 | 422), "{body} {}", reply.text());
    }
    let listener =
        json!({ "listeners": { "more": { "address": "127.0.0.1:0" } }, "defaults": { "timeout": "5s" } });
    let reply = gateway.admin_with("PATCH", CONFIG, &[MERGE, ("If-Match", &tag)], &listener.to_string());
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(gateway.listening("more").is_some());
}

#[test]
fn history_is_kept_and_gone_back_to() {
    let (_upstream, gateway) = running();
    for n in 1..=3 {
        let tag = etag(&gateway, CONFIG);
        let patch =
            json!({ "routes": { "all": { "response_headers": { "set": { "X-Mark": n.to_string() } } } } });
        let target = format!("{CONFIG}?reason=step%20{n}");
        let reply = gateway.admin_with("PATCH", &target, &[MERGE, ("If-Match", &tag)], &patch.to_string());
        assert_eq!((reply.status, reply.json()["revision"].as_u64()), (200, Some(n)), "{}", reply.text());
    }
    let history = gateway.admin("GET", "/api/v1/config/history", "").json();
    let numbers: Vec<_> =
        history["items"].as_array().unwrap().iter().map(|item| item["revision"].as_u64()).collect();
    assert_eq!(numbers, [Some(3), Some(2), Some(1), Some(0)]);
    assert_eq!(
        (history["items"][1]["reason"].as_str(), history["items"][1]["author"].as_str()),
        (Some("step 2"), Some("admin"))
    );
    let back = |target: &str| gateway.admin("POST", &format!("/api/v1/config/rollback/{target}"), "");
    assert_eq!(
        back("1?dry_run=true").json()["patch"]["routes"]["all"]["response_headers"]["set"]["X-Mark"],
        "1"
    );
    assert_eq!(gateway.get("/").header("x-mark"), Some("3"));
    assert_eq!(back("1").json()["revision"], 4);
    assert_eq!(gateway.get("/").header("x-mark"), Some("1"));
    assert_eq!(back("0").json()["revision"], 5);
    assert_eq!(gateway.get("/").header("x-mark"), None);
    assert_eq!(back("99").status, 404);
    assert_eq!(back("x").status, 400);
    let old = gateway.admin_with("POST", "/api/v1/config/rollback/1", &[("If-Match", "\"old\"")], "");
    assert_eq!(old.status, 412);
    let gateway = gateway.killed_and_started_again();
    assert_eq!(gateway.get("/").header("x-mark"), None);
    assert!(etag(&gateway, CONFIG).starts_with("\"rev-5-"));
}

#[test]
fn looking_changes_nothing() {
    let (_upstream, gateway) = running();
    let mut config = gateway.admin("GET", CONFIG, "").json();
    config["routes"]["all"]["path"] = json!("/other/**");
    config["routes"]["all"]["tests"] = json!([
        { "request": "GET /other/1", "expect": { "route": "all" } },
        { "request": "GET /x", "expect": { "route": "all" } },
    ]);
    let text = config.to_string();
    let tested = gateway.admin_with("POST", "/api/v1/config/test", &[JSON], &text);
    assert_eq!(tested.status, 200, "{}", tested.text());
    assert_eq!((tested.json()["passed"].as_u64(), tested.json()["failed"].as_u64()), (Some(1), Some(1)));
    assert_eq!(tested.json()["errors"][0]["code"], "E0431");
    assert_eq!(gateway.admin_with("POST", "/api/v1/config/diff", &[JSON], &text).status, 422);
    config["routes"]["all"]["tests"] = json!([]);
    let differs = gateway.admin_with("POST", "/api/v1/config/diff", &[JSON], &config.to_string());
    assert_eq!(differs.status, 200, "{}", differs.text());
    assert_eq!(differs.json()["changes"], "routes ~1");
    assert_eq!(differs.json()["patch"]["routes"]["all"]["path"], "/other/**");
    let effective = gateway.admin("GET", "/api/v1/config/effective", "").json();
    let settings = effective["routes"]["all"].as_array().unwrap();
    assert!(
        settings.iter().any(|setting| setting["key"] == "path" && setting["value"] == "/**"),
        "{effective:#}"
    );
    let schema = gateway.admin("GET", "/api/v1/config/schema", "").json();
    assert!(schema["$schema"].is_string() && schema.to_string().contains("rate_limit"), "{schema}");
    for target in ["validate", "diff", "test"] {
        let reply = gateway.admin("POST", &format!("{CONFIG}/{target}"), "{{{");
        assert!(matches!(reply.status, 400 | 422), "{target} {}", reply.text());
    }
    assert_eq!(gateway.generation(), 1);
}

#[test]
fn with_writes_off_the_files_are_all_there_is() {
    let upstream = Upstream::answering("hello");
    let gateway =
        Gateway::start(&format!("routes:\n  all: {{ path: /**, to: \"http://{}\" }}\n", upstream.address));
    let tag = etag(&gateway, "/api/v1/routes/all");
    let patch = r#"{"response_headers":{"set":{"X-Over":"1"}}}"#;
    let fields = [MERGE, ("If-Match", tag.as_str())];
    assert_eq!(gateway.admin_with("PATCH", "/api/v1/routes/all", &fields, patch).status, 200);
    let text = std::fs::read_to_string(gateway.path("gateway.yaml")).unwrap();
    let off = text
        .replace("admin: { address: \"127.0.0.1:0\" }", "admin: { address: \"127.0.0.1:0\", writes: off }");
    assert_ne!(text, off);
    std::fs::write(gateway.path("gateway.yaml"), off).unwrap();
    let needs = gateway.admin("POST", "/api/v1/reload", "");
    assert_eq!(
        (needs.status, needs.json()["code"].as_str()),
        (409, Some("needs_restart")),
        "{}",
        needs.text()
    );
    let gateway = gateway.killed_and_started_again();
    assert_eq!(gateway.get("/").header("x-over"), None);
    assert!(gateway.log().contains("the overlay is not applied"), "{}", gateway.log());
    let tag = etag(&gateway, "/api/v1/routes/all");
    let fields = [MERGE, ("If-Match", tag.as_str())];
    let refused = gateway.admin_with("PATCH", "/api/v1/routes/all", &fields, patch);
    assert_eq!((refused.status, refused.code().as_str()), (409, "writes_off"));
    assert_eq!(gateway.admin("POST", "/api/v1/config/rollback/0", "").status, 409);
    let told = gateway.admin_with("PATCH", "/api/v1/routes/all?dry_run=true", &fields, patch);
    assert_eq!((told.status, told.json()["changes"].as_str()), (200, Some("routes ~1")), "{}", told.text());
}

#[test]
fn an_overlay_that_no_longer_fits_the_files_is_refused_at_its_own_line() {
    let (upstream, gateway) = running();
    let body = json!({ "path": "/mine", "to": "orders" }).to_string();
    let made = gateway.admin_with("PUT", "/api/v1/routes/mine", &[JSON, ("If-None-Match", "*")], &body);
    assert_eq!(made.status, 201, "{}", made.text());
    let files = format!("routes:\n  all: {{ path: /**, to: \"http://{}\" }}\n", upstream.address);
    let reply = gateway.reload(&files);
    assert_eq!(reply.status, 422, "{}", reply.text());
    let error = &reply.json()["errors"][0];
    assert_eq!(error["code"], "E0412", "{error}");
    assert_eq!(error["file"], "state/overlay.yaml", "{error}");
    let overlay = std::fs::read_to_string(gateway.path("state/overlay.yaml")).unwrap();
    let line = overlay.lines().position(|line| line.trim() == "to: orders").unwrap() as u64 + 1;
    assert_eq!(error["line"].as_u64(), Some(line), "{overlay}");
    gateway.signal(Signal::HUP);
    until("the refusal is logged with the place", || {
        gateway.log().contains(&format!("overlay.yaml:{line}:"))
    });
    assert_eq!((gateway.get("/mine").status, gateway.generation()), (200, 2));
    // The same is seen without starting anything.
    let folder = gateway.path("");
    assert_eq!(run_to_end(&folder, &["check", "gateway.yaml"]).status.code(), Some(0));
    let checked = run_to_end(&folder, &["check", "gateway.yaml", "--state-dir", "state"]);
    assert_eq!(checked.status.code(), Some(2));
    assert!(checked.log.contains(&format!("state/overlay.yaml:{line}:")), "{}", checked.log);
    // What is in use is still what a change is made to.
    let tag = etag(&gateway, "/api/v1/routes/mine");
    let gone = gateway.admin_with("DELETE", "/api/v1/routes/mine", &[("If-Match", &tag)], "");
    assert_eq!(gone.status, 204, "{}", gone.text());
    assert_eq!(gateway.admin("POST", "/api/v1/reload", "").status, 200);
}

#[test]
fn a_broken_overlay_is_named_at_start_with_the_way_out() {
    let (_upstream, mut gateway) = running();
    gateway.kill();
    std::fs::write(gateway.path("state/overlay.yaml"), "revision: 1\npatch: {").unwrap();
    let ended = run_to_end(&gateway.path(""), &["run", "-c", "gateway.yaml", "--state-dir", "state"]);
    assert_eq!(ended.status.code(), Some(2), "{}", ended.log);
    assert!(ended.log.contains("state/overlay.yaml:2:"), "{}", ended.log);
}

#[test]
fn a_change_is_made_to_what_is_in_use_and_not_to_files_that_are_being_edited() {
    let (upstream, gateway) = running();
    std::fs::create_dir(gateway.path("routes.d")).unwrap();
    let included = |path: &str| {
        let text = format!("routes: {{ more: {{ path: {path}, to: \"http://{}\" }} }}\n", upstream.address);
        std::fs::write(gateway.path("routes.d/more.yaml"), text).unwrap();
    };
    included("/more");
    let main = "include: [routes.d/*.yaml]\nroutes: {}\n";
    assert_eq!(gateway.reload(main).status, 200);
    assert_eq!(gateway.get("/more").status, 200);
    // Included files have their place in the whole.
    let shown = gateway.admin("GET", CONFIG, "").json();
    assert_eq!((shown["include"].is_null(), shown["routes"]["more"]["path"].as_str()), (true, Some("/more")));
    // Somebody edits, and is not done.
    included("nonsense");
    gateway.write("include: [nowhere.yaml\n");
    let tag = etag(&gateway, "/api/v1/routes/more");
    let patch = r#"{"response_headers":{"set":{"X-Over":"1"}}}"#;
    let reply = gateway.admin_with("PATCH", "/api/v1/routes/more", &[MERGE, ("If-Match", &tag)], patch);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(gateway.get("/more").header("x-over"), Some("1"));
    // Done: the change is laid over what they made of it.
    included("/mine");
    assert_eq!(gateway.reload(main).status, 200);
    assert_eq!((gateway.get("/mine").header("x-over"), gateway.get("/more").status), (Some("1"), 404));
    let whole = gateway.admin("GET", CONFIG, "");
    let fields = [JSON, ("If-Match", whole.header("etag").unwrap())];
    let same = gateway.admin_with("PUT", CONFIG, &fields, &whole.text());
    assert_eq!((same.status, same.json()["changed"].as_bool()), (200, Some(false)), "{}", same.text());
}

#[test]
fn a_disk_that_refuses_leaves_everything_as_it_was() {
    let (_upstream, gateway) = running();
    let tag = etag(&gateway, CONFIG);
    let patch = r#"{"routes":{"all":{"response_headers":{"set":{"X-Over":"1"}}}}}"#;
    let change = |target: &str| gateway.admin_with("PATCH", target, &[MERGE, ("If-Match", &tag)], patch);
    // A folder that is in the way stops the draft, and then the rename.
    for in_the_way in ["state/overlay.yaml.new", "state/overlay.yaml"] {
        std::fs::create_dir_all(gateway.path(in_the_way).join("full")).unwrap();
        let reply = change(CONFIG);
        assert_eq!((reply.status, reply.code().as_str()), (500, "store"), "{}", reply.text());
        assert!(reply.text().contains(in_the_way.trim_end_matches(".new")), "{}", reply.text());
        assert_eq!(gateway.get("/").header("x-over"), None);
        assert_eq!(etag(&gateway, CONFIG), tag);
        if in_the_way.ends_with(".new") {
            std::fs::remove_dir_all(gateway.path(in_the_way)).unwrap();
        }
    }
    // On trial it needs no disk; to stay it does.
    assert_eq!(change(&format!("{CONFIG}?confirm_within=60s")).status, 200);
    let stays = gateway.admin("POST", "/api/v1/config/confirm", "");
    assert_eq!((stays.status, stays.code().as_str()), (500, "store"), "{}", stays.text());
    assert_eq!(gateway.get("/").header("x-over"), Some("1"));
    std::fs::remove_dir_all(gateway.path("state/overlay.yaml")).unwrap();
    assert_eq!(gateway.admin("POST", "/api/v1/config/confirm", "").status, 200);
    let gateway = gateway.killed_and_started_again();
    assert_eq!(gateway.get("/").header("x-over"), Some("1"));
}

#[test]
fn a_listener_that_cannot_be_opened_refuses_the_whole_change() {
    let (upstream, gateway) = running();
    let tag = etag(&gateway, CONFIG);
    let patch = json!({
        "listeners": { "more": { "address": upstream.address.to_string() } },
        "routes": { "all": { "path": "/other" } },
    });
    let reply = gateway.admin_with("PATCH", CONFIG, &[MERGE, ("If-Match", &tag)], &patch.to_string());
    assert_eq!((reply.status, reply.code().as_str()), (409, "listeners"), "{}", reply.text());
    assert!(!gateway.path("state/overlay.yaml").exists() && !gateway.path("state/overlay.yaml.new").exists());
    assert_eq!((gateway.get("/x").status, etag(&gateway, CONFIG)), (200, tag));
}
