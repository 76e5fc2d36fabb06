//! The commands that change a running gateway's configuration: what they print, and how they exit.

use crate::remote::{Done, portcullis};
use crate::support::{Gateway, Stream, Upstream, until};

/// What the test writes into a file of its own: the gateway's file with another path.
fn start() -> (Upstream, Gateway) {
    let upstream = Upstream::answering("hello");
    let gateway = Gateway::start(&config(&upstream, "/v1/**"));
    (upstream, gateway)
}

fn config(upstream: &Upstream, path: &str) -> String {
    format!(
        "upstreams: {{ orders: {{ hosts: [\"{}\"] }} }}\nroutes: {{ orders: {{ path: \"{path}\", to: orders }} }}",
        upstream.address
    )
}

/// Writes a whole configuration beside the gateway's own, with this path.
fn next(gateway: &Gateway, path: &str) -> String {
    let own = std::fs::read_to_string(gateway.path("gateway.yaml")).unwrap();
    let file = gateway.path("next.yaml");
    std::fs::write(&file, own.replace("/v1/**", path)).unwrap();
    file.to_str().unwrap().to_owned()
}

fn ok(done: &Done) -> &Done {
    assert_eq!(done.code, Some(0), "{}{}", done.out, done.err);
    done
}

#[test]
fn a_configuration_is_compared_applied_found_in_the_history_and_rolled_back() {
    let (_upstream, gateway) = start();
    let file = next(&gateway, "/v2/**");
    let compared = portcullis(&gateway, &["diff", "-c", &file]);
    assert!(ok(&compared).out.contains("\"path\": \"/v2/**\""), "{}", compared.out);
    assert_eq!(gateway.get("/v2/x").status, 404, "a comparison changes nothing");
    let dry = portcullis(&gateway, &["apply", "-c", &file, "--dry-run"]);
    assert!(ok(&dry).out.starts_with("would be applied"), "{}", dry.out);
    assert_eq!(gateway.get("/v2/x").status, 404, "a dry run changes nothing");
    let applied = portcullis(&gateway, &["apply", "-c", &file, "--reason", "v2 is out", "--json"]);
    assert_eq!(
        (ok(&applied).json()["revision"].as_u64(), applied.json()["changed"].as_bool()),
        (Some(1), Some(true))
    );
    assert_eq!((gateway.get("/v2/x").status, gateway.get("/v1/x").status), (200, 404));
    let history = portcullis(&gateway, &["history"]);
    assert!(ok(&history).out.contains("v2 is out") && history.out.contains("admin"), "{}", history.out);
    let back = portcullis(&gateway, &["rollback", "0"]);
    assert!(ok(&back).out.starts_with("applied"), "{}", back.out);
    assert_eq!((gateway.get("/v1/x").status, gateway.get("/v2/x").status), (200, 404));
    let again = portcullis(&gateway, &["rollback", "0"]);
    assert_eq!(ok(&again).out, "nothing to change: revision 2 stays in use\n");
    assert_eq!(portcullis(&gateway, &["rollback", "77"]).code, Some(1));
}

#[test]
fn an_overlay_is_folded_into_the_files_that_say_the_same() {
    let (_upstream, gateway) = start();
    let file = next(&gateway, "/v2/**");
    ok(&portcullis(&gateway, &["apply", "-c", &file]));
    let other = portcullis(&gateway, &["apply", "-c", &file, "--fold"]);
    assert_eq!(other.code, Some(4), "{}{}", other.out, other.err);
    assert!(other.err.contains("other_file"), "{}", other.err);
    let dry = portcullis(&gateway, &["apply", "--fold", "--dry-run"]);
    assert!(ok(&dry).out.starts_with("would be applied: routes ~1"), "{}", dry.out);
    std::fs::copy(&file, gateway.path("gateway.yaml")).unwrap();
    let folded = portcullis(&gateway, &["apply", "-c", &file, "--fold"]);
    assert_eq!(ok(&folded).out, "applied: nothing\nrevision 2\n");
    assert_eq!(gateway.get("/v2/x").status, 200);
    let again = portcullis(&gateway, &["apply", "--fold"]);
    assert_eq!(ok(&again).out, "nothing to change: revision 2 stays in use\n");
}

#[test]
fn a_configuration_on_trial_is_confirmed_or_taken_back_and_watched() {
    let (_upstream, gateway) = start();
    let mut events = Stream::open(&gateway, "/api/v1/events", None);
    let file = next(&gateway, "/v2/**");
    let tried = portcullis(&gateway, &["apply", "-c", &file, "--confirm-within", "60s"]);
    assert!(ok(&tried).out.contains("on trial until"), "{}", tried.out);
    assert_eq!(gateway.get("/v2/x").status, 200);
    assert_eq!(events.next_of("config_pending").data["revision"], 1);
    assert!(portcullis(&gateway, &["status"]).out.contains("on trial"));
    // Somebody else has to wait: a conflict.
    let other = portcullis(&gateway, &["apply", "-c", &file]);
    assert_eq!(other.code, Some(4), "{}{}", other.out, other.err);
    assert!(other.err.contains("on_trial"), "{}", other.err);
    ok(&portcullis(&gateway, &["revert"]));
    assert_eq!(events.next_of("config_reverted").data["why"], "asked");
    assert_eq!(gateway.get("/v1/x").status, 200);
    ok(&portcullis(&gateway, &["apply", "-c", &file, "--confirm-within", "60s"]));
    ok(&portcullis(&gateway, &["confirm"]));
    assert_eq!(events.next_of("config_confirmed").kind, "config_confirmed");
    assert_eq!(gateway.get("/v2/x").status, 200);
    for nothing in ["confirm", "revert"] {
        assert_eq!(portcullis(&gateway, &[nothing]).code, Some(4), "{nothing}: nothing is on trial");
    }
}

#[test]
fn a_trial_that_nobody_confirms_reverts_by_itself() {
    let (_upstream, gateway) = start();
    let file = next(&gateway, "/v2/**");
    ok(&portcullis(&gateway, &["apply", "-c", &file, "--confirm-within", "5s"]));
    assert_eq!(gateway.get("/v2/x").status, 200);
    until("it reverts", || gateway.get("/v1/x").status == 200);
}

#[test]
fn a_configuration_that_is_wrong_is_refused_with_its_places_and_changes_nothing() {
    let (_upstream, gateway) = start();
    let file = next(&gateway, "/v2/**");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("to: orders", "to: nobody")).unwrap();
    let refused = portcullis(&gateway, &["apply", "-c", &file]);
    assert_eq!(refused.code, Some(2), "{}{}", refused.out, refused.err);
    assert!(refused.err.contains("E0412"), "{}", refused.err);
    assert_eq!(gateway.get("/v1/x").status, 200);
    let failing =
        text.replace("to: orders", "to: orders, tests: [ { request: GET /v2/x, expect: { route: other } } ]");
    std::fs::write(&file, failing).unwrap();
    let refused = portcullis(&gateway, &["apply", "-c", &file]);
    assert!([Some(2), Some(3)].contains(&refused.code), "{}{}", refused.out, refused.err);
    assert_eq!(portcullis(&gateway, &["apply", "-c", "nowhere.yaml"]).code, Some(2));
    assert_eq!(portcullis(&gateway, &["apply", "-c", &file, "--confirm-within", "soon"]).code, Some(2));
}
