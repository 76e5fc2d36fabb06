//! A Consul of a few lines that misbehaves on command. It speaks HTTP/1.1 over real sockets, holds blocking
//! queries as Consul does, and counts its connections.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure of the test's server is the test's failure"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the server does with a request.
#[derive(Debug, Clone, Default)]
pub(crate) enum Mode {
    /// Answers from its services.
    #[default]
    Serve,
    /// Writes these bytes and closes.
    Raw(Vec<u8>),
    /// Never answers.
    Hang,
    /// Answers only requests with this token, others with 403.
    Token(String),
    /// Answers 500 for this service and serves the others.
    Break(String),
}

#[derive(Debug, Default)]
struct World {
    mode: Mode,
    services: BTreeMap<String, (u64, Vec<u16>)>,
    requests: Vec<String>,
}

#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    index: watch::Sender<u64>,
    open: AtomicUsize,
    busy: AtomicUsize,
    busy_max: AtomicUsize,
}

/// The server; it stops when dropped.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _server: JoinSet<()>,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        Self::listen("127.0.0.1:0".parse().unwrap(), None).await
    }

    pub(crate) async fn start_tls(acceptor: tokio_rustls::TlsAcceptor) -> Self {
        Self::listen("127.0.0.1:0".parse().unwrap(), Some(acceptor)).await
    }

    /// The same address with nothing known and an index that begins again, as an agent restarts.
    pub(crate) async fn restart(self, index: u64) -> Self {
        let address = self.address;
        drop(self);
        let fake = Self::listen(address, None).await;
        fake.shared.index.send_replace(index);
        fake
    }

    async fn listen(address: SocketAddr, acceptor: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = bind(address).await;
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            world: Mutex::default(),
            index: watch::channel(10).0,
            open: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            busy_max: AtomicUsize::new(0),
        });
        let mut server = JoinSet::new();
        server.spawn(accept(listener, acceptor, Arc::clone(&shared)));
        Self { address, shared, _server: server }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the ports of a service, all passing, and moves the index.
    pub(crate) fn set(&self, service: &str, ports: &[u16]) {
        self.shared.index.send_modify(|index| {
            *index += 1;
            let entry = (*index, ports.to_vec());
            self.shared.world.lock().unwrap().services.insert(service.to_owned(), entry);
        });
    }

    pub(crate) fn mode(&self, mode: Mode) {
        self.shared.world.lock().unwrap().mode = mode;
        // Held queries are let go, so that the new mode is felt at once.
        self.shared.index.send_modify(|index| *index += 1);
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.shared.world.lock().unwrap().requests.clone()
    }

    pub(crate) fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// The most requests that were ever being answered or held at once.
    pub(crate) fn busy_max(&self) -> usize {
        self.shared.busy_max.load(Ordering::SeqCst)
    }
}

async fn bind(address: SocketAddr) -> TcpListener {
    for _ in 0..200 {
        if let Ok(listener) = TcpListener::bind(address).await {
            return listener;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{address} stays taken");
}

async fn accept(listener: TcpListener, acceptor: Option<tokio_rustls::TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        while connections.try_join_next().is_some() {}
        let (shared, acceptor) = (Arc::clone(&shared), acceptor.clone());
        connections.spawn(async move {
            let _closed = Counted::new(&shared.open);
            match acceptor {
                None => serve(stream, &shared).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, &shared).await;
                    }
                }
            }
        });
    }
}

/// One more for as long as it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) {
    let mut buffer = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = buffer.drain(..end + 4).collect();
                break String::from_utf8(head).unwrap();
            }
            let mut chunk = [0; 4096];
            match stream.read(&mut chunk).await {
                Ok(n @ 1..) => buffer.extend_from_slice(&chunk[..n]),
                Ok(0) | Err(_) => return,
            }
        };
        let busy = Counted::new(&shared.busy);
        shared.busy_max.fetch_max(shared.busy.load(Ordering::SeqCst), Ordering::SeqCst);
        let mut probe = [0; 1];
        let answered = tokio::select! {
            reply = reply(&head, shared) => reply,
            // A held query whose client has gone is over.
            _ = stream.read(&mut probe) => return,
        };
        drop(busy);
        let Some((bytes, close)) = answered else { return };
        if stream.write_all(&bytes).await.is_err() || close {
            let _ = stream.shutdown().await;
            return;
        }
    }
}

