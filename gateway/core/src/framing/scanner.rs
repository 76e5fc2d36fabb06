//! The walk through a connection: head, body, head, body, and what may be passed on at each moment.
//!
//! Decides where units begin and end and when a limit is reached. Verdicts do not depend on how the bytes were
//! cut into reads: a unit is judged only when it is whole, and a broken byte only when it is reached.

use super::line::{Line, find_end};
use super::{BodyLength, Connection, HeadSummary, Limits, Violation, ViolationKind, chunk, message};

/// What to do with the leading bytes of what was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing is beyond doubt yet. Read more and show the same bytes again, with the new ones behind them.
    NeedMore,
    /// Drop `len` bytes: an empty line before a request, or bytes after a message that closes the connection.
    Skip {
        /// Number of leading bytes, at least 1.
        len: usize,
    },
    /// The first `len` bytes are a whole and sound head: pass them on.
    Head {
        /// Number of leading bytes.
        len: usize,
        /// What it says.
        summary: HeadSummary,
    },
    /// The first `len` bytes are body, framing included: pass them on.
    Body {
        /// Number of leading bytes, at least 1.
        len: usize,
    },
    /// The message is over; nothing is consumed. What follows is another message.
    MessageEnd,
    /// HTTP is over on this connection: pass all `len` bytes on.
    Tunnel {
        /// Number of leading bytes, possibly 0.
        len: usize,
    },
}

/// The scanner of one client connection.
///
/// The caller keeps the bytes that were not yet passed on and shows them with every [`push`](Scanner::push);
/// after a step that names a `len`, that many leading bytes are gone from the next call. No more than
/// [`Limits::head_bytes_max`] bytes (or the other limits, if larger) are ever asked to be kept.
///
/// After a head whose summary asks for an upgrade, the caller should show nothing until it knows the answer:
/// on 101 it calls [`tunnel`](Scanner::tunnel); on any other the bytes are the next request.
#[derive(Debug, Clone)]
pub struct Scanner {
    limits: Limits,
    state: State,
    /// Bytes of the unit in hand that were already looked at.
    scanned: usize,
    /// Whether the message in hand is the connection's last.
    connection: Connection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between messages; `skipped` if an empty line was already dropped here.
    Start { skipped: bool },
    /// In the request line.
    RequestLine,
    /// In the fields; the line in hand begins at `line_start`.
    Fields { line_start: usize, fields: usize },
    /// In a body of known length, `left` ≥ 1 to go.
    Length { left: u64 },
    /// At a chunk-size line.
    ChunkSize,
    /// In a chunk's data, `left` ≥ 1 to go.
    ChunkData { left: u64 },
    /// At the CRLF behind a chunk's data.
    ChunkEnd,
    /// After the last chunk; the line in hand begins at `line_start`.
    Trailers { line_start: usize, fields: usize },
    /// The message is whole and its end not yet reported.
    Ended,
    /// The last message of the connection is over.
    Closed,
    /// HTTP is over.
    Tunnel,
    /// A rule was broken; nothing is read any more.
    Refused(Violation),
}

/// What one look at the bytes in hand came to.
enum Progress {
    /// More bytes are needed.
    Wait,
    /// This many further body bytes are sound.
    Sound(usize),
    /// Report this.
    Report(Step),
    /// Look again: the state changed and nothing was consumed.
    Again,
}

