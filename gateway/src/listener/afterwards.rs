//! What has to wait until a connection's task has been through once more.
//!
//! Pingora runs both halves of an exchange, the client's and the upstream's, inside the task of the client's connection.
//! Whoever must know that the other half has seen something leaves an errand here. Never decides what it is.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

/// The poll in which the errand was left, and a whole one after it.
const POLLS: u8 = 2;

/// Something to do once.
pub type Errand = Box<dyn FnOnce() + Send>;

/// At most one errand; free of cost while there is none.
#[derive(Default)]
pub struct Afterwards {
    /// Touched by the connection's task only; atomic because it is shared.
    polls_left: AtomicU8,
    errand: Mutex<Option<Errand>>,
}

impl Afterwards {
    /// Does `errand` when the poll under way and the next one have ended. It takes the place of an earlier one.
    pub fn leave(&self, errand: Errand) {
        *self.errand.lock().unwrap_or_else(PoisonError::into_inner) = Some(errand);
        self.polls_left.store(POLLS, Ordering::Relaxed);
    }

    /// The connection's task has ended a poll without being done.
    pub(super) fn poll_ended(&self, waker: &Waker) {
        let left = self.polls_left.load(Ordering::Relaxed);
        if left == 0 {
            return;
        }
        self.polls_left.store(left - 1, Ordering::Relaxed);
        if left > 1 {
            waker.wake_by_ref();
            return;
        }
        let errand = self.errand.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(errand) = errand {
            errand();
        }
    }
}

impl std::fmt::Debug for Afterwards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Afterwards").field("polls_left", &self.polls_left).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn an_errand_is_done_once_after_a_whole_further_poll() {
        let (afterwards, done) = (Afterwards::default(), Arc::new(AtomicBool::new(false)));
        afterwards.poll_ended(Waker::noop());
        let told = done.clone();
        afterwards.leave(Box::new(move || assert!(!told.swap(true, Ordering::Relaxed))));
        afterwards.poll_ended(Waker::noop());
        assert!(!done.load(Ordering::Relaxed));
        afterwards.poll_ended(Waker::noop());
        assert!(done.load(Ordering::Relaxed));
        afterwards.poll_ended(Waker::noop());
    }
}
