//! What one HTTP/1 connection to an endpoint may take its time with: the head of a reply, each silence in its body,
//! and its rest between two requests.
//!
//! Pingora bounds each read with one time and never a whole head, and arms a timer for every read and every rest. Here
//! one task a connection sleeps until something is due and then shuts the socket down, so that Pingora's read ends at
//! once. Decides which was first, the endpoint or the time: always exactly one of them. Never reads or writes a byte.

use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis_core::units::Moment;
use socket2::{SockRef, Socket};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::clock;

/// What the task has announced while it is about to look: nobody needs to wake it.
const LOOKING: u64 = 0;
/// What it has announced while nothing is due.
const PARKED: u64 = u64::MAX;
/// When a silence is looked at again that is the client's and not the endpoint's.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The timer of one connection. Setting it costs two atomic operations and wakes nobody, unless its task would
/// look too late: on a busy connection that is about once in the time of a request, not once a request.
#[derive(Debug)]
pub struct ConnectionTimer {
    /// A [`State`], packed.
    state: AtomicU64,
    /// When the task looks next, in nanoseconds of a [`Moment`].
    looks_at: AtomicU64,
    bell: Notify,
    /// A descriptor of our own: it cannot be closed, and its number not be given to another connection, while it
    /// is being shut down.
    socket: Mutex<Option<Socket>>,
}

/// What has a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// Until the head of a reply is here.
    Head,
    /// From one piece of a body to the next. Only while the endpoint has sent nothing that nobody took.
    Silence,
    /// From one request to the next.
    Rest,
}

/// It took too long, and the connection is shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired(pub Span);

/// What a connection is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is due.
    Unbound,
    /// The end of the span is due at this moment.
    Due(Span, Moment),
    /// It did not come. Nothing follows.
    Expired(Span),
    /// The connection ended. Nothing follows.
    Ended,
}

/// What the task does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    SleepUntil(Moment),
    Park,
    Expire(Span),
    Stop,
}

/// The two lowest bits of a packed state: a span's moment is kept to 4 ns.
impl State {
    const KIND: u64 = 0b11;
    const HEAD: u64 = 0;
    const SILENCE: u64 = 1;
    const REST: u64 = 2;
    const NO_MOMENT: u64 = 3;

    const fn unpack(bits: u64) -> Self {
        let moment = Moment::from_nanos(bits & !Self::KIND);
        match (bits & Self::KIND, bits >> 2) {
            (Self::HEAD, _) => Self::Due(Span::Head, moment),
            (Self::SILENCE, _) => Self::Due(Span::Silence, moment),
            (Self::REST, _) => Self::Due(Span::Rest, moment),
            (_, 0) => Self::Unbound,
            (_, 1) => Self::Ended,
            (_, 2) => Self::Expired(Span::Head),
            (_, 3) => Self::Expired(Span::Silence),
            (_, _) => Self::Expired(Span::Rest),
        }
    }

    fn pack(self) -> u64 {
        let special = |number: u64| number << 2 | Self::NO_MOMENT;
        match self {
            Self::Due(span, moment) => {
                let kind = match span {
                    Span::Head => Self::HEAD,
                    Span::Silence => Self::SILENCE,
                    Span::Rest => Self::REST,
                };
                moment.as_nanos() & !Self::KIND | kind
            }
            Self::Unbound => special(0),
            Self::Ended => special(1),
            Self::Expired(Span::Head) => special(2),
            Self::Expired(Span::Silence) => special(3),
            Self::Expired(Span::Rest) => special(4),
        }
    }

    /// `next`, unless nothing follows.
    const fn moved_to(self, next: Self) -> Option<Self> {
        match self {
            Self::Unbound | Self::Due(..) => Some(next),
            Self::Expired(_) | Self::Ended => None,
        }
    }

    fn next(self, now: Moment) -> Next {
        match self {
            Self::Unbound => Next::Park,
            Self::Due(_, due) if due > now => Next::SleepUntil(due),
            Self::Due(span, _) => Next::Expire(span),
            Self::Expired(_) | Self::Ended => Next::Stop,
        }
    }
}

impl ConnectionTimer {
    /// A timer for this connection, with nothing due at first; somebody has to run [`ConnectionTimer::keep`].
    ///
    /// # Errors
    /// The process has no file descriptor left: a timer takes one.
    pub fn new(tcp: &TcpStream) -> io::Result<Arc<Self>> {
        let socket = SockRef::from(tcp).try_clone()?;
        Ok(Arc::new(Self {
            state: AtomicU64::new(State::Unbound.pack()),
            looks_at: AtomicU64::new(LOOKING),
            bell: Notify::new(),
            socket: Mutex::new(Some(socket)),
        }))
    }

