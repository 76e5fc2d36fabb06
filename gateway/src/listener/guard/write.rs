//! The way out: small writes become one, and a `101` opens the tunnel.
//!
//! Pingora writes a head, each chunk header and each body piece on its own and flushes where the client must see
//! them; what lies between two flushes is gathered here, so that a small answer is one system call and one TLS record.
//! Never delays past a flush and never changes a byte.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWrite;

use super::transport::Transport;

/// The most that is gathered before it is written without a flush, in bytes.
const OUTBOX_MAX_BYTES: usize = 8 * 1024;

/// Room that is made for an answer when its head comes: most are whole within it.
const OUTBOX_FIRST_BYTES: usize = 2 * 1024;

/// Bytes on their way out.
#[derive(Debug, Default)]
pub(super) struct Outbox(BytesMut);

impl Outbox {
    /// Adds `bytes` whatever their size: for answers of our own, which are small.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Takes `buf` up to its whole length, as `AsyncWrite::poll_write` does.
    pub(super) fn poll_write(
        &mut self,
        transport: &mut Transport,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.0.len() + buf.len() <= OUTBOX_MAX_BYTES {
            if self.0.is_empty() {
                self.0.reserve(OUTBOX_FIRST_BYTES);
            }
            self.0.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        while !self.0.is_empty() {
            let both = [IoSlice::new(&self.0), IoSlice::new(buf)];
            let written = ready!(Pin::new(&mut *transport).poll_write_vectored(cx, &both))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let beyond = written.saturating_sub(self.0.len());
            self.discard(written);
            if beyond > 0 {
                return Poll::Ready(Ok(beyond));
            }
        }
        Pin::new(transport).poll_write(cx, buf)
    }

    /// The same for several slices.
    pub(super) fn poll_write_vectored(
        &mut self,
        transport: &mut Transport,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let total = bufs.iter().map(|buf| buf.len()).sum::<usize>();
        if self.0.len() + total <= OUTBOX_MAX_BYTES {
            for buf in bufs {
                self.0.extend_from_slice(buf);
            }
            return Poll::Ready(Ok(total));
        }
        ready!(self.poll_empty(transport, cx))?;
        Pin::new(transport).poll_write_vectored(cx, bufs)
    }

    /// Writes what was gathered, then flushes the transport.
    pub(super) fn poll_flush(
        &mut self,
        transport: &mut Transport,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_empty(transport, cx))?;
        Pin::new(transport).poll_flush(cx)
    }

    fn poll_empty(&mut self, transport: &mut Transport, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.0.is_empty() {
            let written = ready!(Pin::new(&mut *transport).poll_write(cx, &self.0))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.discard(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Drops what went out; an empty outbox keeps no memory, since most connections are idle.
    fn discard(&mut self, written: usize) {
        if written >= self.0.len() {
            self.0 = BytesMut::new();
        } else {
            self.0.advance(written);
        }
    }
}

/// Watches what is written for the status that turns a connection into a tunnel.
#[derive(Debug, Default)]
pub(super) struct ReplyWatch {
    /// A head was released and its final status not yet written.
    awaited: bool,
}

impl ReplyWatch {
    /// A request went to the app: its reply's head comes next.
    pub(super) fn expect(&mut self) {
        self.awaited = true;
    }

    /// Whether `buf` begins with the head of a 101. Pingora writes each head with one call, so a status line is
    /// never split; other 1xx are not the final head, and a body is not looked at.
    pub(super) fn sees_switch(&mut self, buf: &[u8]) -> bool {
        if !self.awaited {
            return false;
        }
        let Some(b"HTTP/1.") = buf.get(..7) else { return false };
        match buf.get(9..12) {
            Some(b"101") => {
                self.awaited = false;
                true
            }
            Some([b'1', ..]) | None => false,
            Some(_final) => {
                self.awaited = false;
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_awaited_head_of_a_101_opens_the_tunnel() {
        let mut watch = ReplyWatch::default();
        assert!(!watch.sees_switch(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"));
        watch.expect();
        assert!(!watch.sees_switch(b"HTTP/1.1 103 Early Hints\r\n\r\n"));
        assert!(watch.sees_switch(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"));
        watch.expect();
        assert!(!watch.sees_switch(b"HTTP/1.1 200 OK\r\n\r\n"));
        assert!(!watch.sees_switch(b"HTTP/1.1 101 in a body"));
    }
}
