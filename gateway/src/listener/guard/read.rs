//! The way in: bytes are held until the scanner vouches for them, then passed on, one message at a time.
//!
//! Decides the stage of the connection and its deadlines. A head is passed on whole or not at all; a body as it
//! comes, until a byte of its framing is wrong.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use portcullis_core::framing::{HeadSummary, Step, UpgradeAsk, Violation};
use portcullis_core::outcome::Rejection;
use tokio::io::{AsyncRead, ReadBuf};

use super::Guard;
use super::peek::PREFACE;
use super::refuse::Farewell;

/// What one read takes from the transport at most, in bytes.
const READ_BYTES: usize = 16 * 1024;

/// What is held of the next message while the one in hand is being answered, in bytes.
const HELD_MAX_BYTES: usize = 16 * 1024;

/// How long a connection that has not asked anything yet may do so after a drain began: closing it at once would fail
/// a client that connected a moment ago.
const FIRST_REQUEST_IN_DRAIN: Duration = Duration::from_secs(1);

/// Where the connection is.
#[derive(Debug)]
pub(super) enum Stage {
    /// Between messages, or in a head that is not whole yet.
    Head,
    /// In a body.
    Body,
    /// The message is over; the next is held until the app has begun a new session.
    Held,
    /// HTTP/2, so many bytes before the end of its preface.
    Preface {
        /// Bytes of the preface still to come.
        missing: usize,
    },
    /// HTTP/2: everything passes.
    Http2,
    /// After a 101: everything passes.
    Tunnel,
    /// A rule was broken in a body: reads fail.
    Broken(Violation),
    /// An answer of our own, or the close, is on its way; reads end when it is done.
    Farewell(Farewell),
    /// Nothing is read any more.
    Closed,
}

impl Stage {
    /// HTTP/2 before its preface.
    pub(super) const fn preface() -> Self {
        Self::Preface { missing: PREFACE.len() }
    }

    pub(super) const fn is_http2(&self) -> bool {
        matches!(self, Self::Preface { .. } | Self::Http2)
    }
}

/// The error of a read in a body whose framing broke a rule. It is the source of Pingora's `ReadError`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body's framing broke a rule: {0}")]
pub struct BrokenBody(pub Violation);

/// What an attempt to read more brought.
pub(super) enum Filled {
    /// The inbox grew.
    Bytes,
    /// The client closed its side.
    End,
    /// The deadline passed.
    Late,
    /// The listener drains and no request has begun.
    Drained,
    /// The transport failed.
    Failed(io::Error),
}

