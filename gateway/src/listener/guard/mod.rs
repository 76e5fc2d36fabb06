//! The guard on a client's connection: nothing reaches Pingora that has more than one interpretation.
//!
//! Decides which bytes are passed on (asking `portcullis_core::framing`), what is answered here and now, and when a
//! connection has been silent for too long. Never routes, never looks at a reply but for the 101 that ends HTTP.
//! HTTP/2 passes untouched, under deadlines: its framing is checked by the h2 crate, its heads in `proxy/`.

mod peek;
mod read;
mod refuse;
mod timer;
mod transport;
mod write;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use bytes::BytesMut;
use http::StatusCode;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType,
};
use pingora_http::ResponseHeader;
use portcullis_core::framing::{self, Scanner};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::clock;

use super::connection::ConnectionInfo;
use super::limits::Limits;
use super::refusal::RefusalSink;
use read::Stage;
use timer::Timer;
pub(super) use transport::Transport;
use write::{Outbox, ReplyWatch};

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

/// A client's connection as Pingora sees it.
///
/// On HTTP/1, one message at a time is passed on: the next head is released when Pingora has begun a new session
/// (it then asks for the timing digest), so pipelined requests are answered in order, each judged on its own, and
/// nothing behind an `Upgrade` is read as a request or as a tunnel before the answer has decided which it is.
pub(super) struct GuardedIo {
    transport: Transport,
    limits: Limits,
    sink: Arc<dyn RefusalSink>,
    drain: Drain,
    info: ConnectionInfo,

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

impl GuardedIo {
    /// Guards `transport`; the head deadline runs from now.
    pub(super) fn new(
        transport: Transport,
        info: ConnectionInfo,
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
            scanner: Scanner::new(framing::Limits::default()),
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
    fn of(transport: &Transport, info: &ConnectionInfo) -> Self {
        let socket = SocketDigest::from_raw_fd(transport.fd());
        let _fresh = socket.peer_addr.set(Some(SocketAddr::Inet(info.client)));
        // The head of a reply that nobody gave: the digest's type wants one, its user data is what travels.
        let carrier = ResponseHeader::build_no_case(StatusCode::OK, Some(0)).ok();
        let proxy =
            carrier.map(|head| Arc::new(ProxyDigest::new(Box::new(head), Some(Box::new(info.clone())))));
        Self {
            alpn: transport.alpn(),
            tls: transport.tls_digest(),
            socket: Arc::new(socket),
            proxy,
            timing: TimingDigest { established_ts: clock::system_time(), ..TimingDigest::default() },
        }
    }
}

impl AsyncRead for GuardedIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_guarded(cx, buf)
    }
}

impl AsyncWrite for GuardedIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.active = true;
        if this.stage.is_http2() {
            return Pin::new(&mut this.transport).poll_write(cx, buf);
        }
        this.watch_reply(buf);
        this.outbox.poll_write(&mut this.transport, cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.active = true;
        if this.stage.is_http2() {
            return Pin::new(&mut this.transport).poll_write_vectored(cx, bufs);
        }
        if let Some(first) = bufs.iter().find(|buf| !buf.is_empty()) {
            this.watch_reply(first);
        }
        this.outbox.poll_write_vectored(&mut this.transport, cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.outbox.poll_flush(&mut this.transport, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        std::task::ready!(this.outbox.poll_flush(&mut this.transport, cx))?;
        Pin::new(&mut this.transport).poll_shutdown(cx)
    }
}

impl Drop for GuardedIo {
    /// What was written but not flushed goes out if the socket takes it at once, as with Pingora's own streams.
    fn drop(&mut self) {
        let mut nobody = Context::from_waker(Waker::noop());
        let _too_late = self.outbox.poll_flush(&mut self.transport, &mut nobody);
    }
}

#[async_trait]
impl Shutdown for GuardedIo {
    /// Closes our side and, if the client may still be sending, reads on for a moment so that it sees the answer.
    async fn shutdown(&mut self) {
        self.hang_up();
        std::future::poll_fn(|cx| self.poll_farewell(cx)).await;
    }
}

#[async_trait]
impl Peek for GuardedIo {
    /// Fills `buf` with the HTTP/2 preface if the connection begins with it; leaves `buf` alone as soon as it is
    /// known not to, however few bytes there are.
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        let preface = std::future::poll_fn(|cx| self.poll_protocol(cx)).await?;
        for (to, from) in buf.iter_mut().zip(preface) {
            *to = *from;
        }
        Ok(true)
    }
}

impl UniqueID for GuardedIo {
    fn id(&self) -> UniqueIDType {
        self.transport.fd()
    }
}

impl Ssl for GuardedIo {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.digests.tls.clone()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.digests.alpn.clone()
    }
}

impl GetTimingDigest for GuardedIo {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        // Every HTTP/1 session of Pingora asks once, when it begins: the signal that the last exchange is over.
        self.sessions_begun.fetch_add(1, Ordering::Relaxed);
        vec![Some(self.digests.timing.clone())]
    }
}

impl GetProxyDigest for GuardedIo {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.digests.proxy.clone()
    }
}

impl GetSocketDigest for GuardedIo {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.digests.socket.clone())
    }
}

impl std::fmt::Debug for GuardedIo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuardedIo")
            .field("info", &self.info)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}