impl Scanner {
    /// A scanner at the beginning of a connection.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        let state = State::Start { skipped: false };
        Self { limits, state, scanned: 0, connection: Connection::KeepAlive }
    }

    /// Judges `bytes`: everything received and not yet passed on.
    ///
    /// # Errors
    /// The [`Violation`], and the same again on every later call: the connection is to be answered and closed.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Step, Violation> {
        let mut sound = 0_usize;
        loop {
            let rest = bytes.get(sound..).unwrap_or_default();
            let progress = match self.look(rest) {
                Ok(progress) => progress,
                Err(violation) => {
                    self.state = State::Refused(violation);
                    // Body bytes before the broken one are sound; the refusal comes with the next call.
                    return if sound > 0 { Ok(Step::Body { len: sound }) } else { Err(violation) };
                }
            };
            match progress {
                Progress::Again => {}
                Progress::Sound(len) => sound += len,
                Progress::Wait if sound > 0 => return Ok(Step::Body { len: sound }),
                Progress::Wait => return Ok(Step::NeedMore),
                Progress::Report(step) => return Ok(step),
            }
            // The end of a message is a step of its own: first the bytes that lead to it.
            if self.state == State::Ended && sound > 0 {
                return Ok(Step::Body { len: sound });
            }
        }
    }

    /// From now on everything passes: the upstream's 101 was passed on.
    pub const fn tunnel(&mut self) {
        self.state = State::Tunnel;
    }

    /// Whether no message is in hand: the connection is idle if no byte is waiting either.
    #[must_use]
    pub const fn is_between_messages(&self) -> bool {
        matches!(self.state, State::Start { .. } | State::Closed)
    }

    fn look(&mut self, bytes: &[u8]) -> Result<Progress, Violation> {
        match self.state {
            State::Start { skipped } => self.start(bytes, skipped),
            State::RequestLine => self.request_line(bytes),
            State::Fields { line_start, fields } => self.field_line(bytes, line_start, fields),
            State::Length { left } => Ok(self.data(bytes, left, |left| State::Length { left }, State::Ended)),
            State::ChunkSize => self.chunk_size(bytes),
            State::ChunkData { left } => {
                Ok(self.data(bytes, left, |left| State::ChunkData { left }, State::ChunkEnd))
            }
            State::ChunkEnd => self.chunk_end(bytes),
            State::Trailers { line_start, fields } => self.trailer_line(bytes, line_start, fields),
            State::Ended => {
                self.enter(match self.connection {
                    Connection::KeepAlive => State::Start { skipped: false },
                    Connection::Close => State::Closed,
                });
                Ok(Progress::Report(Step::MessageEnd))
            }
            State::Closed if bytes.is_empty() => Ok(Progress::Wait),
            State::Closed => Ok(Progress::Report(Step::Skip { len: bytes.len() })),
            State::Tunnel => Ok(Progress::Report(Step::Tunnel { len: bytes.len() })),
            State::Refused(violation) => Err(violation),
        }
    }

    const fn enter(&mut self, state: State) {
        self.state = state;
        self.scanned = 0;
    }

    /// RFC 9112 §2.2 asks to ignore an empty line before a request; one is ignored, a second is refused.
    fn start(&mut self, bytes: &[u8], skipped: bool) -> Result<Progress, Violation> {
        match bytes {
            [] | [b'\r'] => Ok(Progress::Wait),
            [b'\r', b'\n', ..] if !skipped => {
                self.enter(State::Start { skipped: true });
                Ok(Progress::Report(Step::Skip { len: 2 }))
            }
            [b'\r', b'\n', ..] => Err(Violation::malformed("more than one empty line before a request")),
            _ => {
                self.enter(State::RequestLine);
                Ok(Progress::Again)
            }
        }
    }

    fn request_line(&mut self, bytes: &[u8]) -> Result<Progress, Violation> {
        const TOO_LONG: Violation =
            Violation { kind: ViolationKind::UriTooLong, reason: "the request line is too long" };
        let max = self.limits.request_line_bytes_max.min(self.limits.head_bytes_max);
        let Some(end) = self.line_end(bytes, max, TOO_LONG)? else { return Ok(Progress::Wait) };
        self.scanned = end + 2;
        self.state = State::Fields { line_start: end + 2, fields: 0 };
        Ok(Progress::Again)
    }

    fn field_line(&mut self, bytes: &[u8], line_start: usize, fields: usize) -> Result<Progress, Violation> {
        const TOO_LARGE: Violation =
            Violation { kind: ViolationKind::HeadTooLarge, reason: "the head is too large" };
        // The CRLF of a line counts, so its CR may come no later than two bytes before the limit.
        let max = self.limits.head_bytes_max.saturating_sub(2);
        let Some(end) = self.line_end(bytes, max, TOO_LARGE)? else { return Ok(Progress::Wait) };
        let next = end + 2;
        if end > line_start {
            self.next_field(next, fields, |line_start, fields| State::Fields { line_start, fields })?;
            return Ok(Progress::Again);
        }
        let summary = message::read_head(bytes.get(..next).unwrap_or_default())?;
        self.connection = summary.connection;
        self.enter(match summary.body {
            BodyLength::None => State::Ended,
            BodyLength::Length(left) => State::Length { left },
            BodyLength::Chunked => State::ChunkSize,
        });
        Ok(Progress::Report(Step::Head { len: next, summary }))
    }

    fn trailer_line(
        &mut self,
        bytes: &[u8],
        line_start: usize,
        fields: usize,
    ) -> Result<Progress, Violation> {
        const TOO_LARGE: Violation =
            Violation { kind: ViolationKind::HeadTooLarge, reason: "the trailers are too large" };
        let max = self.limits.trailer_bytes_max.saturating_sub(2);
        let Some(end) = self.line_end(bytes, max, TOO_LARGE)? else { return Ok(Progress::Wait) };
        let next = end + 2;
        if end > line_start {
            chunk::check_trailer(bytes.get(line_start..end).unwrap_or_default())?;
            self.next_field(next, fields, |line_start, fields| State::Trailers { line_start, fields })?;
            return Ok(Progress::Again);
        }
        self.enter(State::Ended);
        Ok(Progress::Sound(next))
    }

    fn next_field(
        &mut self,
        line_start: usize,
        fields: usize,
        state: impl FnOnce(usize, usize) -> State,
    ) -> Result<(), Violation> {
        if fields >= self.limits.fields_max {
            let reason = "there are too many fields";
            return Err(Violation { kind: ViolationKind::HeadTooLarge, reason });
        }
        self.scanned = line_start;
        self.state = state(line_start, fields + 1);
        Ok(())
    }

    fn chunk_size(&mut self, bytes: &[u8]) -> Result<Progress, Violation> {
        const TOO_LONG: Violation = Violation::malformed("a chunk-size line is too long");
        let Some(end) = self.line_end(bytes, self.limits.chunk_line_bytes_max, TOO_LONG)? else {
            return Ok(Progress::Wait);
        };
        match chunk::read_size(bytes.get(..end).unwrap_or_default())? {
            0 => self.enter(State::Trailers { line_start: 0, fields: 0 }),
            left => self.enter(State::ChunkData { left }),
        }
        Ok(Progress::Sound(end + 2))
    }

    fn chunk_end(&mut self, bytes: &[u8]) -> Result<Progress, Violation> {
        match bytes {
            [] | [b'\r'] => Ok(Progress::Wait),
            [b'\r', b'\n', ..] => {
                self.enter(State::ChunkSize);
                Ok(Progress::Sound(2))
            }
            _ => Err(Violation::malformed("a chunk does not end where its size says")),
        }
    }

    /// Body bytes that no rule looks into.
    fn data(&mut self, bytes: &[u8], left: u64, more: impl FnOnce(u64) -> State, then: State) -> Progress {
        let here = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if here == 0 {
            return Progress::Wait;
        }
        let taken = here.min(left);
        self.enter(if taken == left { then } else { more(left - taken) });
        // `taken` is at most `bytes.len()`.
        Progress::Sound(usize::try_from(taken).unwrap_or(bytes.len()))
    }

    /// The offset of the CR that ends the line in hand, or `None` while it is open. A CR or broken byte beyond
    /// `max` is past the limit, and the limit comes first.
    fn line_end(
        &mut self,
        bytes: &[u8],
        max: usize,
        too_long: Violation,
    ) -> Result<Option<usize>, Violation> {
        match find_end(bytes, self.scanned) {
            Line::Open { scanned } if scanned > max => Err(too_long),
            Line::Open { scanned } => {
                self.scanned = scanned;
                Ok(None)
            }
            Line::Ends { end } if end > max => Err(too_long),
            Line::Ends { end } => Ok(Some(end)),
            Line::Broken { at, .. } if at > max => Err(too_long),
            Line::Broken { violation, .. } => Err(violation),
        }
    }
}