impl Guard {
    /// `AsyncRead::poll_read`, with every byte vouched for.
    pub(super) fn poll_guarded(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.cleared > 0 {
                self.hand_out(out);
                return Poll::Ready(Ok(()));
            }
            let done = match &self.stage {
                Stage::Head => ready!(self.poll_head(cx)),
                Stage::Body => ready!(self.poll_body(cx, out))?,
                Stage::Held => ready!(self.poll_held(cx)),
                Stage::Preface { .. } | Stage::Http2 | Stage::Tunnel => return self.poll_through(cx, out),
                Stage::Broken(violation) => return Poll::Ready(Err(broken(*violation))),
                Stage::Farewell(_) => {
                    ready!(self.poll_farewell(cx));
                    true
                }
                Stage::Closed => true,
            };
            if done {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn hand_out(&mut self, out: &mut ReadBuf<'_>) {
        let len = self.cleared.min(out.remaining());
        out.put_slice(self.inbox.get(..len).unwrap_or_default());
        self.inbox.advance(len);
        self.cleared -= len;
        if self.inbox.is_empty() {
            // Most connections are idle most of the time: an empty inbox keeps no memory.
            self.inbox = BytesMut::new();
        }
        self.settle();
    }

    /// Notices the end of a message with its last byte, not with a read that may never come.
    fn settle(&mut self) {
        let all_out = matches!(self.stage, Stage::Body) && self.cleared == 0 && self.inbox.is_empty();
        if all_out && matches!(self.scanner.push(&[]), Ok(Step::MessageEnd)) {
            self.stage = Stage::Held;
        }
    }

    /// True: the reader is told that the connection has ended.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if !self.inbox.is_empty() {
            match self.scanner.push(&self.inbox) {
                Ok(Step::Head { len, summary }) => {
                    self.release_head(len, summary);
                    return Poll::Ready(false);
                }
                Ok(Step::Skip { len }) => {
                    self.inbox.advance(len);
                    return Poll::Ready(false);
                }
                Ok(Step::NeedMore | Step::Body { .. } | Step::MessageEnd | Step::Tunnel { .. }) => {}
                Err(violation) => {
                    self.refuse(&violation.rejection());
                    return Poll::Ready(false);
                }
            }
        }
        match ready!(self.poll_fill(cx)) {
            Filled::Bytes => Poll::Ready(false),
            Filled::Late if !self.inbox.is_empty() => {
                self.refuse(&Rejection::RequestTimeout);
                Poll::Ready(false)
            }
            // Half a head and then nothing, or nothing at all: there is nobody to answer.
            Filled::End | Filled::Late | Filled::Drained | Filled::Failed(_) => {
                self.begin_farewell(Farewell::Closing);
                Poll::Ready(false)
            }
        }
    }

    fn release_head(&mut self, len: usize, summary: HeadSummary) {
        self.cleared = len;
        self.heads_released += 1;
        self.upgrade_asked = summary.upgrade == UpgradeAsk::WebSocket;
        self.reply.expect();
        self.timer.clear();
        self.stage = Stage::Body;
    }

    /// Body bytes: those in the inbox first, then straight from the transport into the reader's buffer.
    fn poll_body(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        match self.scanner.push(&self.inbox) {
            Ok(Step::Body { len }) => {
                self.cleared = len;
                return Poll::Ready(Ok(false));
            }
            Ok(Step::MessageEnd) => {
                self.stage = Stage::Held;
                return Poll::Ready(Ok(false));
            }
            Ok(Step::NeedMore | Step::Head { .. } | Step::Skip { .. } | Step::Tunnel { .. }) => {}
            Err(violation) => return Poll::Ready(Err(self.break_body(violation))),
        }
        if !self.inbox.is_empty() {
            // Part of a chunk line or trailer: it must be whole before it passes.
            return match ready!(self.poll_fill(cx)) {
                Filled::Bytes => Poll::Ready(Ok(false)),
                Filled::Failed(failure) => Poll::Ready(Err(failure)),
                Filled::End | Filled::Late | Filled::Drained => Poll::Ready(Ok(true)),
            };
        }
        let before = out.filled().len();
        ready!(Pin::new(&mut self.transport).poll_read(cx, out))?;
        Poll::Ready(self.judge_in_place(out, before))
    }

    /// Judges body bytes that were read into the reader's own buffer, and takes back those that must wait.
    fn judge_in_place(&mut self, out: &mut ReadBuf<'_>, before: usize) -> io::Result<bool> {
        let read = out.filled().get(before..).unwrap_or_default();
        if read.is_empty() {
            return Ok(true);
        }
        let sound = match self.scanner.push(read) {
            Ok(Step::Body { len }) => len,
            Ok(
                Step::NeedMore
                | Step::MessageEnd
                | Step::Head { .. }
                | Step::Skip { .. }
                | Step::Tunnel { .. },
            ) => 0,
            Err(violation) => {
                out.set_filled(before);
                return Err(self.break_body(violation));
            }
        };
        self.inbox.extend_from_slice(read.get(sound..).unwrap_or_default());
        out.set_filled(before + sound);
        self.settle();
        Ok(sound > 0)
    }

    fn break_body(&mut self, violation: Violation) -> io::Error {
        self.stage = Stage::Broken(violation);
        broken(violation)
    }

