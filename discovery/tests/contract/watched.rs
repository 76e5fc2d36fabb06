//! What the Consul source makes of it.

use std::sync::Arc;
use std::time::Duration;

use portcullis_discovery::consul::{ConsulSettings, ConsulSource};
use portcullis_discovery::{EndpointWatch, ServiceQuery, Source, Watched};
use portcullis_discovery_model::{Endpoint, Freshness, Health, ServiceName};
use serde_json::json;
use tokio::runtime::Handle;

use crate::subject::{PATIENCE, Subject};

fn source(subject: &Subject) -> ConsulSource {
    let mut settings = ConsulSettings::new(&subject.url);
    // A restarted server may hold an index it has not reached yet for this long.
    settings.query.wait = Duration::from_secs(10);
    ConsulSource::new(settings, Handle::current(), 7).unwrap()
}

fn query(name: &str) -> ServiceQuery {
    ServiceQuery::new(ServiceName::new(name).unwrap())
}

fn ports(watched: &Watched) -> Vec<u16> {
    watched.set.iter().map(|endpoint| endpoint.address.port()).collect()
}

async fn until(watch: &mut EndpointWatch, what: &str, wanted: impl Fn(&Watched) -> bool) -> Arc<Watched> {
    let reached = async {
        let mut seen = watch.first().await.unwrap();
        while !wanted(&seen) {
            seen = watch.changed().await.unwrap();
        }
        seen
    };
    match tokio::time::timeout(PATIENCE, reached).await {
        Ok(seen) => seen,
        Err(_elapsed) => panic!("{what}: still {:?}", watch.current()),
    }
}

/// Waits until the only endpoint is as wanted.
async fn one(watch: &mut EndpointWatch, what: &str, wanted: impl Fn(&Endpoint) -> bool) -> Endpoint {
    let seen = until(watch, what, |seen| seen.set.len() == 1 && seen.set.iter().all(&wanted)).await;
    seen.set.iter().next().cloned().unwrap()
}

pub(crate) async fn registering_and_deregistering_is_seen(subject: &Subject) {
    let source = source(subject);
    let mut watch = source.watch(&query("seen"));
    until(&mut watch, "nothing yet", |seen| seen.set.is_empty()).await;
    subject.register(json!({"Name": "seen", "ID": "s1", "Address": "127.0.0.1", "Port": 1})).await;
    until(&mut watch, "the first", |seen| ports(seen) == [1]).await;
    subject.register(json!({"Name": "seen", "ID": "s2", "Address": "127.0.0.1", "Port": 2})).await;
    until(&mut watch, "the second", |seen| ports(seen) == [1, 2]).await;
    subject.tell("/v1/agent/service/deregister/s1").await;
    until(&mut watch, "the first is gone", |seen| ports(seen) == [2]).await;
}

pub(crate) async fn health_follows_the_checks(subject: &Subject) {
    let check = json!({"TTL": "10m", "Status": "passing"});
    subject
        .register(json!({"Name": "ill", "ID": "ill", "Address": "127.0.0.1", "Port": 1, "Check": check}))
        .await;
    let source = source(subject);
    let mut all = source.watch(&query("ill"));
    let mut passing = source.watch(&ServiceQuery { passing_only: true, ..query("ill") });
    one(&mut all, "passing", |found| found.health == Health::Passing).await;
    until(&mut passing, "passing", |seen| ports(seen) == [1]).await;
    subject.tell("/v1/agent/check/warn/service:ill").await;
    one(&mut all, "warning", |found| found.health == Health::Warning).await;
    until(&mut passing, "left out while it warns", |seen| seen.set.is_empty()).await;
    subject.tell("/v1/agent/check/fail/service:ill").await;
    one(&mut all, "critical", |found| found.health == Health::Critical).await;
    subject.tell("/v1/agent/check/pass/service:ill").await;
    one(&mut all, "passing again", |found| found.health == Health::Passing).await;
    until(&mut passing, "passing again", |seen| ports(seen) == [1]).await;
}

pub(crate) async fn maintenance_is_critical_until_it_ends(subject: &Subject) {
    subject.register(json!({"Name": "kept", "ID": "kept-1", "Address": "127.0.0.1", "Port": 1})).await;
    let source = source(subject);
    let mut watch = source.watch(&query("kept"));
    one(&mut watch, "passing without a check", |found| found.health == Health::Passing).await;
    subject.tell("/v1/agent/service/maintenance/kept-1?enable=true&reason=new%20disk").await;
    one(&mut watch, "in maintenance", |found| found.health == Health::Critical).await;
    subject.tell("/v1/agent/service/maintenance/kept-1?enable=false").await;
    one(&mut watch, "back", |found| found.health == Health::Passing).await;
}

