//! The guard as Pingora sees it: one of its `IO` streams.
//!
//! Decides nothing; delegates. When Pingora lets go of a connection while the client is still sending (it drops the
//! stream after an error, answered or not), what is left goes to [`Aftercare`] instead of being reset.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Drain, Guard, Transport};
use crate::listener::connection::ConnectionInfo;
use crate::listener::limits::Limits;
use crate::listener::refusal::RefusalSink;

/// Takes a connection that was dropped while its client was still sending.
#[derive(Clone, Default)]
pub(in crate::listener) struct Aftercare(Arc<Mutex<Option<Box<Guard>>>>);

impl Aftercare {
    /// Closes our side and reads on for a bounded moment, so that the client sees the answer it was given.
    pub(in crate::listener) async fn finish(&self) {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut guard) = left {
            guard.finish().await;
        }
    }
}

/// A client's connection as Pingora holds it.
pub(in crate::listener) struct GuardedIo {
    /// `None` only while being dropped.
    guard: Option<Box<Guard>>,
    aftercare: Aftercare,
}

impl GuardedIo {
    /// Guards `transport`; the head deadline runs from now. Whoever made it calls [`Aftercare::finish`] in the end.
    pub(in crate::listener) fn new(
        transport: Transport,
        info: Arc<ConnectionInfo>,
        limits: &Limits,
        sink: Arc<dyn RefusalSink>,
        drain: Drain,
    ) -> (Self, Aftercare) {
        let guard = Box::new(Guard::new(transport, info, limits, sink, drain));
        let aftercare = Aftercare::default();
        (Self { guard: Some(guard), aftercare: aftercare.clone() }, aftercare)
    }

    fn guard(&mut self) -> io::Result<&mut Guard> {
        self.guard.as_deref_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Guard {
    async fn finish(&mut self) {
        self.hang_up();
        std::future::poll_fn(|cx| self.poll_farewell(cx)).await;
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.active = true;
        if self.stage.is_http2() {
            return Pin::new(&mut self.transport).poll_write(cx, buf);
        }
        self.watch_reply(buf);
        self.outbox.poll_write(&mut self.transport, cx, buf)
    }

    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.active = true;
        if self.stage.is_http2() {
            return Pin::new(&mut self.transport).poll_write_vectored(cx, bufs);
        }
        if let Some(first) = bufs.iter().find(|buf| !buf.is_empty()) {
            self.watch_reply(first);
        }
        self.outbox.poll_write_vectored(&mut self.transport, cx, bufs)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.poll_flush(&mut self.transport, cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}

impl Drop for GuardedIo {
    fn drop(&mut self) {
        let Some(mut guard) = self.guard.take() else { return };
        if guard.is_cut_short() {
            *self.aftercare.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
            return;
        }
        // What was written but not flushed goes out if the socket takes it at once, as with Pingora's own streams.
        let _too_late = guard.poll_flush(&mut Context::from_waker(Waker::noop()));
    }
}

impl AsyncRead for GuardedIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().guard()?.poll_guarded(cx, buf)
    }
}

impl AsyncWrite for GuardedIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().guard()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().guard()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().guard()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().guard()?.poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for GuardedIo {
    /// Closes our side and, if the client may still be sending, reads on for a moment so that it sees the answer.
    async fn shutdown(&mut self) {
        if let Ok(guard) = self.guard() {
            guard.finish().await;
        }
    }
}

#[async_trait]
impl Peek for GuardedIo {
    /// Fills `buf` with the HTTP/2 preface if the connection begins with it; leaves `buf` alone as soon as it is
    /// known not to, however few bytes there are.
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        let guard = self.guard()?;
        let preface = std::future::poll_fn(|cx| guard.poll_protocol(cx)).await?;
        for (to, from) in buf.iter_mut().zip(preface) {
            *to = *from;
        }
        Ok(true)
    }
}

impl UniqueID for GuardedIo {
    fn id(&self) -> UniqueIDType {
        self.guard.as_ref().map_or(-1, |guard| guard.transport.fd())
    }
}

impl Ssl for GuardedIo {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.guard.as_ref()?.digests.tls.clone()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.guard.as_ref()?.digests.alpn.clone()
    }
}

impl GetTimingDigest for GuardedIo {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        let Some(guard) = &self.guard else { return Vec::new() };
        // Every HTTP/1 session of Pingora asks once, when it begins: the signal that the last exchange is over.
        guard.sessions_begun.fetch_add(1, Ordering::Relaxed);
        vec![Some(guard.digests.timing.clone())]
    }
}

impl GetProxyDigest for GuardedIo {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.guard.as_ref()?.digests.proxy.clone()
    }
}

impl GetSocketDigest for GuardedIo {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.guard.as_ref()?.digests.socket.clone())
    }
}

impl std::fmt::Debug for GuardedIo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("GuardedIo");
        if let Some(guard) = &self.guard {
            shown.field("info", &guard.info).field("stage", &guard.stage);
        }
        shown.finish_non_exhaustive()
    }
}
