//! A gateway that is only listeners: a tiny echo app behind the real accept loop and guard, and raw clients.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::apps::{HttpPersistentSettings, HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::ShutdownWatch;
use pingora_http::ResponseHeader;
use portcullis::listener::{
    BrokenBody, CertificateFiles, Limits, ListenerService, ListenerSet, ListenerSpec, Refusal, RefusalSink,
    TlsSpec, connection_info,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// Longer than anything here may take; reached only by a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Answers every request with what it saw of it.
#[derive(Default)]
pub(crate) struct Echo {
    options: HttpServerOptions,
    pub(crate) seen: Mutex<Vec<String>>,
    pub(crate) failures: Mutex<Vec<String>>,
    /// Requests to `/slow` wait for it.
    pub(crate) gate: Notify,
}

#[async_trait]
impl HttpServerApp for Echo {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if !matches!(session.read_request().await, Ok(true)) {
            return None;
        }
        let keepalive = if *shutdown.borrow() { None } else { Some(75) };
        session.set_keepalive(keepalive);
        let target = session.req_header().raw_path().to_vec();
        let target = format!("{} {}", session.req_header().method, String::from_utf8_lossy(&target));
        self.seen.lock().unwrap().push(target.clone());
        if target.ends_with("/switch") {
            self.switch(&mut session).await;
            return None;
        }
        let Ok(body) = self.read_body(&mut session).await else {
            session.shutdown().await;
            return None;
        };
        if target.contains("/slow") {
            self.gate.notified().await;
        }
        reply(&mut session, format!("{target} [{body}]")).await;
        let settings = HttpPersistentSettings::for_session(&session);
        let reusable = session.finish().await.ok()??;
        Some(ReusedHttpStream::from_reusable_stream(reusable, settings))
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}

impl Echo {
    async fn read_body(&self, session: &mut ServerSession) -> Result<String, ()> {
        let mut body = Vec::new();
        loop {
            match session.read_request_body().await {
                Ok(Some(part)) => body.extend_from_slice(&part),
                Ok(None) => return Ok(String::from_utf8_lossy(&body).into_owned()),
                Err(failure) => {
                    let io = failure.cause.as_ref().and_then(|cause| cause.downcast_ref::<std::io::Error>());
                    let broken = io.and_then(|io| io.get_ref()).and_then(|e| e.downcast_ref::<BrokenBody>());
                    let words = broken.map_or_else(|| failure.to_string(), |broken| broken.to_string());
                    self.failures.lock().unwrap().push(words);
                    return Err(());
                }
            }
        }
    }

    async fn switch(&self, session: &mut ServerSession) {
        self.gate.notified().await;
        let mut head = ResponseHeader::build(101, None).unwrap();
        head.insert_header("upgrade", "websocket").unwrap();
        head.insert_header("connection", "upgrade").unwrap();
        session.write_response_header(Box::new(head)).await.unwrap();
        while let Ok(Some(part)) = session.read_request_body().await {
            session.write_response_body(part, false).await.unwrap();
        }
        session.shutdown().await;
    }
}

async fn reply(session: &mut ServerSession, body: String) {
    let mut head = ResponseHeader::build(200, None).unwrap();
    head.insert_header("content-length", body.len()).unwrap();
    let digest = match (session.as_http1(), session.as_http2()) {
        (Some(h1), _) => Some(h1.digest()),
        (_, Some(h2)) => h2.digest(),
        (None, None) => None,
    };
    if let Some(info) = digest.and_then(connection_info) {
        head.insert_header("x-listener", info.listener.as_ref()).unwrap();
        head.insert_header("x-client", info.client.to_string()).unwrap();
        head.insert_header("x-tls", info.tls.to_string()).unwrap();
        head.insert_header("x-sni", info.server_name.as_deref().unwrap_or("-")).unwrap();
    }
    let client = session.client_addr().map(ToString::to_string).unwrap_or_default();
    head.insert_header("x-peer", client).unwrap();
    session.write_response_header(Box::new(head)).await.unwrap();
    let _gone = session.write_response_body(body.into(), true).await;
}

/// Remembers what was refused.
#[derive(Default)]
pub(crate) struct Recorder(pub(crate) Mutex<Vec<String>>);

impl RefusalSink for Recorder {
    fn request_id(&self) -> String {
        "id-1".to_owned()
    }

    fn refused(&self, refusal: &Refusal<'_>) {
        let status = refusal.status.map_or("-".to_owned(), |status| status.as_u16().to_string());
        let line = format!("{} {} {} {}", refusal.listener, refusal.cause.as_str(), status, refusal.code);
        self.0.lock().unwrap().push(line);
    }
}

/// A running set of listeners.
pub(crate) struct Gateway {
    pub(crate) set: ListenerSet,
    pub(crate) app: Arc<Echo>,
    pub(crate) refusals: Arc<Recorder>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) running: JoinHandle<()>,
}

impl Gateway {
    pub(crate) fn start(specs: Vec<ListenerSpec>) -> Self {
        Self::start_with(specs, 1000)
    }

    #[expect(clippy::disallowed_methods, reason = "ended by the stop watch, or with the test's runtime")]
    pub(crate) fn start_with(specs: Vec<ListenerSpec>, max_connections: usize) -> Self {
        let refusals = Arc::new(Recorder::default());
        let set = ListenerSet::with_max_connections(refusals.clone(), max_connections);
        set.apply(specs).unwrap();
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        let app = Arc::new(Echo { options, ..Echo::default() });
        let service = ListenerService::new(app.clone(), set.clone());
        let (stop, watch) = watch::channel(false);
        let running = tokio::spawn(async move { service.run(watch).await });
        Self { set, app, refusals, stop, running }
    }

    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        let listening = self.set.listening();
        listening.iter().find(|listener| listener.name.as_ref() == name).unwrap().address
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.app.seen.lock().unwrap().clone()
    }

    pub(crate) fn refused(&self) -> Vec<String> {
        self.refusals.0.lock().unwrap().clone()
    }
}

pub(crate) fn plain(name: &str) -> ListenerSpec {
    ListenerSpec {
        name: name.into(),
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        tls: None,
        limits: Limits::default(),
    }
}

pub(crate) fn secure(name: &str, certificates: Vec<CertificateFiles>) -> ListenerSpec {
    ListenerSpec { tls: Some(TlsSpec::new(certificates)), ..plain(name) }
}

/// Writes a fresh self-signed certificate for `names` as `<stem>.pem` and `<stem>.key`; returns its DER too.
pub(crate) fn write_certificate(dir: &Path, stem: &str, names: &[&str]) -> (CertificateFiles, Vec<u8>) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let files =
        CertificateFiles { cert: dir.join(format!("{stem}.pem")), key: dir.join(format!("{stem}.key")) };
    std::fs::write(&files.cert, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    (files, made.cert.der().to_vec())
}

/// Fails the test instead of hanging it.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("took longer than the test's patience")
}

/// Polls until `condition` holds.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// Sends `request` whole and reads until the gateway closes.
pub(crate) async fn talk(address: SocketAddr, request: &[u8]) -> String {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(request).await.unwrap();
    read_to_end(&mut client).await
}

/// Reads until the gateway closes; a reset ends it too, with what came before.
pub(crate) async fn read_to_end(client: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let _reset = soon(client.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads one reply with a content length: head and body.
pub(crate) async fn read_reply(client: &mut (impl AsyncRead + Unpin)) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(client.read_u8()).await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let length = field(&head, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    soon(client.read_exact(&mut body)).await.unwrap();
    (head, String::from_utf8(body).unwrap())
}

/// A field's value in a head, name in any case.
pub(crate) fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}
