//! Folding the overlay into the files, and going back to what is there already.

use serde_json::json;

use crate::config_writes::{JSON, MERGE, etag, running};
use crate::support::{Gateway, Reply};

const CONFIG: &str = "/api/v1/config";
const FOLD: &str = "/api/v1/config/fold";

/// Folds with the tag as it is now.
fn fold(gateway: &Gateway, query: &str, body: &str) -> Reply {
    let tag = etag(gateway, CONFIG);
    let yaml = ("Content-Type", "application/yaml");
    gateway.admin_with("POST", &format!("{FOLD}{query}"), &[yaml, ("If-Match", &tag)], body)
}

/// Two changes through the API: one route answers with a mark, one is new.
fn overlaid(gateway: &Gateway) {
    let tag = etag(gateway, "/api/v1/routes/all");
    let patch = json!({ "response_headers": { "set": { "X-Mark": "1" } } }).to_string();
    let fields = [MERGE, ("If-Match", tag.as_str())];
    assert_eq!(gateway.admin_with("PATCH", "/api/v1/routes/all", &fields, &patch).status, 200);
    let body = json!({ "path": "/more", "to": "orders" }).to_string();
    let made = gateway.admin_with("PUT", "/api/v1/routes/more", &[JSON, ("If-None-Match", "*")], &body);
    assert_eq!(made.status, 201, "{}", made.text());
}

fn file(gateway: &Gateway) -> String {
    std::fs::read_to_string(gateway.path("gateway.yaml")).unwrap()
}

/// Puts the mark into the file, and leaves the new route out.
fn mark_in_file(gateway: &Gateway) {
    let marked =
        file(gateway).replace("to: orders }", "to: orders, response_headers: { set: { X-Mark: \"1\" } } }");
    assert_ne!(marked, file(gateway));
    std::fs::write(gateway.path("gateway.yaml"), marked).unwrap();
}

#[test]
fn what_the_files_say_stays_and_what_only_the_overlay_said_goes() {
    let (_upstream, gateway) = running();
    overlaid(&gateway);
    mark_in_file(&gateway);
    let told = fold(&gateway, "?dry_run=true", "");
    assert_eq!((told.status, told.json()["changes"].as_str()), (200, Some("routes -1")), "{}", told.text());
    assert_eq!(told.json()["patch"], json!({ "routes": { "more": null } }));
    assert_eq!(gateway.admin("GET", "/api/v1/routes/more", "").status, 200, "a dry run changes nothing");

    let folded = fold(&gateway, "", "");
    let said = folded.json();
    assert_eq!((folded.status, said["revision"].as_u64()), (200, Some(3)), "{}", folded.text());
    assert_eq!(folded.header("etag"), Some(&*etag(&gateway, CONFIG)));
    assert_eq!(gateway.get("/").header("x-mark"), Some("1"));
    assert_eq!(gateway.admin("GET", "/api/v1/routes/more", "").status, 404);
    let listed = gateway.admin("GET", "/api/v1/routes", "").json();
    assert_eq!(listed["items"][0]["overlaid"], false, "{listed}");
    let history = gateway.admin("GET", "/api/v1/config/history", "").json();
    assert_eq!(history["items"][0]["reason"], "folded into the files");
    assert_eq!(history["items"][0]["in_use"], true);

    // Again there is nothing to fold, and nothing is written.
    let again = fold(&gateway, "", "").json();
    assert_eq!((again["changed"].as_bool(), again["revision"].as_u64()), (Some(false), Some(3)), "{again}");
    assert_eq!(again["changes"], "nothing to change");
    let gateway = gateway.killed_and_started_again();
    assert_eq!(gateway.get("/").header("x-mark"), Some("1"));
    assert!(etag(&gateway, CONFIG).starts_with("\"rev-3-"));
    // A revision of before is still there to be laid over the files as they are now.
    let back = gateway.admin("POST", "/api/v1/config/rollback/2", "");
    assert_eq!((back.status, back.json()["revision"].as_u64()), (200, Some(4)), "{}", back.text());
    assert_eq!(gateway.admin("GET", "/api/v1/routes/more", "").status, 200);
}

#[test]
fn an_overlay_that_the_files_say_already_vanishes_without_a_change_to_traffic() {
    let (_upstream, gateway) = running();
    let tag = etag(&gateway, "/api/v1/routes/all");
    let patch = json!({ "response_headers": { "set": { "X-Mark": "1" } } }).to_string();
    let fields = [MERGE, ("If-Match", tag.as_str())];
    assert_eq!(gateway.admin_with("PATCH", "/api/v1/routes/all", &fields, &patch).status, 200);
    mark_in_file(&gateway);
    let folded = fold(&gateway, "", &file(&gateway)).json();
    assert_eq!(
        (folded["changed"].as_bool(), folded["changes"].as_str()),
        (Some(true), Some("nothing")),
        "{folded}"
    );
    assert_eq!((folded["revision"].as_u64(), &folded["patch"]), (Some(2), &json!({})), "{folded}");
    let overlay = std::fs::read_to_string(gateway.path("state/overlay.yaml")).unwrap();
    assert!(overlay.contains("revision: 2") && !overlay.contains("X-Mark"), "{overlay}");
}

