//! The guard's own last word on a connection: a problem answer, then an orderly close.
//!
//! Decides the bytes of the answer and how long the close may take. What the client still sends is read and thrown
//! away for a moment, because closing on unread bytes makes the kernel reset the connection and the client
//! lose the answer (RFC 9112 §9.6).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use portcullis_core::outcome::{Answer, Rejection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Guard;
use super::read::Stage;
use super::transport::Transport;
use super::write::Outbox;
use crate::listener::refusal::{Refusal, RefusalCause};

/// How long writing the answer and waiting for the client's own close may take together.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// What is read and thrown away at most while waiting for the client's close, in bytes.
const DISCARD_MAX_BYTES: usize = 256 * 1024;

/// Our name in `Proxy-Status`.
const GATEWAY: &str = "portcullis";

/// What is left to do before the connection may be dropped.
#[derive(Debug)]
pub(super) enum Farewell {
    /// The outbox is being written and the sending side closed; the client owes us nothing.
    Closing,
    /// The same, while the client may still be sending.
    Answering,
    /// Closed on our side; reading until the client closes too.
    Discarding {
        /// Bytes thrown away so far.
        discarded: usize,
    },
}

impl Farewell {
    /// Goes on until nothing is left; errors mean that the client is gone already, which is as good.
    pub(super) fn poll_finish(
        &mut self,
        outbox: &mut Outbox,
        transport: &mut Transport,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if let Self::Closing | Self::Answering = self {
            let written = ready!(poll_close(outbox, transport, cx));
            if written.is_err() || matches!(self, Self::Closing) {
                return Poll::Ready(());
            }
            *self = Self::Discarding { discarded: 0 };
        }
        let mut waste = [0; 4096];
        while let Self::Discarding { discarded } = self {
            let mut waste = ReadBuf::new(&mut waste);
            let read = ready!(Pin::new(&mut *transport).poll_read(cx, &mut waste));
            *discarded += waste.filled().len();
            if read.is_err() || waste.filled().is_empty() || *discarded > DISCARD_MAX_BYTES {
                break;
            }
        }
        Poll::Ready(())
    }
}

impl Guard {
    /// Answers for Pingora, which will see no more than the end of the connection.
    pub(super) fn refuse(&mut self, rejection: &Rejection) {
        let request_id = self.sink.request_id();
        let (answer, bytes) = answer_bytes(rejection, &request_id, &self.inbox);
        self.sink.refused(&Refusal {
            listener: &self.info.listener,
            client: self.info.client,
            cause: RefusalCause::Request,
            status: Some(answer.status),
            code: answer.code,
            detail: answer.detail,
            request_id: Some(&request_id),
        });
        self.outbox.append(&bytes);
        self.begin_farewell(Farewell::Answering);
    }

    /// The app has closed the connection: only a message that was cut short leaves the client sending.
    pub(super) fn hang_up(&mut self) {
        self.begin_farewell(if self.is_cut_short() { Farewell::Answering } else { Farewell::Closing });
    }

    /// Whether the client may still be sending what nobody will read.
    pub(super) fn is_cut_short(&self) -> bool {
        !self.inbox.is_empty() || matches!(self.stage, Stage::Body | Stage::Broken(_) | Stage::Farewell(_))
    }

    pub(super) fn begin_farewell(&mut self, farewell: Farewell) {
        if !matches!(self.stage, Stage::Farewell(_) | Stage::Closed) {
            self.inbox = BytesMut::new();
            self.cleared = 0;
            self.stage = Stage::Farewell(farewell);
            self.timer.set(FAREWELL_MAX);
        }
    }

    pub(super) fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Stage::Farewell(farewell) = &mut self.stage else { return Poll::Ready(()) };
        let finished = farewell.poll_finish(&mut self.outbox, &mut self.transport, cx).is_ready();
        if !finished && !self.timer.poll_expired(cx) {
            return Poll::Pending;
        }
        self.stage = Stage::Closed;
        Poll::Ready(())
    }
}

fn poll_close(outbox: &mut Outbox, transport: &mut Transport, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    ready!(outbox.poll_flush(transport, cx))?;
    Pin::new(transport).poll_shutdown(cx)
}

/// The whole answer to a head that was refused, as HTTP/1.1 bytes. `head` is what the client sent so far: a HEAD
/// request gets no body.
fn answer_bytes(rejection: &Rejection, request_id: &str, head: &[u8]) -> (Answer, Vec<u8>) {
    let answer = rejection.answer();
    let body = answer.problem_json(request_id);
    let mut bytes = Vec::with_capacity(512 + body.len());
    bytes.extend_from_slice(format!("HTTP/1.1 {} {}\r\n", answer.status.as_u16(), answer.title).as_bytes());
    for (name, value) in answer.problem_headers(GATEWAY, None) {
        push_field(&mut bytes, name.as_str(), value.as_bytes());
    }
    push_field(&mut bytes, "content-length", body.len().to_string().as_bytes());
    push_field(&mut bytes, "x-request-id", request_id.as_bytes());
    push_field(&mut bytes, "date", pingora_core::protocols::http::date::get_cached_date().as_bytes());
    push_field(&mut bytes, "connection", b"close");
    bytes.extend_from_slice(b"\r\n");
    if !head.starts_with(b"HEAD ") {
        bytes.extend_from_slice(&body);
    }
    (answer, bytes)
}

fn push_field(bytes: &mut Vec<u8>, name: &str, value: &[u8]) {
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(b": ");
    bytes.extend_from_slice(value);
    bytes.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_whole_message_and_head_gets_no_body() {
        let rejection = Rejection::Malformed { reason: "a line ends without CR" };
        let (answer, bytes) = answer_bytes(&rejection, "r-1", b"GET / HTTP/1.1\n");
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(answer.status, 400);
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"));
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())));
        assert!(head.contains("\r\ncontent-type: application/problem+json\r\n"));
        assert!(head.contains("\r\nx-request-id: r-1\r\n"));
        assert!(head.ends_with("\r\nconnection: close"));
        assert!(body.contains("a line ends without CR"));
        let (_, bytes) = answer_bytes(&rejection, "r-1", b"HEAD / HTTP/1.1\n");
        assert!(bytes.ends_with(b"\r\n\r\n"));
    }
}
