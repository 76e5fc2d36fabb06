//! Changes on trial: confirmed in time they stay, else they are taken back, by time, by failures, by hand, by a restart.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::config_writes::{JSON, MERGE, etag, running};
use crate::support::{Act, Answer, Gateway, Reply, Upstream, closed_address, timed, until};

const CONFIG: &str = "/api/v1/config";

/// Puts a patch into use on trial.
fn try_out(gateway: &Gateway, query: &str, patch: &Value) -> Reply {
    let tag = etag(gateway, CONFIG);
    let fields = [MERGE, ("If-Match", tag.as_str())];
    let reply = gateway.admin_with("PATCH", &format!("{CONFIG}?{query}"), &fields, &patch.to_string());
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply
}

fn mark() -> Value {
    json!({ "routes": { "all": { "response_headers": { "set": { "X-Trial": "1" } } } } })
}

fn to(address: std::net::SocketAddr) -> Value {
    json!({ "upstreams": { "orders": format!("http://{address}") } })
}

fn is_on_trial(gateway: &Gateway) -> bool {
    gateway.get("/").header("x-trial").is_some()
}

fn on_disk(gateway: &Gateway) -> bool {
    gateway.path("state/overlay.yaml").exists()
}

#[test]
fn what_is_confirmed_in_time_stays() {
    let (_upstream, gateway) = running();
    let tried = try_out(&gateway, "confirm_within=60s", &mark()).json();
    assert_eq!(tried["pending"]["revision"], 1, "{tried}");
    assert!(tried["pending"]["until"].as_str().unwrap().ends_with('Z'), "{tried}");
    assert!(is_on_trial(&gateway) && !on_disk(&gateway));
    let history = gateway.admin("GET", "/api/v1/config/history", "").json();
    assert_eq!(history["pending"]["revision"], 1, "{history}");

    // Nothing else is changed meanwhile.
    let tag = etag(&gateway, CONFIG);
    let other =
        gateway.admin_with("PATCH", CONFIG, &[MERGE, ("If-Match", &tag)], r#"{"routes":{"all":null}}"#);
    assert_eq!((other.status, other.code().as_str()), (409, "on_trial"));
    assert_eq!(gateway.admin("POST", "/api/v1/config/rollback/0", "").status, 409);
    let reload = gateway.admin("POST", "/api/v1/reload", "");
    assert_eq!((reload.status, reload.json()["code"].as_str()), (409, Some("on_trial")));
    gateway.signal(Signal::HUP);
    until("the refused reload is logged", || gateway.log().matches("in use on trial").count() >= 2);

    let confirmed = gateway.admin("POST", "/api/v1/config/confirm", "");
    assert_eq!(
        (confirmed.status, confirmed.json()["revision"].as_u64()),
        (200, Some(1)),
        "{}",
        confirmed.text()
    );
    assert!(is_on_trial(&gateway) && on_disk(&gateway));
    assert_eq!(gateway.metric("gateway_config_trials_total{result=\"confirmed\"}"), 1.0);
    let again = gateway.admin("POST", "/api/v1/config/confirm", "");
    assert_eq!((again.status, again.code().as_str()), (409, "not_on_trial"));
    assert_eq!(gateway.admin("POST", "/api/v1/config/revert", "").status, 409);
    let gateway = gateway.killed_and_started_again();
    assert!(is_on_trial(&gateway));
}

#[test]
fn what_nobody_confirms_is_taken_back_at_its_deadline() {
    let (_upstream, gateway) = running();
    let before = etag(&gateway, CONFIG);
    let (took, ()) = timed(|| {
        try_out(&gateway, "confirm_within=5s", &mark());
        assert!(is_on_trial(&gateway));
        until("it is taken back", || !is_on_trial(&gateway));
    });
    assert!(took > Duration::from_secs(4), "{took:?}");
    // Counted once it is in use again.
    until("it is counted", || gateway.metric("gateway_config_trials_total{result=\"deadline\"}") == 1.0);
    assert_eq!((etag(&gateway, CONFIG), on_disk(&gateway)), (before, false));
    assert_eq!(gateway.generation(), 3, "generations never count backwards");
    // The next one has a number of its own.
    assert_eq!(try_out(&gateway, "confirm_within=60s", &mark()).json()["revision"], 2);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test waits for another process's deadline")]
fn what_nobody_confirmed_in_time_cannot_be_confirmed_any_more() {
    let (_upstream, gateway) = running();
    try_out(&gateway, "confirm_within=5s", &mark());
    let deadline = Instant::now() + Duration::from_secs(5);
    until("its time is over", || Instant::now() > deadline);
    // Whether or not somebody has looked at it since.
    assert_eq!(gateway.admin("POST", "/api/v1/config/confirm", "").status, 409);
    assert!(!is_on_trial(&gateway) && !on_disk(&gateway));
    assert_eq!(gateway.metric("gateway_config_trials_total{result=\"deadline\"}"), 1.0);
}

#[test]
fn what_is_taken_back_by_hand_or_by_a_restart_leaves_no_trace() {
    let (_upstream, gateway) = running();
    let fields = [JSON, ("If-None-Match", "*")];
    let kept = json!({ "path": "/kept", "to": "orders" }).to_string();
    assert_eq!(gateway.admin_with("PUT", "/api/v1/routes/kept", &fields, &kept).status, 201);
    let overlay = std::fs::read(gateway.path("state/overlay.yaml")).unwrap();
    try_out(&gateway, "confirm_within=60s", &mark());
    let reverted = gateway.admin("POST", "/api/v1/config/revert", "");
    assert_eq!(
        (reverted.status, reverted.json()["revision"].as_u64()),
        (200, Some(1)),
        "{}",
        reverted.text()
    );
    assert!(!is_on_trial(&gateway));
    try_out(&gateway, "confirm_within=1h", &mark());
    assert!(is_on_trial(&gateway));
    let gateway = gateway.killed_and_started_again();
    assert!(!is_on_trial(&gateway));
    assert_eq!(std::fs::read(gateway.path("state/overlay.yaml")).unwrap(), overlay);
    assert_eq!(gateway.admin("POST", "/api/v1/config/confirm", "").status, 409);
    // Going back on trial is a trial like any other.
    let back = gateway.admin("POST", "/api/v1/config/rollback/0?confirm_within=60s", "");
    assert_eq!(back.json()["pending"]["revision"], 2, "{}", back.text());
    assert_eq!(gateway.admin("POST", "/api/v1/config/revert", "").status, 200);
    assert_eq!(std::fs::read(gateway.path("state/overlay.yaml")).unwrap(), overlay);
}

#[test]
fn what_makes_requests_fail_is_taken_back_long_before_its_deadline() {
    let (_upstream, gateway) = running();
    for _ in 0..100 {
        assert_eq!(gateway.get("/").status, 200);
    }
    try_out(&gateway, "confirm_within=1h", &to(closed_address()));
    let mut failed = 0;
    until("it is taken back", || {
        let is_good = gateway.get("/").status == 200;
        failed += usize::from(!is_good);
        is_good
    });
    // One of those before may have been counted only after the change.
    assert!(failed >= 45, "{failed} failed");
    assert_eq!(gateway.metric("gateway_config_trials_total{result=\"errors\"}"), 1.0);
    assert!(gateway.log().contains("100.0 % of requests fail"), "{}", gateway.log());
    assert!(!on_disk(&gateway));
}

#[test]
fn what_makes_requests_slow_is_taken_back_unless_that_is_allowed() {
    let (_upstream, gateway) = running();
    let slow = Upstream::start(|_| Act::Late(Duration::from_millis(500), Answer::new(200, "slow")));
    let ask = |gateway: &Gateway, n_clients: usize, n_each: usize| {
        std::thread::scope(|scope| {
            for _ in 0..n_clients {
                scope.spawn(|| (0..n_each).for_each(|_| assert_eq!(gateway.get("/").status, 200)));
            }
        });
    };
    ask(&gateway, 1, 100);
    try_out(&gateway, "confirm_within=1h&max_p99_ratio=1000", &to(slow.address));
    ask(&gateway, 20, 3);
    assert_eq!(gateway.get("/").text(), "slow");
    // With the slow ones in its past the next trial would not be slower, so it gets a fresh start.
    let gateway = gateway.killed_and_started_again();
    ask(&gateway, 1, 100);
    try_out(&gateway, "confirm_within=1h", &to(slow.address));
    ask(&gateway, 20, 3);
    until("it is taken back", || gateway.get("/").text() == "hello");
    assert_eq!(gateway.metric("gateway_config_trials_total{result=\"slower\"}"), 1.0, "{}", gateway.log());
}

#[test]
fn traffic_goes_on_while_trials_come_and_go() {
    let (_upstream, gateway) = running();
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut kept = gateway.client();
            while !over.load(std::sync::atomic::Ordering::SeqCst) {
                assert_eq!(kept.ask("GET", "/x", &[], "").status, 200);
            }
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for n in 0..10 {
                try_out(&gateway, "confirm_within=60s", &mark());
                let end = if n % 2 == 0 { "revert" } else { "confirm" };
                assert_eq!(gateway.admin("POST", &format!("{CONFIG}/{end}"), "").status, 200);
                if end == "confirm" {
                    assert_eq!(gateway.admin("POST", &format!("{CONFIG}/rollback/0"), "").status, 200);
                }
            }
        }));
        over.store(true, std::sync::atomic::Ordering::SeqCst);
        if let Err(failure) = done {
            std::panic::resume_unwind(failure);
        }
    });
}

#[test]
fn a_watched_file_that_changes_during_a_trial_is_read_after_it() {
    let upstream = Upstream::answering("hello");
    let config =
        |path: &str| format!("routes:\n  all: {{ path: {path}, to: \"http://{}\" }}\n", upstream.address);
    let gateway = Gateway::start_with(&config("/**"), &["--watch"]);
    try_out(&gateway, "confirm_within=60s", &mark());
    gateway.write(&config("/v2/**"));
    until("the change is refused", || gateway.log().contains("in use on trial"));
    assert!(is_on_trial(&gateway));
    assert_eq!(gateway.admin("POST", "/api/v1/config/confirm", "").status, 200);
    until("the change is in use", || {
        gateway.get("/v2/x").header("x-trial").is_some() && gateway.get("/x").status == 404
    });
}
