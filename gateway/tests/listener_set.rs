//! Listeners that come and go: all or nothing, caps, and an end that loses no request.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod listener_support;

use std::net::SocketAddr;
use std::time::Duration;

use listener_support::{
    Gateway, field, plain, read_reply, read_to_end, soon, talk, until, write_certificate,
};
use portcullis::listener::{ApplyError, CertificateFiles, Limits, ListenerSpec, TlsSpec};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn listeners_are_added_and_removed_while_others_go_on() {
    let gateway = Gateway::start(vec![plain("a")]);
    let mut kept_alive = TcpStream::connect(gateway.address("a")).await.unwrap();
    kept_alive.write_all(b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    read_reply(&mut kept_alive).await;

    let applied = gateway.set.apply(vec![plain("a"), plain("b")]).unwrap();
    assert_eq!((applied.added, applied.kept), (vec!["b".into()], vec!["a".into()]));
    let (a, b) = (gateway.address("a"), gateway.address("b"));
    assert_eq!(field(&talk(b, REQUEST).await, "x-listener"), Some("b"));
    kept_alive.write_all(b"GET /2 HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    read_reply(&mut kept_alive).await;

    let applied = gateway.set.apply(vec![plain("b")]).unwrap();
    assert_eq!(applied.removed, vec!["a".into()]);
    assert_eq!(read_to_end(&mut kept_alive).await, "", "an idle connection of a removed listener is closed");
    soon(async { while TcpStream::connect(a).await.is_ok() {} }).await;
    assert!(talk(b, REQUEST).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_set_with_one_address_taken_changes_nothing() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = Gateway::start(vec![plain("a")]);
    let conflicting = ListenerSpec { address: taken.local_addr().unwrap(), ..plain("c") };
    let refusal = gateway.set.apply(vec![plain("b"), conflicting]).unwrap_err();
    let ApplyError::Bind(refusal) = refusal else { panic!("{refusal}") };
    assert_eq!(refusal.listener.as_ref(), "c");
    assert_eq!(refusal.address, taken.local_addr().unwrap());
    let port = taken.local_addr().unwrap().port().to_string();
    assert!(refusal.help.contains(&port) && refusal.to_string().contains("`c`"), "{refusal}");
    let names: Vec<_> = gateway.set.listening().into_iter().map(|listening| listening.name).collect();
    assert_eq!(names, ["a".into()]);
    assert!(talk(gateway.address("a"), REQUEST).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_set_with_one_unusable_certificate_changes_nothing() {
    let gateway = Gateway::start(vec![plain("a")]);
    let missing = CertificateFiles { cert: "/nowhere/c.pem".into(), key: "/nowhere/c.key".into() };
    let secure = ListenerSpec { tls: Some(TlsSpec::new(vec![missing])), ..plain("c") };
    let refusal = gateway.set.apply(vec![plain("b"), secure]).unwrap_err();
    assert!(refusal.to_string().contains("listener `c`: cannot read `/nowhere/c.pem`"), "{refusal}");
    assert_eq!(gateway.set.listening().len(), 1);
}

#[tokio::test]
async fn a_name_or_an_address_twice_is_refused_by_name() {
    let gateway = Gateway::start(vec![plain("a")]);
    let refusal = gateway.set.apply(vec![plain("b"), plain("b")]).unwrap_err();
    assert_eq!(refusal.to_string(), "two listeners have the name `b`");
    let address = SocketAddr::from(([127, 0, 0, 1], 9));
    let twice = ["c", "d"].map(|name| ListenerSpec { address, ..plain(name) });
    let refusal = gateway.set.apply(twice.to_vec()).unwrap_err();
    assert_eq!(refusal.to_string(), "two listeners have the address `127.0.0.1:9`");
}

#[tokio::test]
async fn limits_and_tls_of_a_kept_listener_change_in_place() {
    let gateway = Gateway::start(vec![plain("a")]);
    let address = gateway.address("a");
    let limits = Limits { head_timeout: Duration::from_millis(50), ..Limits::default() };
    let applied = gateway.set.apply(vec![ListenerSpec { limits, ..plain("a") }]).unwrap();
    assert_eq!(applied.changed, vec!["a".into()]);
    assert_eq!(gateway.address("a"), address);
    let mut silent = TcpStream::connect(address).await.unwrap();
    assert_eq!(read_to_end(&mut silent).await, "");

    let dir = tempfile::tempdir().unwrap();
    let (files, _) = write_certificate(dir.path(), "a", &["a.test"]);
    let tls = Some(TlsSpec::new(vec![files]));
    gateway.set.apply(vec![ListenerSpec { tls, ..plain("a") }]).unwrap();
    assert_eq!(gateway.address("a"), address);
    let reply = talk(address, REQUEST).await;
    assert!(!reply.starts_with("HTTP"), "plain HTTP on a TLS listener: {reply}");
}

#[tokio::test]
async fn connections_over_a_cap_are_closed_at_once_and_counted() {
    for (process, listener) in [(2, 100), (100, 2)] {
        let limits = Limits { max_connections: listener, ..Limits::default() };
        let gateway = Gateway::start_with(vec![ListenerSpec { limits, ..plain("a") }], process);
        let address = gateway.address("a");
        let held = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        until(|| gateway.set.in_flight().count() == 2).await;
        let mut third = TcpStream::connect(address).await.unwrap();
        assert_eq!(read_to_end(&mut third).await, "");
        until(|| gateway.refused() == ["a connection_cap - connection_cap"]).await;
        drop(held);
        until(|| gateway.set.in_flight().count() == 0).await;
        assert!(talk(address, REQUEST).await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn a_drain_closes_idle_connections_finishes_requests_and_ends_the_service() {
    let gateway = Gateway::start(vec![plain("a")]);
    let address = gateway.address("a");
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    read_reply(&mut idle).await;
    let mut busy = TcpStream::connect(address).await.unwrap();
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    until(|| gateway.seen().len() == 2).await;

    gateway.stop.send_replace(true);
    assert_eq!(read_to_end(&mut idle).await, "");
    soon(async { while TcpStream::connect(address).await.is_ok() {} }).await;
    assert_eq!(gateway.set.in_flight().count(), 1);
    assert!(!gateway.running.is_finished());
    assert!(matches!(gateway.set.apply(vec![plain("b")]), Err(ApplyError::Draining)));

    gateway.app.gate.notify_one();
    let (head, body) = read_reply(&mut busy).await;
    assert_eq!(body, "GET /slow []");
    assert!(field(&head, "connection").is_some());
    assert_eq!(read_to_end(&mut busy).await, "");
    soon(gateway.set.in_flight().idle()).await;
    soon(gateway.running).await.unwrap();
}

#[tokio::test]
async fn a_connection_made_just_before_the_drain_may_still_ask_once() {
    let gateway = Gateway::start(vec![plain("a")]);
    let mut fresh = TcpStream::connect(gateway.address("a")).await.unwrap();
    until(|| gateway.set.in_flight().count() == 1).await;
    gateway.stop.send_replace(true);
    fresh.write_all(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    assert_eq!(read_reply(&mut fresh).await.1, "GET /x []");
    soon(gateway.running).await.unwrap();
}
