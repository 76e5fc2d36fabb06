//! Reloads: all or nothing, and no request notices.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::Signal;

use crate::support::{Client, Gateway, Upstream, until};

fn to(upstream: &Upstream, extra: &str) -> String {
    format!("routes:\n  all: {{ path: /**, to: \"http://{}\" }}\n{extra}", upstream.address)
}

/// Asks without a pause, by kept and by fresh connections, while `work` is done; nothing may fail.
fn under_load(gateway: &Gateway, work: impl FnOnce()) -> usize {
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut kept = gateway.client();
                while !over.load(Ordering::SeqCst) {
                    assert_eq!(kept.ask("GET", "/x", &[], "").status, 200);
                    assert_eq!(gateway.get("/x").status, 200);
                    asked.fetch_add(2, Ordering::SeqCst);
                }
            });
        }
        // Also over if the work fails, so that the test ends.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        over.store(true, Ordering::SeqCst);
        if let Err(failure) = done {
            std::panic::resume_unwind(failure);
        }
    });
    asked.load(Ordering::SeqCst)
}

#[test]
fn reloads_by_signal_fail_no_request() {
    let upstream = Upstream::answering("hello");
    let gateway = Gateway::start(&to(&upstream, ""));
    let asked = under_load(&gateway, || {
        for n in 1..=10 {
            let before = gateway.generation();
            gateway.write(&to(
                &upstream,
                &format!("  r{n}: {{ path: /r{n}, to: \"http://{}\" }}\n", upstream.address),
            ));
            gateway.signal(Signal::HUP);
            until("the reload is applied", || gateway.generation() > before);
        }
    });
    assert!(asked > 20, "{asked}");
    gateway.write("routes: {}\nnonsense: true\n");
    gateway.signal(Signal::HUP);
    until("the refusal is told", || {
        gateway.metric("gateway_config_reloads_total{result=\"refused\"}") >= 1.0
    });
    assert_eq!(gateway.get("/x").status, 200);
    assert!(gateway.metric("gateway_config_reloads_total{result=\"applied\"}") >= 10.0);
}

#[test]
fn a_watched_file_is_reloaded_when_it_changes_and_a_broken_one_is_refused() {
    let upstream = Upstream::answering("hello");
    let gateway = Gateway::start_with(&to(&upstream, ""), &["--watch"]);
    under_load(&gateway, || {
        let with = format!(
            "routes:\n  all:\n    path: /**\n    to: \"http://{}\"\n    response_headers: {{ set: {{ X-New: \"1\" }} }}\n",
            upstream.address
        );
        gateway.write(&with);
        until("the change is in use", || gateway.get("/x").header("x-new").is_some());
        gateway.write("routes: { all: { path: nonsense, too: nobody } }\n");
        until("the refusal is told", || {
            gateway.metric("gateway_config_reloads_total{result=\"refused\"}") >= 1.0
        });
    });
    assert_eq!(gateway.metric("gateway_config_last_reload_successful"), 0.0);
    let ready = gateway.probe("/readyz?verbose");
    assert_eq!(ready.status, 200);
    assert!(ready.text().contains("[-] configuration:"), "{}", ready.text());
    assert!(ready.text().contains("the last reload was refused"), "{}", ready.text());
    assert!(gateway.log().contains("configuration refused"));
    assert_eq!(gateway.get("/x").header("x-new"), Some("1"));
}

#[test]
fn a_refused_reload_changes_nothing_and_says_why_over_the_api() {
    let upstream = Upstream::answering("hello");
    let gateway = Gateway::start(&to(&upstream, ""));
    let generation = gateway.generation();
    let bad = gateway
        .reload("routes:\n  a: { path: a, to: nobody }\n  b: { pth: /b, to: \"http://127.0.0.1:1\" }\n");
    assert_eq!(bad.status, 422);
    let problem = bad.json();
    assert!(problem["errors"].as_array().unwrap().len() >= 3, "{problem:#}");
    assert_eq!((gateway.generation(), gateway.get("/").status), (generation, 200));
    let failing =
        gateway.reload(&to(&upstream, "    tests: [{ request: GET /, expect: { status: 404 } }]\n").replace(
            &format!("  all: {{ path: /**, to: \"http://{}\" }}", upstream.address),
            &format!("  all:\n    path: /**\n    to: \"http://{}\"", upstream.address),
        ));
    assert_eq!((failing.status, failing.json()["code"].as_str()), (422, Some("tests_failed")));
    assert_eq!(gateway.reload(&to(&upstream, "")).status, 200);
    assert_eq!(gateway.metric("gateway_config_last_reload_successful"), 1.0);
}

#[test]
fn what_only_a_restart_can_change_is_a_conflict() {
    let upstream = Upstream::answering("hello");
    let gateway = Gateway::start(&to(&upstream, ""));
    let reply = gateway.reload(&format!(
        "{}discovery: {{ consul: {{ address: \"http://127.0.0.1:1\" }} }}\n",
        to(&upstream, "")
    ));
    assert_eq!(reply.status, 409, "{}", reply.text());
    let problem = reply.json();
    assert_eq!(problem["code"], "needs_restart");
    assert!(problem["detail"].as_str().unwrap().contains("discovery"), "{problem}");
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn a_reload_adds_and_removes_listeners() {
    let upstream = Upstream::answering("hello");
    let one = format!("listeners: {{ web: {{ address: \"127.0.0.1:0\" }} }}\n{}", to(&upstream, ""));
    let two = format!(
        "listeners: {{ web: {{ address: \"127.0.0.1:0\" }}, more: {{ address: \"127.0.0.1:0\" }} }}\n{}",
        to(&upstream, "")
    );
    let gateway = Gateway::start(&one);
    let mut kept = gateway.client();
    assert_eq!(kept.ask("GET", "/", &[], "").status, 200);
    assert_eq!(gateway.reload(&two).status, 200);
    let more = gateway.listening("more").unwrap();
    assert_eq!(Client::connect(more).ask("GET", "/", &[], "").status, 200);
    assert_eq!(gateway.listening("web"), Some(gateway.web), "a listener that did not change was opened anew");
    assert_eq!(gateway.reload(&one).status, 200);
    assert_eq!(gateway.listening("more"), None);
    until("the removed listener refuses connections", || Client::try_connect(more).is_err());
    assert_eq!(kept.ask("GET", "/", &[], "").status, 200);
}

#[test]
fn a_listener_that_cannot_be_opened_refuses_the_whole_reload() {
    let upstream = Upstream::answering("hello");
    let gateway = Gateway::start(&to(&upstream, ""));
    let taken = upstream.address;
    let reply = gateway.reload(&format!(
        "listeners: {{ web: {{ address: \"127.0.0.1:0\" }}, more: {{ address: \"{taken}\" }} }}\nroutes: {{ a: {{ path: /a, to: \"http://{taken}\" }} }}"
    ));
    assert_eq!(reply.status, 409, "{}", reply.text());
    assert!(reply.text().contains("more"), "{}", reply.text());
    assert_eq!(gateway.get("/x").status, 200);
    assert_eq!(gateway.listening("more"), None);
}