async fn reply(head: &str, shared: &Shared) -> Option<(Vec<u8>, bool)> {
    let target = head.split(' ').nth(1)?.to_owned();
    shared.world.lock().unwrap().requests.push(target.clone());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let parameter = |name: &str| {
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|p| p.1)
    };
    let asked: u64 = parameter("index").map_or(0, |text| text.parse().unwrap());
    let wait = parameter("wait").and_then(|text| text.strip_suffix("ms")?.parse().ok()).unwrap_or(0);
    let service = path.strip_prefix("/v1/health/service/");
    let mode = shared.world.lock().unwrap().mode.clone();
    let refused = |status: &str, text: &str| {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        Some((head.into_bytes(), false))
    };
    match &mode {
        Mode::Raw(bytes) => return Some((bytes.clone(), true)),
        Mode::Hang => std::future::pending().await,
        Mode::Token(token) => {
            let sent = head.lines().find_map(|line| line.strip_prefix("x-consul-token: "));
            if sent != Some(token) {
                return refused("403 Forbidden", "ACL not found");
            }
        }
        Mode::Break(broken) if Some(broken.as_str()) == service => {
            return refused("500 Internal Server Error", "rpc error");
        }
        Mode::Serve | Mode::Break(_) => {}
    }
    hold(shared, service, asked, Duration::from_millis(wait)).await;
    let mode = shared.world.lock().unwrap().mode.clone();
    if let Mode::Raw(bytes) = mode {
        return Some((bytes, true));
    }
    let index = index_of(shared, service);
    let body = match (service, path) {
        (Some(service), _) => entries(shared, service),
        (None, "/v1/health/state/any") => checks(shared),
        (None, _) => "{}".to_owned(),
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Consul-Index: {index}\r\n\
         X-Consul-Knownleader: true\r\nX-Consul-Lastcontact: 0\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    Some((head.into_bytes(), false))
}

/// Waits as a blocking query does: until the index is beyond the asked one, or the wait is over.
async fn hold(shared: &Shared, service: Option<&str>, asked: u64, wait: Duration) {
    if asked == 0 {
        return;
    }
    let mut changes = shared.index.subscribe();
    let beyond = async {
        while index_of(shared, service) <= asked && !matches!(shared.world.lock().unwrap().mode, Mode::Raw(_))
        {
            let _ = changes.changed().await;
        }
    };
    let _ = tokio::time::timeout(wait, beyond).await;
}

fn index_of(shared: &Shared, service: Option<&str>) -> u64 {
    let index = *shared.index.borrow();
    match service {
        None => index,
        Some(name) => shared.world.lock().unwrap().services.get(name).map_or(index, |(own, _)| *own),
    }
}

fn entries(shared: &Shared, service: &str) -> String {
    let world = shared.world.lock().unwrap();
    let ports = world.services.get(service).map(|(_, ports)| ports.clone()).unwrap_or_default();
    let entry = |port: &u16| {
        format!(
            r#"{{"Node":{{"Node":"n1","Address":"127.0.0.1","Datacenter":"dc1"}},"Service":{{"ID":"{service}-{port}",
            "Service":"{service}","Port":{port}}},"Checks":[{{"CheckID":"c","Status":"passing"}}]}}"#
        )
    };
    format!("[{}]", ports.iter().map(entry).collect::<Vec<_>>().join(","))
}

fn checks(shared: &Shared) -> String {
    let world = shared.world.lock().unwrap();
    let lines = world.services.iter().flat_map(|(service, (_, ports))| {
        ports.iter().map(move |port| {
            format!(
                r#"{{"Node":"n1","CheckID":"c{port}","Status":"passing","ServiceID":"{port}","ServiceName":"{service}"}}"#
            )
        })
    });
    format!("[{}]", lines.collect::<Vec<_>>().join(","))
}
