//! The Consul source against a Consul that fails in every way the failure table knows, over real sockets.

#![expect(clippy::expect_used, clippy::panic, reason = "a failure is what a test is for")]

mod fake;

use std::sync::Arc;
use std::time::Duration;

use fake::{Fake, Mode};
use portcullis_discovery::consul::client::TokenSource;
use portcullis_discovery::consul::query::QuerySettings;
use portcullis_discovery::consul::{ConsulSettings, ConsulSource};
use portcullis_discovery::fail_static::{BrakeSettings, LossPolicy};
use portcullis_discovery::{EndpointWatch, ServiceQuery, ServiceStatus, Source, Watched};
use portcullis_discovery_model::{Freshness, ServiceName};
use tokio::runtime::Handle;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

fn settings(address: &str) -> ConsulSettings {
    let mut settings = ConsulSettings::new(address);
    settings.client.margin = Duration::from_secs(1);
    settings.query = QuerySettings {
        wait: Duration::from_secs(2),
        pace: Duration::from_millis(20),
        burst: 10,
        backoff_min: Duration::from_millis(20),
        backoff_max: Duration::from_millis(200),
        ..QuerySettings::default()
    };
    settings
}

fn source(settings: ConsulSettings) -> ConsulSource {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    ConsulSource::new(settings, Handle::current(), 7).expect("a source")
}

fn query(name: &str) -> ServiceQuery {
    ServiceQuery::new(ServiceName::new(name).expect("a name"))
}

fn ports(watched: &Watched) -> Vec<u16> {
    watched.set.iter().map(|endpoint| endpoint.address.port()).collect()
}

fn live(watched: &Watched) -> bool {
    watched.freshness == Freshness::Live
}

/// Waits until the watch says what is wanted.
async fn until(watch: &mut EndpointWatch, what: &str, wanted: impl Fn(&Watched) -> bool) -> Arc<Watched> {
    let reached = async {
        let mut seen = watch.first().await.expect("a source that lives");
        while !wanted(&seen) {
            seen = watch.changed().await.expect("a source that lives");
        }
        seen
    };
    match timeout(PATIENCE, reached).await {
        Ok(seen) => seen,
        Err(_elapsed) => panic!("{what}: still {:?}", watch.current()),
    }
}