    /// Whatever was due has come, and next is `span`, with an end at `due`; without one it has no bound.
    ///
    /// # Errors
    /// It came too late: the connection is shut down.
    pub fn expect(&self, span: Span, due: Option<Moment>) -> Result<(), Expired> {
        let next = due.map_or(State::Unbound, |due| State::Due(span, due));
        match self.change(next) {
            Ok(()) => {
                // Together with `sleep`: either we see what it has announced, or it sees what we have set.
                if due.is_some_and(|due| due.as_nanos() < self.looks_at.load(Ordering::SeqCst)) {
                    self.bell.notify_one();
                }
                Ok(())
            }
            Err(State::Expired(span)) => Err(Expired(span)),
            Err(State::Unbound | State::Due(..) | State::Ended) => Ok(()),
        }
    }

    /// What took too long, if the connection was shut down for it.
    #[must_use]
    pub fn expired(&self) -> Option<Expired> {
        match State::unpack(self.state.load(Ordering::SeqCst)) {
            State::Expired(span) => Some(Expired(span)),
            State::Unbound | State::Due(..) | State::Ended => None,
        }
    }

    /// Holds back what is written from now on, or sends what was held back. The kernel gives up holding after 200 ms, or
    /// when a segment is full (tcp(7), `TCP_CORK`). A connection that is gone holds nothing: that is no error here.
    pub fn hold_back(&self, is_held: bool) {
        if let Some(socket) = &*self.socket() {
            let _gone = socket.set_tcp_cork(is_held);
        }
    }

    /// The connection is about to be closed: lets go of our descriptor, so that closing it is not put off.
    pub fn end(&self) {
        let _over = self.change(State::Ended);
        self.socket().take();
        self.bell.notify_one();
    }

    /// Keeps the time until the connection ends, or has to.
    pub async fn keep(self: Arc<Self>) {
        loop {
            match self.look(clock::now()) {
                Next::SleepUntil(moment) => self.sleep(Some(moment)).await,
                Next::Park => self.sleep(None).await,
                // Something came, or is due later, between looking and shutting down.
                Next::Expire(_) => {}
                Next::Stop => return,
            }
        }
    }

    /// Moves to `next`, or says in which last state the connection is.
    fn change(&self, next: State) -> Result<(), State> {
        let moved = |bits| State::unpack(bits).moved_to(next).map(State::pack);
        match self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, moved) {
            Ok(_) => Ok(()),
            Err(bits) => Err(State::unpack(bits)),
        }
    }

    /// Looks at the state, and ends the connection if something took too long.
    fn look(&self, now: Moment) -> Next {
        let bits = self.state.load(Ordering::SeqCst);
        let next = State::unpack(bits).next(now);
        let Next::Expire(span) = next else { return next };
        let socket = self.socket();
        let is_ours = span == Span::Silence && socket.as_ref().is_some_and(has_unread);
        let instead = if is_ours { State::Due(span, now + LOOK_AGAIN) } else { State::Expired(span) };
        // Only from what we saw: what came in between has won.
        let changed = self.state.compare_exchange(bits, instead.pack(), Ordering::SeqCst, Ordering::SeqCst);
        if changed.is_err() || is_ours {
            return next;
        }
        if let Some(socket) = &*socket {
            // One that the endpoint has closed by now needs no shutting down.
            let _closed = socket.shutdown(Shutdown::Both);
        }
        Next::Stop
    }

    /// Sleeps until `moment`, or until somebody who needs us sooner rings.
    async fn sleep(&self, moment: Option<Moment>) {
        let until = moment.map_or(PARKED, Moment::as_nanos);
        self.looks_at.store(until, Ordering::SeqCst);
        let is_needed_sooner = match State::unpack(self.state.load(Ordering::SeqCst)) {
            State::Due(_, due) => due.as_nanos() < until,
            State::Unbound => false,
            State::Expired(_) | State::Ended => true,
        };
        if !is_needed_sooner {
            let rung = self.bell.notified();
            match moment.map(|moment| moment.saturating_since(clock::now())) {
                Some(span) => drop(tokio::time::timeout(span, rung).await),
                None => rung.await,
            }
        }
        self.looks_at.store(LOOKING, Ordering::SeqCst);
    }

    fn socket(&self) -> std::sync::MutexGuard<'_, Option<Socket>> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the endpoint has sent what was not taken yet: then it is the client who does not read on.
fn has_unread(socket: &Socket) -> bool {
    socket.peek(&mut [MaybeUninit::uninit()]).is_ok_and(|bytes| bytes > 0)
}

#[cfg(test)]
mod tests;
