//! Which protocol a plain connection speaks: HTTP/2 by prior knowledge, or HTTP/1.
//!
//! Decides at the first byte that differs from the preface (RFC 9113 §3.4), so that a request shorter than the
//! preface does not wait for bytes that never come.

use std::io;
use std::task::{Context, Poll, ready};

use super::Guard;
use super::read::{Filled, Stage};

/// What an HTTP/2 client sends first.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Guard {
    /// The preface if the connection begins with it, nothing if it does not.
    ///
    /// # Errors
    /// The client closed, or said nothing that decides it before the head deadline.
    pub(super) fn poll_protocol(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&'static [u8]>> {
        loop {
            if self.inbox.starts_with(PREFACE) {
                self.enter_http2();
                return Poll::Ready(Ok(PREFACE));
            }
            if !PREFACE.starts_with(&self.inbox) {
                return Poll::Ready(Ok(&[]));
            }
            match ready!(self.poll_fill(cx)) {
                Filled::Bytes => {}
                // What came is judged as HTTP/1, which will find it wanting.
                Filled::End if !self.inbox.is_empty() => return Poll::Ready(Ok(&[])),
                Filled::End | Filled::Drained => return self.closed(io::ErrorKind::UnexpectedEof),
                Filled::Late => return self.closed(io::ErrorKind::TimedOut),
                Filled::Failed(failure) => return Poll::Ready(Err(failure)),
            }
        }
    }

    fn closed<T>(&mut self, kind: io::ErrorKind) -> Poll<io::Result<T>> {
        self.stage = Stage::Closed;
        Poll::Ready(Err(kind.into()))
    }
}