/// Polls until the source's own account says what is wanted.
async fn account(source: &ConsulSource, what: &str, wanted: impl Fn(&[ServiceStatus]) -> bool) {
    let reached = async {
        while !wanted(&source.status()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if timeout(PATIENCE, reached).await.is_err() {
        panic!("{what}: still {:?}", source.status());
    }
}

fn errors(status: &[ServiceStatus], kind: &str) -> u64 {
    status.iter().flat_map(|one| &one.errors).filter(|(label, _)| *label == kind).map(|(_, n)| n).sum()
}

#[tokio::test]
async fn a_change_is_seen_and_callers_share_one_watch() {
    let fake = Fake::start().await;
    fake.set("web", &[1]);
    let source = source(settings(&fake.url()));
    let mut first = source.watch(&query("web"));
    let mut second = source.watch(&query("web"));
    let seen = until(&mut first, "the first answer", live).await;
    assert_eq!(ports(&seen), [1]);
    fake.set("web", &[1, 2]);
    until(&mut first, "the change", |seen| ports(seen) == [1, 2]).await;
    until(&mut second, "the change", |seen| ports(seen) == [1, 2]).await;
    assert_eq!(fake.busy_max(), 1);
    let status = source.status();
    assert_eq!(status.len(), 1);
    assert_eq!((status[0].endpoints, status[0].stale_since), (Some(2), None));
    assert!(status[0].age.is_some_and(|age| age < PATIENCE));
    assert_eq!(status[0].updates.applied, 2);
}

#[tokio::test]
async fn a_watch_ends_with_its_last_receiver_and_begins_again_with_the_next() {
    let fake = Fake::start().await;
    fake.set("web", &[1]);
    let source = source(settings(&fake.url()));
    let mut watch = source.watch(&query("web"));
    until(&mut watch, "the first answer", live).await;
    drop(watch);
    account(&source, "the watch ends", <[_]>::is_empty).await;
    let gone = async {
        while fake.open() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("the held query is dropped with the watch");
    let mut again = source.watch(&query("web"));
    until(&mut again, "the answer", live).await;
}

#[tokio::test]
async fn d2_last_known_endpoints_are_there_at_once_when_consul_is_down_at_the_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let fake = Fake::start().await;
    fake.set("web", &[1, 2]);
    let mut with_state = settings(&fake.url());
    with_state.state_dir = Some(dir.path().to_owned());
    let before = source(with_state.clone());
    let mut watch = before.watch(&query("web"));
    until(&mut watch, "the first answer", live).await;
    let written = async {
        while !dir.path().join("last-known-endpoints.json").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, written).await.expect("the file is written");
    drop((watch, before));
    drop(fake);
    let after = source(with_state);
    let mut watch = after.watch(&query("web"));
    let seen = until(&mut watch, "the last known set", |_| true).await;
    assert_eq!(ports(&seen), [1, 2]);
    assert!(!live(&seen));
}

#[tokio::test]
async fn d3_without_consul_and_without_a_snapshot_nothing_is_told_and_nothing_spins() {
    let fake = Fake::start().await;
    let address = fake.url();
    drop(fake);
    let source = source(settings(&address));
    let watch = source.watch(&query("web"));
    account(&source, "five failures", |status| errors(status, "unreachable") >= 5).await;
    assert_eq!(watch.current(), None);
    assert_eq!(source.status()[0].age, None);
}

#[tokio::test]
async fn d4_d8_an_agent_that_restarts_empty_costs_no_endpoint_and_what_registers_again_is_seen() {
    let fake = Fake::start().await;
    fake.set("web", &[1, 2]);
    let source = source(settings(&fake.url()));
    let mut watch = source.watch(&query("web"));
    until(&mut watch, "the first answer", live).await;
    let fake = fake.restart(3).await;
    account(&source, "the empty answer is held", |status| status[0].updates.held > 0).await;
    let held = watch.current().expect("a set");
    assert_eq!((ports(&held), live(&held)), (vec![1, 2], false));
    fake.set("web", &[1, 3]);
    until(&mut watch, "the services are back", |seen| ports(seen) == [1, 3] && live(seen)).await;
}

#[tokio::test]
async fn d5_scale_to_zero_is_believed_after_the_grace() {
    let fake = Fake::start().await;
    fake.set("web", &[1, 2]);
    let mut quick = settings(&fake.url());
    let policy = LossPolicy::Grace(Duration::from_millis(300));
    quick.brake = BrakeSettings { policy, ..BrakeSettings::default() };
    let source = source(quick);
    let mut watch = source.watch(&query("web"));
    until(&mut watch, "the first answer", live).await;
    fake.set("web", &[]);
    account(&source, "the empty answer is held", |status| status[0].updates.held > 0).await;
    until(&mut watch, "the set is empty", |seen| seen.set.is_empty() && live(seen)).await;
}

#[tokio::test]
async fn d1_d12_an_outage_keeps_the_set_marks_it_stale_and_ends_by_itself() {
    let fake = Fake::start().await;
    fake.set("web", &[1, 2]);
    let source = source(settings(&fake.url()));
    let mut watch = source.watch(&query("web"));
    until(&mut watch, "the first answer", live).await;
    let no_leader = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 17\r\n\r\nNo cluster leader";
    fake.mode(Mode::Raw(no_leader.into()));
    let stale = until(&mut watch, "stale", |seen| !live(seen)).await;
    assert_eq!(ports(&stale), [1, 2]);
    account(&source, "errors by kind", |status| errors(status, "status") >= 3).await;
    fake.mode(Mode::Serve);
    let back = until(&mut watch, "live again", live).await;
    assert_eq!(ports(&back), [1, 2]);
    assert_eq!(source.status()[0].stale_since, None);
}

#[tokio::test]
async fn d13_a_revoked_token_keeps_the_set_and_the_new_one_in_the_file_is_found() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("token");
    std::fs::write(&path, " old-token\n").expect("written");
    let fake = Fake::start().await;
    fake.set("web", &[1]);
    fake.mode(Mode::Token("old-token".into()));
    let mut with_token = settings(&fake.url());
    with_token.client.token = TokenSource::File(path.clone());
    let source = source(with_token);
    let mut watch = source.watch(&query("web"));
    until(&mut watch, "the first answer", live).await;
    fake.mode(Mode::Token("new-token".into()));
    fake.set("web", &[1, 2]);
    account(&source, "denied", |status| errors(status, "denied") >= 2).await;
    assert!(watch.current().is_some_and(|seen| !seen.set.is_empty()));
    std::fs::remove_file(&path).expect("removed");
    account(&source, "no file", |status| errors(status, "token") >= 1).await;
    std::fs::write(&path, "new-token").expect("written");
    until(&mut watch, "the new token", |seen| ports(seen) == [1, 2] && live(seen)).await;
}

#[tokio::test]
async fn d15_a_hundred_services_share_eight_connections_and_all_are_followed() {
    let fake = Fake::start().await;
    for service in 0..100_u16 {
        fake.set(&format!("s{service}"), &[1000 + service]);
    }
    let mut bounded = settings(&fake.url());
    bounded.connections_max = 8;
    let source = source(bounded);
    let mut watches: Vec<EndpointWatch> =
        (0..100).map(|service| source.watch(&query(&format!("s{service}")))).collect();
    for (service, watch) in (0..).zip(&mut watches) {
        let seen = until(watch, "the first answer", live).await;
        assert_eq!(ports(&seen), [1000_u16 + service]);
    }
    fake.set("s99", &[7]);
    until(&mut watches[99], "a change through the feed", |seen| ports(seen) == [7]).await;
    let reset = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
    fake.mode(Mode::Raw(reset.into()));
    for watch in &mut watches {
        until(watch, "stale", |seen| !live(seen)).await;
    }
    fake.mode(Mode::Serve);
    for watch in &mut watches {
        until(watch, "live again", live).await;
    }
    assert!(fake.busy_max() <= 8, "{} queries at once", fake.busy_max());
    assert!(fake.open() <= 16, "{} connections", fake.open());
    drop(watches);
    account(&source, "all watches end", <[_]>::is_empty).await;
}

#[tokio::test]
async fn d16_d17_broken_answers_of_every_kind_change_nothing() {
    let entry = r#"[{"Node":{"Address":"127.0.0.1"},"Service":{"ID":"x","Port":9}}]"#;
    let json = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Consul-Index: 99\r\n";
    let zipped = format!("{json}Content-Encoding: gzip\r\nContent-Length: {}\r\n\r\n{entry}", entry.len());
    let cases = [
        (
            "malformed",
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>".to_owned(),
        ),
        ("malformed", zipped),
        ("malformed", format!("{json}Content-Length: 7\r\n\r\n[{{\"No\":")),
        ("unreachable", format!("{json}Content-Length: 500\r\n\r\n{entry}")),
        ("unreachable", format!("{json}Transfer-Encoding: chunked\r\n\r\n5\r\n[{{\"No")),
        ("unreachable", "not http at all\r\n\r\n".to_owned()),
        ("unreachable", String::new()),
        ("too_large", format!("{json}Content-Length: 20000\r\n\r\n[{}]", " ".repeat(19_998))),
        (
            "throttled",
            "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n".to_owned(),
        ),
        (
            "status",
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_owned(),
        ),
    ];
    for (kind, bytes) in cases {
        let fake = Fake::start().await;
        fake.set("web", &[1, 2]);
        let mut bounded = settings(&fake.url());
        bounded.client.body_bytes_max = 10_000;
        let source = source(bounded);
        let mut watch = source.watch(&query("web"));
        until(&mut watch, "the first answer", live).await;
        fake.mode(Mode::Raw(bytes.clone().into()));
        account(&source, &bytes, |status| errors(status, kind) >= 2).await;
        let kept = watch.current().expect("a set");
        assert_eq!((ports(&kept), live(&kept)), (vec![1, 2], false), "{bytes}");
        fake.mode(Mode::Serve);
        until(&mut watch, "live again", live).await;
    }
}

#[tokio::test]
async fn d16_a_server_that_never_answers_is_left_after_the_timeout() {
    let fake = Fake::start().await;
    fake.mode(Mode::Hang);
    let mut hurried = settings(&fake.url());
    hurried.client.margin = Duration::from_millis(100);
    let source = source(hurried);
    let _watch = source.watch(&query("web"));
    account(&source, "timeouts", |status| errors(status, "timeout") >= 2).await;
}

#[tokio::test]
async fn d27_one_service_that_fails_keeps_its_set_and_the_others_go_on() {
    let fake = Fake::start().await;
    fake.set("web", &[1]);
    fake.set("api", &[5]);
    let source = source(settings(&fake.url()));
    let (mut web, mut api) = (source.watch(&query("web")), source.watch(&query("api")));
    until(&mut web, "the first answer", live).await;
    until(&mut api, "the first answer", live).await;
    fake.mode(Mode::Break("web".into()));
    fake.set("web", &[1]);
    fake.set("api", &[6]);
    until(&mut api, "the change", |seen| ports(seen) == [6] && live(seen)).await;
    let kept = until(&mut web, "stale", |seen| !live(seen)).await;
    assert_eq!(ports(&kept), [1]);
}

#[tokio::test]
async fn d25_tls_is_verified_against_the_given_ca_only() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let pem = issued.cert.pem();
    let key = rustls::pki_types::PrivateKeyDer::try_from(issued.signing_key.serialize_der()).expect("a key");
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .expect("a server");
    let fake = Fake::start_tls(tokio_rustls::TlsAcceptor::from(Arc::new(config))).await;
    fake.set("web", &[1]);
    let trusting = |address: String, ca: &str| {
        let mut settings = settings(&address);
        settings.client.ca_pem = Some(ca.as_bytes().to_vec());
        source(settings)
    };
    let good = trusting(format!("https://localhost:{}", fake.address.port()), &pem);
    let mut watch = good.watch(&query("web"));
    until(&mut watch, "the first answer over TLS", live).await;
    let wrong_name = trusting(format!("https://{}", fake.address), &pem);
    let stranger = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let wrong_ca = trusting(format!("https://localhost:{}", fake.address.port()), &stranger.cert.pem());
    for source in [wrong_name, wrong_ca] {
        let watch = source.watch(&query("web"));
        account(&source, "refused", |status| errors(status, "unreachable") >= 2).await;
        assert_eq!(watch.current(), None);
    }
}

#[tokio::test]
async fn what_is_asked_for_is_asked_of_consul() {
    let fake = Fake::start().await;
    let mut stale = settings(&fake.url());
    stale.query.consistency = portcullis_discovery::consul::query::Consistency::Stale;
    stale.client.datacenter = Some("dc1".into());
    let source = source(stale);
    let tagged = ServiceQuery { tag: Some("a b".into()), datacenter: Some("dc2".into()), ..query("web") };
    let mut watch = source.watch(&tagged);
    until(&mut watch, "an empty set", |seen| seen.set.is_empty()).await;
    let mut other = source.watch(&query("api"));
    until(&mut other, "an empty set", |seen| seen.set.is_empty()).await;
    let requests = fake.requests();
    assert!(requests.contains(&"/v1/health/service/web?dc=dc2&tag=a+b&stale".to_owned()), "{requests:?}");
    assert!(requests.contains(&"/v1/health/service/api?dc=dc1&stale".to_owned()), "{requests:?}");
}
