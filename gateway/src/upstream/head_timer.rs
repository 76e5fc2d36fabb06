//! How long the head of a reply may take, kept for one HTTP/1 connection to an endpoint.
//!
//! Pingora bounds each read and never a whole head, so a head that comes byte by byte has no end. Here one task
//! a connection sleeps until the head is due and then shuts the socket down, so that Pingora's read ends at once.
//! Decides which was first, the head or the time: always exactly one of them. Never reads or writes a byte.

use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use portcullis_core::units::Moment;
use socket2::{SockRef, Socket};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::clock;

/// What the task has announced while it is about to look: nobody needs to wake it.
const LOOKING: u64 = 0;
/// What it has announced while there is no head to wait for.
const PARKED: u64 = u64::MAX;

/// The timer of one connection. Setting it costs two atomic operations and wakes nobody, unless its task would
/// look too late: on a busy connection that is about once in the time of a request, not once a request.
#[derive(Debug)]
pub struct HeadTimer {
    /// A [`State`], packed.
    state: AtomicU64,
    /// When the task looks next, in nanoseconds of a [`Moment`].
    looks_at: AtomicU64,
    bell: Notify,
    /// A descriptor of our own: it cannot be closed, and its number not be given to another connection, while it
    /// is being shut down.
    socket: Mutex<Option<Socket>>,
}

/// The head did not come in time, and the connection is shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overdue;

/// What a connection is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No head is waited for.
    Idle,
    /// A head is due at this moment.
    Waiting(Moment),
    /// It did not come. Nothing follows.
    Overdue,
    /// The connection ended. Nothing follows.
    Ended,
}

/// What the task does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    SleepUntil(Moment),
    Park,
    Expire,
    Stop,
}

impl State {
    const IDLE: u64 = u64::MAX;
    const OVERDUE: u64 = u64::MAX - 1;
    const ENDED: u64 = u64::MAX - 2;

    const fn unpack(bits: u64) -> Self {
        match bits {
            Self::IDLE => Self::Idle,
            Self::OVERDUE => Self::Overdue,
            Self::ENDED => Self::Ended,
            nanos => Self::Waiting(Moment::from_nanos(nanos)),
        }
    }

    fn pack(self) -> u64 {
        match self {
            Self::Idle => Self::IDLE,
            Self::Overdue => Self::OVERDUE,
            Self::Ended => Self::ENDED,
            // The end of time comes a little early, so that it is no other state.
            Self::Waiting(due) => due.as_nanos().min(Self::ENDED - 1),
        }
    }

    /// Waiting, or idle again; `None` where nothing follows.
    const fn moved_to(self, next: Self) -> Option<Self> {
        match self {
            Self::Idle | Self::Waiting(_) => Some(next),
            Self::Overdue | Self::Ended => None,
        }
    }

    fn next(self, now: Moment) -> Next {
        match self {
            Self::Idle => Next::Park,
            Self::Waiting(due) if due > now => Next::SleepUntil(due),
            Self::Waiting(_) => Next::Expire,
            Self::Overdue | Self::Ended => Next::Stop,
        }
    }
}

impl HeadTimer {
    /// A timer for this connection, off at first; somebody has to run [`HeadTimer::keep`].
    ///
    /// # Errors
    /// The process has no file descriptor left: a timer takes one.
    pub fn new(tcp: &TcpStream) -> io::Result<Arc<Self>> {
        let socket = SockRef::from(tcp).try_clone()?;
        Ok(Arc::new(Self {
            state: AtomicU64::new(State::Idle.pack()),
            looks_at: AtomicU64::new(LOOKING),
            bell: Notify::new(),
            socket: Mutex::new(Some(socket)),
        }))
    }

    /// A head is due at `due`, whatever was due before.
    pub fn wait_until(&self, due: Moment) {
        let waiting = State::Waiting(due);
        let is_set = self.change(waiting).is_ok();
        // Together with `sleep`: either we see what it has announced, or it sees what we have set.
        if is_set && waiting.pack() < self.looks_at.load(Ordering::SeqCst) {
            self.bell.notify_one();
        }
    }

    /// The head is here.
    ///
    /// # Errors
    /// It is too late: the connection is shut down, and with it the body.
    pub fn head_came(&self) -> Result<(), Overdue> {
        match self.change(State::Idle) {
            Err(State::Overdue) => Err(Overdue),
            Ok(()) | Err(State::Idle | State::Waiting(_) | State::Ended) => Ok(()),
        }
    }

    /// Whether the connection was shut down because a head did not come in time.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        State::unpack(self.state.load(Ordering::SeqCst)) == State::Overdue
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
                // The head came, or another is waited for, between looking and shutting down.
                Next::Expire => {}
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

    /// Looks at the state, and ends the connection if its head is due.
    fn look(&self, now: Moment) -> Next {
        let bits = self.state.load(Ordering::SeqCst);
        let next = State::unpack(bits).next(now);
        if next != Next::Expire {
            return next;
        }
        // Only from what we saw: a head that came in between has won.
        let overdue = State::Overdue.pack();
        if self.state.compare_exchange(bits, overdue, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return Next::Expire;
        }
        if let Some(socket) = &*self.socket() {
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
            State::Waiting(due) => due.as_nanos() < until,
            State::Idle => false,
            State::Overdue | State::Ended => true,
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

#[cfg(test)]
mod tests;