#[test]
fn what_cannot_be_folded_is_refused_and_changes_nothing() {
    let (_upstream, gateway) = running();
    overlaid(&gateway);
    let before = (etag(&gateway, CONFIG), gateway.generation());
    let untagged = gateway.admin("POST", FOLD, "");
    assert_eq!((untagged.status, untagged.code().as_str()), (428, "precondition_required"));
    let old = gateway.admin_with("POST", FOLD, &[("If-Match", "\"old\"")], "");
    assert_eq!((old.status, old.code().as_str()), (412, "precondition_failed"));
    let other = fold(&gateway, "", &format!("{}\n", file(&gateway)));
    assert_eq!((other.status, other.code().as_str()), (409, "other_file"), "{}", other.text());
    assert!(other.text().contains("gateway.yaml is not what was sent"), "{}", other.text());
    let option = fold(&gateway, "?keep=true", "");
    assert_eq!((option.status, option.code().as_str()), (400, "bad_query"));

    let good = file(&gateway);
    for (from, to, status, code) in [
        ("to: orders }", "to: nobody }", 422, "invalid"),
        ("metrics: {", "metrics: { probes: no, ", 422, "invalid"),
        ("admin: { address: \"127.0.0.1:0\" }", "admin: { address: \"127.0.0.2:0\" }", 409, "needs_restart"),
    ] {
        let bad = good.replace(from, to);
        if bad == good {
            continue;
        }
        std::fs::write(gateway.path("gateway.yaml"), bad).unwrap();
        let refused = fold(&gateway, "", "");
        assert_eq!((refused.status, refused.code().as_str()), (status, code), "{}", refused.text());
        if to == "to: nobody }" {
            let errors = refused.json()["errors"].as_array().unwrap().clone();
            let error = errors.iter().find(|error| error["severity"] == "error").unwrap();
            assert_eq!(
                (error["code"].as_str(), error["file"].as_str()),
                (Some("E0412"), Some("gateway.yaml")),
                "{error}"
            );
            assert_eq!(error["pointer"], "/routes/all/to", "{error}");
        }
    }
    std::fs::remove_file(gateway.path("gateway.yaml")).unwrap();
    let gone = fold(&gateway, "", "");
    assert_eq!((gone.status, gone.code().as_str()), (422, "invalid"), "{}", gone.text());
    assert_eq!((etag(&gateway, CONFIG), gateway.generation()), before);
    assert_eq!(gateway.get("/").header("x-mark"), Some("1"));
    std::fs::write(gateway.path("gateway.yaml"), good).unwrap();

    // On trial nothing else may change, and a fold on trial comes back with its overlay.
    let tried = fold(&gateway, "?confirm_within=60s", "");
    assert_eq!(tried.status, 200, "{}", tried.text());
    assert_eq!(gateway.get("/").header("x-mark"), None);
    assert_eq!((fold(&gateway, "", "").status, fold(&gateway, "", "").code().as_str()), (409, "on_trial"));
    assert_eq!(gateway.admin("POST", "/api/v1/config/revert", "").status, 200);
    assert_eq!(gateway.get("/").header("x-mark"), Some("1"));
    let gateway = gateway.killed_and_started_again();
    assert_eq!(gateway.get("/").header("x-mark"), Some("1"));
}

#[test]
fn going_back_to_what_is_in_use_already_writes_no_revision() {
    let (_upstream, gateway) = running();
    let back = |target: &str| gateway.admin("POST", &format!("/api/v1/config/rollback/{target}"), "");
    let revisions =
        || gateway.admin("GET", "/api/v1/config/history", "").json()["items"].as_array().unwrap().len();
    for target in ["0", "0?confirm_within=60s", "0?dry_run=true"] {
        let reply = back(target).json();
        assert_eq!(
            (reply["changed"].as_bool(), reply["revision"].as_u64()),
            (Some(false), Some(0)),
            "{reply}"
        );
        assert_eq!((reply["changes"].as_str(), &reply["pending"]), (Some("nothing to change"), &json!(null)));
    }
    overlaid(&gateway);
    let n_before = revisions();
    let reply = back("2").json();
    assert_eq!((reply["changed"].as_bool(), reply["revision"].as_u64()), (Some(false), Some(2)), "{reply}");
    assert_eq!(
        (back("0").json()["revision"].as_u64(), back("0").json()["revision"].as_u64()),
        (Some(3), Some(3))
    );
    assert_eq!(revisions(), n_before + 1);
}
