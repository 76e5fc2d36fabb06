//! What the HTTP API answers.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::subject::{PATIENCE, Subject};

/// Reads `target` until the list it answers is as wanted: an agent tells its servers a moment later.
async fn until(subject: &Subject, target: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let reached = async {
        loop {
            let list = subject.get(target).await.list();
            if wanted(&list) {
                return list;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, reached).await {
        Ok(list) => list,
        Err(_elapsed) => panic!("{target} never got there: {}", subject.get(target).await.text),
    }
}

fn status(entry: &Value, check: &str) -> Option<String> {
    let checks = entry["Checks"].as_array().unwrap();
    let found = checks.iter().find(|found| found["CheckID"] == check)?;
    Some(found["Status"].as_str().unwrap().to_owned())
}

pub(crate) async fn a_blocking_query_returns_when_its_service_changes(subject: &Subject) {
    let target = "/v1/health/service/blocked";
    let index = subject.get(target).await.index();
    let url = format!("{target}?index={index}&wait=25s");
    let (answer, ()) = tokio::join!(subject.get(&url), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        subject.register(json!({"Name": "blocked", "ID": "blocked-1", "Port": 1})).await;
    });
    // An unknown service is woken by any service, so the first answer may still be empty.
    assert!(answer.index() > index, "{} after {index}", answer.index());
    until(subject, target, |list| list.len() == 1).await;
    let index = subject.get(target).await.index();
    let url = format!("{target}?index={index}&wait=25s");
    let (answer, ()) = tokio::join!(subject.get(&url), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        subject.register(json!({"Name": "blocked", "ID": "blocked-2", "Port": 2})).await;
    });
    assert!(answer.index() > index);
    assert_eq!(answer.list().len(), 2, "{}", answer.text);
}

pub(crate) async fn a_blocking_query_without_news_returns_after_its_wait_with_the_same_index(
    subject: &Subject,
) {
    subject.register(json!({"Name": "quiet", "ID": "quiet-1", "Port": 1})).await;
    let target = "/v1/health/service/quiet";
    until(subject, target, |list| list.len() == 1).await;
    let index = subject.get(target).await.index();
    let begun = begin();
    let answer = subject.get(&format!("{target}?index={index}&wait=1s")).await;
    let took = begun.elapsed();
    assert_eq!(answer.index(), index);
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(8), "{took:?}");
    assert_eq!(answer.list().len(), 1);
}

#[expect(clippy::disallowed_methods, reason = "measures how long a server held a query")]
fn begin() -> Instant {
    Instant::now()
}

pub(crate) async fn an_unknown_service_is_an_empty_list_with_an_index(subject: &Subject) {
    let answer = subject.get("/v1/health/service/nobody-knows-it").await;
    assert_eq!((answer.status, answer.json()), (200, json!([])));
    assert!(answer.index() > 0);
}

pub(crate) async fn indexes_of_a_service_never_go_back(subject: &Subject) {
    let target = "/v1/health/service/counted";
    let mut last = subject.get(target).await.index();
    for count in 1..=5_u16 {
        subject.register(json!({"Name": "counted", "ID": format!("counted-{count}"), "Port": count})).await;
        until(subject, target, |list| list.len() == usize::from(count)).await;
        let index = subject.get(target).await.index();
        assert!(index > last, "{index} after {last}");
        last = index;
    }
    for count in (1..=5_u16).rev() {
        subject.tell(&format!("/v1/agent/service/deregister/counted-{count}")).await;
        until(subject, target, |list| list.len() < usize::from(count)).await;
        let index = subject.get(target).await.index();
        assert!(index >= last, "{index} after {last}");
        last = index;
    }
}

