//! Sockets in: our own accept loop, as a Pingora service over any Pingora [`ServerApp`].
//!
//! Decides when to accept, when to wait and when to stop; gives each connection its seat under the caps and its task.
//! Never reads a byte of a connection: that is `connection.rs` (TLS) and `guard/` (HTTP).

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use futures_util::FutureExt;
use pingora_core::apps::ServerApp;
use pingora_core::server::{ListenFds, ShutdownWatch};
use pingora_core::services::{ServiceReadyNotifier, ServiceWithDependents};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tracing::{info, warn};

use super::connection::{self, Arrival};
use super::gauge::{InFlight, Seat};
use super::refusal::{Refusal, RefusalCause};
use super::set::{Bound, ListenerSet, Live};

/// How often certificate files are looked at.
pub const CERTIFICATE_POLL: Duration = Duration::from_secs(30);

/// The first and the longest pause after an accept that failed for want of file descriptors or memory.
const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(10);
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Connections taken from the kernel's backlog after a listener was told to stop, so that none of them is reset.
const BACKLOG_DRAIN_MAX: usize = 4096;

/// TCP keep-alive: a peer that vanished without a FIN is noticed after about two minutes, below any HTTP deadline.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(20);
const KEEPALIVE_PROBES: u32 = 3;

/// The Pingora service that serves `app` on every listener of a [`ListenerSet`].
///
/// Runs until its shutdown watch turns; then stops accepting at once, lets the connections drain, and returns when
/// the last one is closed. Whoever runs it decides how long that may take.
#[derive(Debug)]
pub struct ListenerService<A> {
    app: Arc<A>,
    set: ListenerSet,
}

impl<A> ListenerService<A> {
    /// Serves `app` on the listeners of `set`, which may change at any time.
    #[must_use]
    pub fn new(app: Arc<A>, set: ListenerSet) -> Self {
        Self { app, set }
    }
}

impl<A: ServerApp + Send + Sync + 'static> ListenerService<A> {
    /// Serves until `shutdown` turns true and every connection is closed.
    pub async fn run(&self, mut shutdown: ShutdownWatch) {
        let certificates = watch_certificates(self.set.clone());
        tokio::pin!(certificates);
        loop {
            self.start_bound();
            tokio::select! {
                biased;
                () = turned(&mut shutdown) => break,
                () = self.set.changed() => {}
                () = &mut certificates => {}
            }
        }
        self.set.drain();
        self.set.in_flight().idle().await;
        self.app.cleanup().await;
    }

    fn start_bound(&self) {
        for bound in self.set.take_starting() {
            let listener = bound.live.load().name.clone();
            match Acceptor::new(self.app.clone(), self.set.clone(), bound) {
                Ok(acceptor) => spawn(acceptor.run()),
                Err(refusal) => warn!(%listener, error = %refusal, "a bound socket cannot be used"),
            }
        }
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> ServiceWithDependents for ListenerService<A> {
    async fn start_service(
        &mut self,
        _fds: Option<ListenFds>,
        shutdown: ShutdownWatch,
        _listeners_per_fd: usize,
        ready: ServiceReadyNotifier,
    ) {
        self.start_bound();
        ready.notify_ready();
        self.run(shutdown).await;
    }

    fn name(&self) -> &'static str {
        "listeners"
    }
}

/// Starts a task on the service's runtime; it ends when its listener or its connection does.
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    // Pingora's handle and not `tokio::spawn`: without work stealing it spreads tasks over the service's threads.
    drop(pingora_runtime::current_handle().spawn(task));
}

/// Resolves once `watch` is true, or its sender gone: then too nobody wants the work any more.
pub(super) async fn turned(watch: &mut watch::Receiver<bool>) {
    let _gone = watch.wait_for(|turned| *turned).await.map(drop);
}

