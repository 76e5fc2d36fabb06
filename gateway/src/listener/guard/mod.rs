//! The guard on a client's connection: nothing reaches Pingora that has more than one interpretation.
//!
//! Decides which bytes are passed on (asking `portcullis_core::framing`), what is answered here and now, and when a
//! connection has been silent for too long. Never routes, never looks at a reply but for the 101 that ends HTTP.
//! HTTP/2 passes untouched, under deadlines: its framing is checked by the h2 crate, its heads in `proxy/`.

mod io;
mod peek;
mod read;
mod refuse;
mod timer;
mod transport;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;

use bytes::BytesMut;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{ALPN, SocketDigest, TimingDigest};
use portcullis_core::framing::Scanner;

use crate::clock;

use super::carried::carrying;
use super::connection::ConnectionInfo;
use super::limits::Limits;
use super::refusal::RefusalSink;
use read::Stage;
use timer::Timer;
pub(super) use transport::Transport;
use write::{Outbox, ReplyWatch};

pub(super) use io::GuardedIo;
pub use read::BrokenBody;

/// Set when the connection's listener drains: no request begins any more.
#[derive(Debug, Clone, Default)]
pub(super) struct Drain(Arc<AtomicBool>);

impl Drain {
    /// The guard sees it at its next read; whoever sets it must poll the connection's task afterwards.
    pub(super) fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The state of one connection; [`GuardedIo`] is its face to Pingora.
///
/// On HTTP/1, one message at a time is passed on: the next head is released when Pingora has begun a new session
/// (it then asks for the timing digest), so pipelined requests are answered in order, each judged on its own, and
/// nothing behind an `Upgrade` is read as a request or as a tunnel before the answer has decided which it is.
struct Guard {
    transport: Transport,
    limits: Limits,
    sink: Arc<dyn RefusalSink>,
    drain: Drain,
    info: Arc<ConnectionInfo>,

    stage: Stage,
    scanner: Scanner,
    /// Received and not yet passed on. The first `cleared` bytes may be.
    inbox: BytesMut,
    cleared: usize,
    heads_released: u64,
    /// HTTP sessions Pingora has begun on this connection.
    sessions_begun: AtomicU64,
    upgrade_asked: bool,
    /// A byte has travelled since the silence deadline was last set.
    active: bool,
    timer: Timer,
    /// A read that waits for something other than the transport.
    parked: Option<Waker>,

    outbox: Outbox,
    reply: ReplyWatch,
    digests: Digests,
}

/// What Pingora asks a connection about itself; shared, because it asks with every request.
struct Digests {
    alpn: Option<ALPN>,
    tls: Option<Arc<SslDigest>>,
    socket: Arc<SocketDigest>,
    proxy: Option<Arc<ProxyDigest>>,
    timing: TimingDigest,
}

impl Guard {
    /// Guards `transport`; the head deadline runs from now.
    fn new(
        transport: Transport,
        info: Arc<ConnectionInfo>,
        limits: &Limits,
        sink: Arc<dyn RefusalSink>,
        drain: Drain,
    ) -> Self {
        let digests = Digests::of(&transport, &info);
        let mut timer = Timer::default();
        let stage = if digests.alpn == Some(ALPN::H2) {
            timer.set(limits.preface_timeout);
            Stage::preface()
        } else {
            timer.set(limits.head_timeout);
            Stage::Head
        };
        Self {
            transport,
            limits: limits.clone(),
            sink,
            drain,
            info,
            stage,
            scanner: Scanner::new(limits.head),
            inbox: BytesMut::new(),
            cleared: 0,
            heads_released: 0,
            sessions_begun: AtomicU64::new(0),
            upgrade_asked: false,
            active: false,
            timer,
            parked: None,
            outbox: Outbox::default(),
            reply: ReplyWatch::default(),
            digests,
        }
    }

    /// The reply's head is about to be written: a 101 to a request that asked for it ends HTTP here.
    fn watch_reply(&mut self, buf: &[u8]) {
        if self.reply.sees_switch(buf) && self.upgrade_asked {
            self.enter_tunnel();
        }
    }
}

impl Digests {
    fn of(transport: &Transport, info: &Arc<ConnectionInfo>) -> Self {
        let socket = SocketDigest::from_raw_fd(transport.fd());
        let _fresh = socket.peer_addr.set(Some(SocketAddr::Inet(info.client)));
        Self {
            alpn: transport.alpn(),
            tls: transport.tls_digest(),
            socket: Arc::new(socket),
            proxy: carrying(info.clone()).ok().map(Arc::new),
            timing: TimingDigest { established_ts: clock::system_time(), ..TimingDigest::default() },
        }
    }
}