pub(crate) async fn an_index_or_wait_that_cannot_be_read_is_refused(subject: &Subject) {
    for query in ["index=x", "index=-1", "index=18446744073709551616", "wait=x&index=1", "wait=10&index=1"] {
        let answer = subject.get(&format!("/v1/health/service/web?{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text);
    }
}

pub(crate) async fn passing_leaves_out_what_warns_or_is_critical(subject: &Subject) {
    for (count, word) in (1..).zip(["passing", "warning", "critical"]) {
        let check = json!({"TTL": "10m", "Status": word});
        subject
            .register(json!({"Name": "mixed", "ID": format!("mixed-{count}"), "Port": count, "Check": check}))
            .await;
    }
    until(subject, "/v1/health/service/mixed", |list| list.len() == 3).await;
    let passing = until(subject, "/v1/health/service/mixed?passing", |list| list.len() == 1).await;
    assert_eq!(passing[0]["Service"]["ID"], "mixed-1");
}

pub(crate) async fn a_ttl_check_that_is_not_updated_becomes_critical(subject: &Subject) {
    let check = json!({"TTL": "1s", "Status": "passing"});
    subject.register(json!({"Name": "sleepy", "ID": "sleepy-1", "Port": 1, "Check": check})).await;
    let critical = |list: &[Value]| {
        list.first().and_then(|entry| status(entry, "service:sleepy-1")).as_deref() == Some("critical")
    };
    until(subject, "/v1/health/service/sleepy", critical).await;
    subject.tell("/v1/agent/check/pass/service:sleepy-1?note=awake").await;
    until(subject, "/v1/health/service/sleepy?passing", |list| list.len() == 1).await;
    until(subject, "/v1/health/service/sleepy", critical).await;
}

pub(crate) async fn a_check_is_updated_with_its_output(subject: &Subject) {
    let check = json!({"TTL": "10m"});
    subject.register(json!({"Name": "told", "ID": "told-1", "Port": 1, "Check": check})).await;
    let target = "/v1/health/service/told";
    let list = until(subject, target, |list| list.len() == 1).await;
    assert_eq!(status(&list[0], "service:told-1").as_deref(), Some("critical"), "critical until it says so");
    for word in ["passing", "warning", "critical"] {
        let body = json!({"Status": word, "Output": format!("it is {word}")}).to_string();
        assert_eq!(subject.put("/v1/agent/check/update/service:told-1", body).await.status, 200);
        let is = |list: &[Value]| status(&list[0], "service:told-1").as_deref() == Some(word);
        let list = until(subject, target, is).await;
        let checks = list[0]["Checks"].as_array().unwrap();
        assert!(checks.iter().any(|check| check["Output"] == format!("it is {word}")), "{checks:?}");
    }
}

pub(crate) async fn what_is_unknown_is_not_found(subject: &Subject) {
    for target in [
        "/v1/agent/service/deregister/nobody",
        "/v1/agent/check/pass/nobody",
        "/v1/agent/check/deregister/nobody",
        "/v1/agent/service/maintenance/nobody?enable=true",
    ] {
        let answer = subject.put(target, "").await;
        assert_eq!(answer.status, 404, "{target}: {}", answer.text);
    }
    for target in ["/v1/kv/nobody", "/v1/agent/service/nobody"] {
        assert_eq!(subject.get(target).await.status, 404, "{target}");
    }
}

pub(crate) async fn a_registration_that_makes_no_sense_is_refused(subject: &Subject) {
    for body in [
        "{",
        "[]",
        "{}",
        r#"{"Name": ""}"#,
        r#"{"Name": "odd", "Weights": {"Passing": 0, "Warning": 1}}"#,
        r#"{"Name": "odd", "Check": {"TTL": "soon"}}"#,
        r#"{"Name": "odd", "Check": {"HTTP": "http://127.0.0.1:1"}}"#,
    ] {
        let answer = subject.put("/v1/agent/service/register", body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text);
    }
    let answer = subject.get("/v1/agent/service/register").await;
    assert_eq!(answer.status, 405, "{}", answer.text);
}

pub(crate) async fn the_catalog_lists_services_with_their_tags(subject: &Subject) {
    subject.register(json!({"Name": "listed", "ID": "l1", "Port": 1, "Tags": ["a", "b"]})).await;
    subject.register(json!({"Name": "listed", "ID": "l2", "Port": 2, "Tags": ["b", "c"]})).await;
    let instances = until(subject, "/v1/catalog/service/listed", |list| list.len() == 2).await;
    assert!(instances.iter().all(|found| found["ServiceName"] == "listed"));
    assert_eq!(instances.iter().filter(|found| found["ServicePort"] == 2).count(), 1);
    let services = subject.get("/v1/catalog/services").await;
    assert!(services.index() > 0);
    let services = services.json();
    let mut tags: Vec<&str> =
        services["listed"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap()).collect();
    tags.sort_unstable();
    assert_eq!(tags, ["a", "b", "c"]);
}

pub(crate) async fn checks_are_listed_by_their_state(subject: &Subject) {
    let check = json!({"TTL": "10m", "Status": "warning"});
    subject.register(json!({"Name": "stated", "ID": "st1", "Port": 1, "Check": check})).await;
    let named = |list: &[Value]| list.iter().any(|check| check["ServiceName"] == "stated");
    until(subject, "/v1/health/state/any", named).await;
    until(subject, "/v1/health/state/warning", named).await;
    assert!(!named(&subject.get("/v1/health/state/critical").await.list()));
    let checks = subject.get("/v1/health/checks/stated").await.list();
    assert_eq!(checks.len(), 1, "{checks:?}");
}

pub(crate) async fn keys_are_kept_compared_and_deleted(subject: &Subject) {
    assert_eq!(subject.put("/v1/kv/contract/a", "one").await.text.trim(), "true");
    let found = subject.get("/v1/kv/contract/a").await.list();
    assert_eq!(found[0]["Value"], "b25l", "base64 of `one`");
    let index = found[0]["ModifyIndex"].as_u64().unwrap();
    assert_eq!(subject.get("/v1/kv/contract/a?raw").await.text, "one");
    let wrong = format!("/v1/kv/contract/a?cas={}", index + 1000);
    assert_eq!(subject.put(&wrong, "two").await.text.trim(), "false");
    assert_eq!(subject.put(&format!("/v1/kv/contract/a?cas={index}"), "two").await.text.trim(), "true");
    assert_eq!(subject.put("/v1/kv/contract/b", "").await.text.trim(), "true");
    let keys = subject.get("/v1/kv/contract/?keys").await.json();
    assert_eq!(keys, json!(["contract/a", "contract/b"]));
    assert_eq!(subject.delete("/v1/kv/contract/?recurse").await.text.trim(), "true");
    assert_eq!(subject.get("/v1/kv/contract/a").await.status, 404);
}

pub(crate) async fn a_key_can_be_waited_for(subject: &Subject) {
    subject.put("/v1/kv/awaited", "one").await;
    let index = subject.get("/v1/kv/awaited").await.index();
    let url = format!("/v1/kv/awaited?index={index}&wait=25s");
    let (answer, ()) = tokio::join!(subject.get(&url), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        subject.put("/v1/kv/awaited", "two").await;
    });
    assert!(answer.index() > index);
    assert_eq!(answer.list()[0]["Value"], "dHdv", "base64 of `two`");
}

pub(crate) async fn the_server_has_a_leader(subject: &Subject) {
    let leader = subject.get("/v1/status/leader").await.json();
    assert!(leader.as_str().is_some_and(|address| address.contains(':')), "{leader}");
    assert_eq!(subject.get("/v1/status/peers").await.list().len(), 1);
}
