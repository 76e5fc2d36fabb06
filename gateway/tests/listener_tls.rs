//! TLS and HTTP/2 through a real listener: certificates by name, versions, ALPN, reload, preface and GOAWAY.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod listener_support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use listener_support::{
    Gateway, field, plain, read_reply, read_to_end, secure, soon, talk, until, write_certificate,
};
use portcullis::listener::{Alpn, Limits, ListenerSpec, TlsSpec, TlsVersion};
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Which certificate is shown is what these tests look at, not whether anybody vouches for it.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

async fn connect(
    address: SocketAddr,
    name: &str,
    versions: &[&'static rustls::SupportedProtocolVersion],
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone))
            .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    soon(TlsConnector::from(Arc::new(config)).connect(name, tcp)).await
}

async fn shown(address: SocketAddr, name: &str) -> Vec<u8> {
    let tls = connect(address, name, rustls::DEFAULT_VERSIONS, &[]).await.unwrap();
    tls.get_ref().1.peer_certificates().unwrap().first().unwrap().to_vec()
}

type Sender = hyper::client::conn::http2::SendRequest<Empty<Bytes>>;

#[expect(clippy::disallowed_methods, reason = "ends with the connection")]
async fn http2(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> (Sender, tokio::task::JoinHandle<hyper::Result<()>>) {
    let (sender, connection) =
        soon(hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io))).await.unwrap();
    (sender, tokio::spawn(connection))
}