pub(crate) async fn weights_tags_meta_and_datacenter_arrive(subject: &Subject) {
    let definition = |passing: u16| {
        json!({"Name": "rich", "ID": "rich-1", "Address": "127.0.0.1", "Port": 1, "Tags": ["v2", "blue"],
            "Meta": {"zone": "b"}, "Weights": {"Passing": passing, "Warning": 2},
            "Check": {"TTL": "10m", "Status": "passing"}})
    };
    subject.register(definition(9)).await;
    let source = source(subject);
    let mut watch = source.watch(&query("rich"));
    let found = one(&mut watch, "weight 9", |found| found.weight.get() == 9).await;
    assert_eq!(found.tags.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["v2", "blue"]);
    assert_eq!(found.meta.get("zone"), Some("b"));
    assert_eq!(found.datacenter.as_deref(), Some("dc1"));
    subject.register(definition(5)).await;
    one(&mut watch, "weight 5", |found| found.weight.get() == 5).await;
    subject.tell("/v1/agent/check/warn/service:rich-1").await;
    one(&mut watch, "the weight of a warning", |found| found.weight.get() == 2).await;
}

pub(crate) async fn a_tag_filters(subject: &Subject) {
    for (id, port, tag) in [("t1", 1, "v1"), ("t2", 2, "v2")] {
        subject
            .register(
                json!({"Name": "tagged", "ID": id, "Address": "127.0.0.1", "Port": port, "Tags": [tag]}),
            )
            .await;
    }
    let source = source(subject);
    let mut watch = source.watch(&ServiceQuery { tag: Some("v2".into()), ..query("tagged") });
    until(&mut watch, "only v2", |seen| ports(seen) == [2]).await;
}

pub(crate) async fn an_instance_without_an_address_has_its_nodes(subject: &Subject) {
    subject.register(json!({"Name": "homeless", "ID": "h1", "Port": 1})).await;
    let source = source(subject);
    let mut watch = source.watch(&query("homeless"));
    one(&mut watch, "the node's address", |found| found.address.ip().is_loopback()).await;
}

pub(crate) async fn the_same_id_on_a_new_port_replaces_the_old(subject: &Subject) {
    subject.register(json!({"Name": "moving", "ID": "m1", "Address": "127.0.0.1", "Port": 1})).await;
    let source = source(subject);
    let mut watch = source.watch(&query("moving"));
    until(&mut watch, "the old port", |seen| ports(seen) == [1]).await;
    subject.register(json!({"Name": "moving", "ID": "m1", "Address": "127.0.0.1", "Port": 2})).await;
    until(&mut watch, "the new port", |seen| ports(seen) == [2]).await;
}

pub(crate) async fn more_services_than_connections_are_all_followed(subject: &Subject) {
    let definition = |service: usize, weight: u16| {
        json!({"Name": format!("many-{service}"), "ID": format!("many-{service}"), "Address": "127.0.0.1",
            "Port": service + 1, "Weights": {"Passing": weight, "Warning": 1}})
    };
    let mut settings = ConsulSettings::new(&subject.url);
    settings.connections_max = 4;
    let source = ConsulSource::new(settings, Handle::current(), 7).unwrap();
    let mut watches: Vec<EndpointWatch> =
        (0..12).map(|service| source.watch(&query(&format!("many-{service}")))).collect();
    for watch in &mut watches {
        until(watch, "nothing yet", |seen| seen.set.is_empty()).await;
    }
    for service in 0..12 {
        subject.register(definition(service, 1)).await;
    }
    for watch in &mut watches {
        until(watch, "registered without a check", |seen| seen.set.len() == 1).await;
    }
    // Nothing but the catalog's index tells of this one.
    subject.register(definition(11, 7)).await;
    one(&mut watches[11], "a new weight", |found| found.weight.get() == 7).await;
    subject.tell("/v1/agent/service/maintenance/many-10?enable=true").await;
    one(&mut watches[10], "maintenance", |found| found.health == Health::Critical).await;
}

/// The index begins again, the first answer is empty, and what registers again must be seen.
pub(crate) async fn a_restart_that_forgets_everything_is_survived(subject: Subject) -> Subject {
    let definition = |port: u16| json!({"Name": "survivor", "ID": format!("v{port}"), "Address": "127.0.0.1", "Port": port});
    for port in 1..=3 {
        subject.register(definition(port)).await;
    }
    let source = source(&subject);
    let mut watch = source.watch(&query("survivor"));
    until(&mut watch, "three", |seen| ports(seen) == [1, 2, 3]).await;
    let subject = subject.restart().await;
    let held = async {
        while source.status()[0].updates.held == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, held).await.unwrap();
    let kept = watch.current().unwrap();
    assert_eq!(ports(&kept), [1, 2, 3]);
    assert_ne!(kept.freshness, Freshness::Live);
    for port in [1, 2, 4] {
        subject.register(definition(port)).await;
    }
    let back = |seen: &Watched| ports(seen) == [1, 2, 4] && seen.freshness == Freshness::Live;
    until(&mut watch, "back", back).await;
    subject
}