async fn watch_certificates(set: ListenerSet) {
    let mut tick = tokio::time::interval(CERTIFICATE_POLL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tick.tick().await;
    loop {
        tick.tick().await;
        let set = set.clone();
        let looked = tokio::task::spawn_blocking(move || set.reload_certificates()).await;
        let Ok(report) = looked else { continue };
        for listener in report.replaced {
            info!(%listener, "new certificates in use");
        }
        for (listener, refusal) in report.refused {
            warn!(%listener, error = %refusal, "new certificate files cannot be used, the old certificates stay");
        }
    }
}

/// One listener's accept loop.
struct Acceptor<A> {
    app: Arc<A>,
    set: ListenerSet,
    socket: TcpListener,
    /// The port it is bound to.
    port: u16,
    live: Arc<ArcSwap<Live>>,
    in_flight: InFlight,
    drain: watch::Receiver<bool>,
    pause: Duration,
}

impl<A: ServerApp + Send + Sync + 'static> Acceptor<A> {
    fn new(app: Arc<A>, set: ListenerSet, bound: Bound) -> io::Result<Self> {
        let Bound { socket, address, live, in_flight, drain } = bound;
        let socket = TcpListener::from_std(socket)?;
        let port = address.port();
        Ok(Self { app, set, socket, port, live, in_flight, drain, pause: ACCEPT_PAUSE_MIN })
    }

    async fn run(mut self) {
        let mut stop = self.drain.clone();
        loop {
            tokio::select! {
                biased;
                () = turned(&mut stop) => break,
                accepted = self.socket.accept() => self.take(accepted).await,
            }
        }
        // What the kernel has already shaken hands with is served: closing the socket would reset it.
        for _ in 0..BACKLOG_DRAIN_MAX {
            match self.socket.accept().now_or_never() {
                Some(Ok((tcp, client))) => self.admit(tcp, client),
                Some(Err(_)) | None => return,
            }
        }
    }

    async fn take(&mut self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        match accepted {
            Ok((tcp, client)) => {
                self.pause = ACCEPT_PAUSE_MIN;
                self.admit(tcp, client);
            }
            Err(failure) if concerns_one_connection(&failure) => {}
            Err(failure) => {
                let listener = &self.live.load().name.clone();
                warn!(%listener, error = %failure, pause_ms = self.pause.as_millis(), "cannot accept, waiting");
                tokio::time::sleep(self.pause).await;
                self.pause = (self.pause * 2).min(ACCEPT_PAUSE_MAX);
            }
        }
    }

    /// Gives the connection a seat and a task, or closes it at once: a client that is told soon can go elsewhere.
    fn admit(&self, tcp: TcpStream, client: SocketAddr) {
        let live = self.live.load_full();
        let process = self.set.in_flight();
        let seat = Seat::take(
            (&process, self.set.max_connections()),
            (&self.in_flight, live.limits.max_connections),
        );
        let Some(seat) = seat else {
            drop(tcp);
            return self.report_full(&live, client);
        };
        prepare(&tcp);
        let (port, drain, sink) = (self.port, self.drain.clone(), self.set.sink().clone());
        let arrival = Arrival { tcp, client, port, live, drain, sink, seat };
        spawn(connection::serve(self.app.clone(), arrival));
    }

    fn report_full(&self, live: &Live, client: SocketAddr) {
        self.set.sink().refused(&Refusal {
            listener: &live.name,
            client,
            cause: RefusalCause::ConnectionCap,
            status: None,
            code: RefusalCause::ConnectionCap.as_str(),
            detail: "the connection cap is reached".into(),
            request_id: None,
        });
    }
}

/// Socket options are hints: a peer that is already gone shows at the first read.
fn prepare(tcp: &TcpStream) {
    let _gone = tcp.set_nodelay(true);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_PROBES);
    let _gone = SockRef::from(tcp).set_tcp_keepalive(&keepalive);
}

/// Whether accept failed because of the connection it took off the queue: the next one may be fine at once.
fn concerns_one_connection(failure: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    [ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted].contains(&failure.kind())
}