async fn get(sender: &mut Sender, uri: &str) -> (http::response::Parts, String) {
    let request = http::Request::get(uri).body(Empty::new()).unwrap();
    let (parts, body) = soon(sender.send_request(request)).await.unwrap().into_parts();
    let body = soon(body.collect()).await.unwrap().to_bytes();
    (parts, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn http1_over_tls_knows_its_server_name() {
    let dir = tempfile::tempdir().unwrap();
    let (files, _) = write_certificate(dir.path(), "a", &["a.test"]);
    let gateway = Gateway::start(vec![secure("tls", vec![files])]);
    let mut tls =
        connect(gateway.address("tls"), "A.test", rustls::DEFAULT_VERSIONS, &["http/1.1"]).await.unwrap();
    for n in 0..2 {
        tls.write_all(format!("GET /{n} HTTP/1.1\r\nHost: a.test\r\n\r\n").as_bytes()).await.unwrap();
        let (head, body) = read_reply(&mut tls).await;
        assert_eq!(body, format!("GET /{n} []"));
        assert_eq!((field(&head, "x-tls"), field(&head, "x-sni")), (Some("true"), Some("a.test")));
    }
    tls.write_all(b"GET / HTTP/1.1\nHost: a.test\r\n\r\n").await.unwrap();
    assert!(read_to_end(&mut tls).await.starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn alpn_chooses_http2_and_its_streams_know_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let (files, _) = write_certificate(dir.path(), "a", &["a.test"]);
    let gateway = Gateway::start(vec![secure("tls", vec![files])]);
    let tls = connect(gateway.address("tls"), "a.test", rustls::DEFAULT_VERSIONS, &["h2", "http/1.1"])
        .await
        .unwrap();
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (mut sender, _connection) = http2(tls).await;
    for n in 0..3 {
        let (head, body) = get(&mut sender, &format!("https://a.test/{n}")).await;
        assert_eq!(body, format!("GET /{n} []"));
        assert_eq!(head.headers.get("x-sni").unwrap(), "a.test");
        assert_eq!(head.headers.get("x-listener").unwrap(), "tls");
    }
}

#[tokio::test]
async fn http2_by_prior_knowledge_shares_the_plain_port_with_http1() {
    let gateway = Gateway::start(vec![plain("web")]);
    let tcp = TcpStream::connect(gateway.address("web")).await.unwrap();
    let (mut sender, _connection) = http2(tcp).await;
    let (head, body) = get(&mut sender, "http://h/two").await;
    assert_eq!(
        (body.as_str(), head.headers.get("x-tls").unwrap().to_str().unwrap()),
        ("GET /two []", "false")
    );
    let reply =
        talk(gateway.address("web"), b"GET /one HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    assert!(reply.ends_with("GET /one []"), "{reply}");
}

#[tokio::test]
async fn a_preface_that_never_ends_is_closed_at_its_deadline() {
    let limits = Limits {
        head_timeout: Duration::from_millis(100),
        preface_timeout: Duration::from_millis(100),
        ..Limits::default()
    };
    let dir = tempfile::tempdir().unwrap();
    let (files, _) = write_certificate(dir.path(), "a", &["a.test"]);
    let gateway = Gateway::start(vec![
        ListenerSpec { limits: limits.clone(), ..plain("web") },
        ListenerSpec { limits, ..secure("tls", vec![files]) },
    ]);
    let mut tcp = TcpStream::connect(gateway.address("web")).await.unwrap();
    tcp.write_all(&PREFACE[..20]).await.unwrap();
    assert_eq!(read_to_end(&mut tcp).await, "");
    let mut tls = connect(gateway.address("tls"), "a.test", rustls::DEFAULT_VERSIONS, &["h2"]).await.unwrap();
    tls.write_all(&PREFACE[..20]).await.unwrap();
    read_to_end(&mut tls).await;
    until(|| gateway.set.in_flight().count() == 0).await;
}

#[tokio::test]
async fn a_silent_http2_connection_is_closed_in_the_end() {
    let limits = Limits { silence_timeout: Duration::from_millis(100), ..Limits::default() };
    let gateway = Gateway::start(vec![ListenerSpec { limits, ..plain("web") }]);
    let tcp = TcpStream::connect(gateway.address("web")).await.unwrap();
    let (mut sender, connection) = http2(tcp).await;
    get(&mut sender, "http://h/1").await;
    let _how = soon(connection).await.unwrap();
}

#[tokio::test]
async fn a_drain_tells_http2_to_go_away_and_finishes_its_streams() {
    let gateway = Gateway::start(vec![plain("web")]);
    let tcp = TcpStream::connect(gateway.address("web")).await.unwrap();
    let (mut sender, connection) = http2(tcp).await;
    let request = http::Request::get("http://h/slow").body(Empty::<Bytes>::new()).unwrap();
    let reply = sender.send_request(request);
    until(|| gateway.seen().len() == 1).await;
    gateway.stop.send_replace(true);
    until(|| gateway.set.listening().is_empty()).await;
    gateway.app.gate.notify_one();
    assert_eq!(soon(reply).await.unwrap().status(), 200);
    soon(connection).await.unwrap().unwrap();
    soon(gateway.running).await.unwrap();
}

#[tokio::test]
async fn certificates_are_chosen_by_server_name() {
    let dir = tempfile::tempdir().unwrap();
    let (first, first_der) = write_certificate(dir.path(), "first", &["first.test"]);
    let (exact, exact_der) = write_certificate(dir.path(), "exact", &["www.shop.test"]);
    let (wild, wild_der) = write_certificate(dir.path(), "wild", &["*.shop.test", "shop.test"]);
    let gateway = Gateway::start(vec![secure("tls", vec![first, exact, wild])]);
    let address = gateway.address("tls");
    for (name, expected) in [
        ("first.test", &first_der),
        ("www.shop.test", &exact_der),
        ("WWW.Shop.Test", &exact_der),
        ("api.shop.test", &wild_der),
        ("shop.test", &wild_der),
        ("deep.api.shop.test", &first_der),
        ("unknown.test", &first_der),
        ("127.0.0.1", &first_der),
    ] {
        assert!(&shown(address, name).await == expected, "{name}");
    }
}

#[tokio::test]
async fn renewed_files_are_used_by_new_handshakes_and_bad_ones_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let (files, old) = write_certificate(dir.path(), "a", &["a.test"]);
    let specs = vec![secure("tls", vec![files.clone()])];
    let gateway = Gateway::start(specs.clone());
    let address = gateway.address("tls");
    let mut before = connect(address, "a.test", rustls::DEFAULT_VERSIONS, &[]).await.unwrap();
    assert!(gateway.set.reload_certificates().replaced.is_empty());

    let (_, new) = write_certificate(dir.path(), "a", &["a.test"]);
    let report = gateway.set.reload_certificates();
    assert_eq!((report.replaced, report.refused.len()), (vec!["tls".into()], 0));
    assert!(shown(address, "a.test").await == new && new != old);
    before.write_all(b"GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    assert_eq!(read_reply(&mut before).await.1, "GET /x []", "a connection outlives its certificate");

    let (_, _) = write_certificate(dir.path(), "b", &["a.test"]);
    std::fs::copy(dir.path().join("b.key"), &files.key).unwrap();
    let report = gateway.set.reload_certificates();
    let words = report.refused.first().unwrap().1.to_string();
    assert!(words.contains("does not belong to the certificate"), "{words}");
    assert!(gateway.set.reload_certificates().refused.is_empty(), "the same bad write is reported once");
    assert!(gateway.set.apply(specs.clone()).is_err(), "a reload says it again");
    assert!(shown(address, "a.test").await == new);

    let (_, newest) = write_certificate(dir.path(), "a", &["a.test"]);
    gateway.set.apply(specs).unwrap();
    assert!(shown(address, "a.test").await == newest, "a reload reads the files too");
}

#[tokio::test]
async fn unusable_files_are_named_with_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let (good, _) = write_certificate(dir.path(), "good", &["a.test"]);
    let (other, _) = write_certificate(dir.path(), "other", &["a.test"]);
    let broken = dir.path().join("broken.pem");
    let gateway = Gateway::start(Vec::new());
    let said = |cert: &std::path::Path, key: &std::path::Path| {
        let files = portcullis::listener::CertificateFiles { cert: cert.to_owned(), key: key.to_owned() };
        gateway.set.apply(vec![secure("tls", vec![files])]).unwrap_err().to_string()
    };
    assert!(said(&good.cert, &other.key).contains("does not belong"));
    assert!(said(&good.key, &good.key).contains("good.key` holds no certificate"));
    assert!(said(&good.cert, &good.cert).contains("good.pem` holds no private key"));
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n").unwrap();
    assert!(said(&broken, &good.key).contains("broken.pem` is not valid PEM"));
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert!(said(&broken, &good.key).contains("cannot be used"));
    let none = gateway.set.apply(vec![secure("tls", Vec::new())]).unwrap_err().to_string();
    assert!(none.contains("at least one certificate"), "{none}");
}

#[tokio::test]
async fn versions_below_the_minimum_are_refused_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let (files, _) = write_certificate(dir.path(), "a", &["a.test"]);
    let tls = TlsSpec { min_version: TlsVersion::Tls13, ..TlsSpec::new(vec![files.clone()]) };
    let strict = ListenerSpec { tls: Some(tls), ..plain("strict") };
    let gateway = Gateway::start(vec![strict, secure("usual", vec![files])]);
    let old = &[&rustls::version::TLS12];
    assert!(connect(gateway.address("strict"), "a.test", old, &[]).await.is_err());
    assert!(connect(gateway.address("usual"), "a.test", old, &[]).await.is_ok());
    assert!(connect(gateway.address("strict"), "a.test", rustls::DEFAULT_VERSIONS, &[]).await.is_ok());
    until(|| gateway.refused() == ["strict tls_handshake - tls_handshake"]).await;
}

#[tokio::test]
async fn a_listener_that_offers_only_http1_speaks_it() {
    let dir = tempfile::tempdir().unwrap();
    let (files, _) = write_certificate(dir.path(), "a", &["a.test"]);
    let tls = TlsSpec { alpn: vec![Alpn::Http1], ..TlsSpec::new(vec![files]) };
    let gateway = Gateway::start(vec![ListenerSpec { tls: Some(tls), ..plain("tls") }]);
    let both = &["h2", "http/1.1"];
    let tls = connect(gateway.address("tls"), "a.test", rustls::DEFAULT_VERSIONS, both).await.unwrap();
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
}

#[tokio::test]
async fn a_handshake_that_stalls_is_closed_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let (files, _) = write_certificate(dir.path(), "a", &["a.test"]);
    let limits = Limits { tls_handshake_timeout: Duration::from_millis(100), ..Limits::default() };
    let gateway = Gateway::start(vec![ListenerSpec { limits, ..secure("tls", vec![files]) }]);
    let mut tcp = TcpStream::connect(gateway.address("tls")).await.unwrap();
    tcp.write_all(b"\x16\x03\x01").await.unwrap();
    assert_eq!(read_to_end(&mut tcp).await, "");
    assert_eq!(gateway.refused(), ["tls tls_handshake_timeout - tls_handshake_timeout"]);
}