    /// A read while the request is being answered: it only serves to notice that the client has gone.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.sessions_begun.load(Ordering::Relaxed) > self.heads_released {
            self.begin_session();
            return Poll::Ready(false);
        }
        while self.inbox.len() < HELD_MAX_BYTES {
            match self.poll_fill(cx) {
                Poll::Ready(Filled::Bytes) => {}
                // With another request waiting, a closed sending side is no hang-up: it is answered first.
                Poll::Ready(Filled::End | Filled::Failed(_)) if !self.inbox.is_empty() => break,
                Poll::Ready(Filled::End | Filled::Failed(_)) => return Poll::Ready(true),
                Poll::Ready(Filled::Late | Filled::Drained) | Poll::Pending => break,
            }
        }
        self.park(cx);
        Poll::Pending
    }

    /// The app has finished an exchange and waits for the next request.
    fn begin_session(&mut self) {
        self.stage = Stage::Head;
        let span = if self.inbox.is_empty() { self.limits.idle_timeout } else { self.limits.head_timeout };
        self.timer.set(span);
    }

    /// HTTP/2 and tunnels: what was read to find that out, then everything else.
    fn poll_through(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.inbox.is_empty() {
            self.cleared = self.inbox.len();
            self.hand_out(out);
            return Poll::Ready(Ok(()));
        }
        let before = out.filled().len();
        let read = Pin::new(&mut self.transport).poll_read(cx, out);
        if read.is_ready() {
            self.count_preface(out.filled().len() - before);
            self.active = true;
            return read;
        }
        while self.timer.poll_expired(cx) {
            // A preface has one deadline for all of it; later, any byte since the last look counts.
            if !self.active || matches!(self.stage, Stage::Preface { .. }) {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.active = false;
            self.timer.set(self.limits.silence_timeout);
        }
        Poll::Pending
    }

    fn count_preface(&mut self, read: usize) {
        if let Stage::Preface { missing } = &mut self.stage {
            *missing = missing.saturating_sub(read);
            if *missing == 0 {
                self.enter_http2();
            }
        }
    }

    pub(super) fn enter_http2(&mut self) {
        self.stage = Stage::Http2;
        self.timer.set(self.limits.silence_timeout);
    }

    pub(super) fn enter_tunnel(&mut self) {
        self.scanner.tunnel();
        self.stage = Stage::Tunnel;
        self.timer.set(self.limits.silence_timeout);
        self.unpark();
    }

    /// Reads more into the inbox, under the deadline and the drain of the stage.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Filled> {
        let mut space = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut space = ReadBuf::uninit(&mut space);
        match Pin::new(&mut self.transport).poll_read(cx, &mut space) {
            Poll::Ready(Err(failure)) => return Poll::Ready(Filled::Failed(failure)),
            Poll::Ready(Ok(())) if space.filled().is_empty() => return Poll::Ready(Filled::End),
            Poll::Ready(Ok(())) => {
                if self.is_idle() {
                    self.timer.set(self.limits.head_timeout);
                }
                self.inbox.extend_from_slice(space.filled());
                return Poll::Ready(Filled::Bytes);
            }
            Poll::Pending => {}
        }
        if self.is_idle() && self.drain.has_begun() {
            if self.heads_released > 0 {
                return Poll::Ready(Filled::Drained);
            }
            self.timer.bring_forward(FIRST_REQUEST_IN_DRAIN);
        }
        if self.timer.poll_expired(cx) { Poll::Ready(Filled::Late) } else { Poll::Pending }
    }

    fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Head) && self.inbox.is_empty()
    }

    fn park(&mut self, cx: &Context<'_>) {
        match &mut self.parked {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    fn unpark(&mut self) {
        if let Some(waker) = self.parked.take() {
            waker.wake();
        }
    }
}

fn broken(violation: Violation) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, BrokenBody(violation))
}
