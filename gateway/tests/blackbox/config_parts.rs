//! Parts of the configuration through the admin API, by their JSON pointer.

use serde_json::json;

use crate::config_writes::{JSON, MERGE, etag, running};

const ROUTE: &str = "/api/v1/config/routes/all";
const OPERATIONS: (&str, &str) = ("Content-Type", "application/json-patch+json");
const NEW: (&str, &str) = ("If-None-Match", "*");

#[test]
fn a_part_is_read_replaced_and_patched_with_a_tag_of_its_own() {
    let (_upstream, gateway) = running();
    assert_eq!(gateway.admin("GET", ROUTE, "").json(), json!({ "path": "/**", "to": "orders" }));
    assert_eq!(etag(&gateway, ROUTE), etag(&gateway, "/api/v1/routes/all"), "one thing has one tag");
    let target = format!("{ROUTE}/response_headers");
    let set = json!({ "set": { "X-Part": "1" } }).to_string();
    let made = gateway.admin_with("PUT", &target, &[JSON, NEW], &set);
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.header("etag"), Some(&*etag(&gateway, &target)));
    assert_eq!(gateway.get("/").header("x-part"), Some("1"));
    assert_eq!(gateway.admin_with("PUT", &target, &[JSON, NEW], &set).status, 412);

    // Somebody changes another part meanwhile: the tag of this one still holds.
    let tag = etag(&gateway, &target);
    let methods = gateway.admin_with("PUT", &format!("{ROUTE}/methods"), &[JSON, NEW], "[\"GET\"]");
    assert_eq!(methods.status, 201, "{}", methods.text());
    let patch = json!({ "set": { "X-Part": null, "X-Other": "2" } }).to_string();
    let patched = gateway.admin_with("PATCH", &target, &[MERGE, ("If-Match", &tag)], &patch);
    assert_eq!((patched.status, patched.json()["revision"].as_u64()), (200, Some(3)), "{}", patched.text());
    let seen = gateway.get("/");
    assert_eq!((seen.header("x-part"), seen.header("x-other")), (None, Some("2")));
    let late = gateway.admin_with("PATCH", &target, &[MERGE, ("If-Match", &tag)], &patch);
    assert_eq!((late.status, late.code().as_str()), (412, "precondition_failed"));

    let item = format!("{ROUTE}/methods/0");
    let tag = etag(&gateway, &item);
    let replaced = gateway.admin_with("PUT", &item, &[JSON, ("If-Match", &tag)], "\"POST\"");
    assert_eq!(replaced.status, 200, "{}", replaced.text());
    assert_eq!((gateway.get("/").status, gateway.ask("POST", "/", &[], "").status), (405, 200));
    let operations = json!([{ "op": "replace", "path": "/0", "value": "GET" }]).to_string();
    let (target, tag) = (format!("{ROUTE}/methods"), etag(&gateway, &format!("{ROUTE}/methods")));
    let fields = [OPERATIONS, ("If-Match", tag.as_str())];
    let dry = gateway.admin_with("PATCH", &format!("{target}?dry_run=true"), &fields, &operations);
    assert_eq!((dry.status, dry.json()["changed"].as_bool()), (200, Some(true)), "{}", dry.text());
    assert_eq!(gateway.get("/").status, 405, "a dry run changes nothing");
    assert_eq!(gateway.admin_with("PATCH", &target, &fields, &operations).status, 200);
    assert_eq!(gateway.get("/").status, 200);
    let yaml = gateway.admin_with("GET", &target, &[("Accept", "application/yaml")], "");
    assert_eq!(yaml.text(), "- GET\n");
    let same = gateway.admin_with("GET", &target, &[("If-None-Match", &etag(&gateway, &target))], "");
    assert_eq!((same.status, same.body.len()), (304, 0));
}

#[test]
fn a_part_goes_on_trial_and_comes_back() {
    let (_upstream, gateway) = running();
    let target = format!("{ROUTE}/path");
    let tag = etag(&gateway, &target);
    let fields = [JSON, ("If-Match", tag.as_str())];
    let tried = gateway.admin_with("PUT", &format!("{target}?confirm_within=60s"), &fields, "\"/v2/**\"");
    assert_eq!(
        (tried.status, tried.json()["pending"]["revision"].as_u64()),
        (200, Some(1)),
        "{}",
        tried.text()
    );
    assert_eq!((gateway.get("/").status, gateway.get("/v2/x").status), (404, 200));
    assert_eq!(gateway.admin("POST", "/api/v1/config/revert", "").status, 200);
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn a_part_that_is_not_there_or_not_to_be_changed_is_refused_by_name() {
    let (_upstream, gateway) = running();
    for (target, named) in [
        ("routes/none", "`/routes/none`"),
        ("routes/all/path/deeper", "`/routes/all/path/deeper`"),
        ("routes//all", "`/routes//all`"),
        ("nothing", "`/nothing`"),
    ] {
        let target = format!("/api/v1/config/{target}");
        let patched = gateway.admin_with("PATCH", &target, &[MERGE, ("If-Match", "*")], "{}");
        for reply in [gateway.admin("GET", &target, ""), patched] {
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (404, "unknown_part"),
                "{target} {}",
                reply.text()
            );
            assert!(reply.text().contains(named), "{target} {}", reply.text());
        }
    }
    let put = |target: &str, body: &str| {
        gateway.admin_with("PUT", &format!("/api/v1/config/{target}"), &[JSON, NEW], body)
    };
    let nowhere = put("routes/none/path", "\"/x\"");
    assert_eq!((nowhere.status, nowhere.code().as_str()), (404, "unknown_part"), "{}", nowhere.text());
    let files_only = put("admin/writes", "\"off\"");
    assert_eq!((files_only.status, files_only.code().as_str()), (409, "files_only"), "{}", files_only.text());
    let wrong = put("routes/all/tiemout", "\"5s\"");
    let error = &wrong.json()["errors"][0];
    assert_eq!((wrong.status, error["code"].as_str()), (422, Some("E0201")), "{}", wrong.text());
    let wrong = put("defaults", "{\n  \"timeout\": 5\n}");
    let error = &wrong.json()["errors"][0];
    assert_eq!(error["pointer"], "/defaults/timeout", "{}", wrong.text());
    assert_eq!((error["file"].as_str(), error["line"].as_u64()), (Some("request.yaml"), Some(2)), "{error}");
    let untagged = gateway.admin_with("PUT", ROUTE, &[JSON], "{}");
    assert_eq!((untagged.status, untagged.code().as_str()), (428, "precondition_required"));
    assert_eq!(gateway.admin("DELETE", ROUTE, "").status, 405);
    for target in ["/api/v1/config/routes/%FF", "/api/v1/config/routes/all~2"] {
        let text = gateway.admin("GET", target, "");
        assert_eq!((text.status, text.code().as_str()), (400, "bad_path"), "{}", text.text());
    }
    assert_eq!(gateway.generation(), 1);
}
