//! The last of what happened, numbered, for people who look and for people who go on watching.
//!
//! A bounded ring and a bounded channel: whoever watches too slowly loses the channel, never holds anybody up.
//! Numbers belong to one run of the process; whoever comes back with an older one is told that there is a gap.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use crate::entropy;

/// What a watcher may fall behind before it is let go.
const BEHIND_MAX: usize = 256;

/// Where somebody stopped watching: which run of the process, and which number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    run: u32,
    n: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.run, self.n)
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (run, n) = text.split_once('-').ok_or(())?;
        Ok(Self { run: u32::from_str_radix(run, 16).map_err(drop)?, n: n.parse().map_err(drop)? })
    }
}

impl Place {
    /// A place that no ring has: everything after it is lost.
    #[must_use]
    pub const fn lost() -> Self {
        Self { run: 0, n: u64::MAX }
    }
}

/// Something with its place.
#[derive(Debug)]
pub struct Placed<T> {
    /// Where it is.
    pub place: Place,
    /// What it is.
    pub value: T,
}

/// The last things of one kind.
#[derive(Debug)]
pub struct Ring<T> {
    run: u32,
    size: usize,
    state: Mutex<State<T>>,
    sender: broadcast::Sender<Arc<Placed<T>>>,
}

#[derive(Debug)]
struct State<T> {
    next: u64,
    kept: VecDeque<Arc<Placed<T>>>,
}

/// Everything from some place on.
#[derive(Debug)]
pub struct Watching<T> {
    /// Whether something before it is lost.
    pub gap: bool,
    /// What was there already.
    pub backlog: VecDeque<Arc<Placed<T>>>,
    /// What comes.
    pub receiver: broadcast::Receiver<Arc<Placed<T>>>,
}

impl<T> Ring<T> {
    /// An empty ring that keeps the last `size`.
    #[must_use]
    pub fn new(size: usize) -> Self {
        // Half of a number: 32 bits tell runs apart.
        Self::of_run(size, (entropy::number() >> 32) as u32)
    }

    fn of_run(size: usize, run: u32) -> Self {
        let state = State { next: 1, kept: VecDeque::new() };
        Self { run, size, state: Mutex::new(state), sender: broadcast::Sender::new(BEHIND_MAX) }
    }

    /// Adds one; the oldest makes room.
    pub fn push(&self, value: T) {
        let mut state = self.state();
        let place = Place { run: self.run, n: state.next };
        state.next += 1;
        let placed = Arc::new(Placed { place, value });
        if state.kept.len() >= self.size {
            state.kept.pop_front();
        }
        state.kept.push_back(placed.clone());
        // Under the lock, so that everybody sees one order. Nobody watching is no error.
        let _ = self.sender.send(placed);
    }

    /// What is kept, newest first.
    #[must_use]
    pub fn newest(&self) -> Vec<Arc<Placed<T>>> {
        self.state().kept.iter().rev().cloned().collect()
    }

    /// What comes after `place`, or from now on: nothing twice and nothing left out, unless there is a gap.
    #[must_use]
    pub fn watch(&self, after: Option<Place>) -> Watching<T> {
        let state = self.state();
        let receiver = self.sender.subscribe();
        let Some(after) = after else {
            return Watching { gap: false, backlog: VecDeque::new(), receiver };
        };
        let oldest = state.kept.front().map_or(state.next, |placed| placed.place.n);
        let is_known = after.run == self.run && after.n < state.next;
        let first = if is_known { after.n + 1 } else { 0 };
        let backlog = state.kept.iter().filter(|placed| placed.place.n >= first).cloned().collect();
        Watching { gap: !is_known || first < oldest, backlog, receiver }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::broadcast::error::TryRecvError;

    use super::*;

    fn values(backlog: &VecDeque<Arc<Placed<u32>>>) -> Vec<u32> {
        backlog.iter().map(|placed| placed.value).collect()
    }

    fn place(run: u32, n: u64) -> Option<Place> {
        Some(Place { run, n })
    }

    #[test]
    fn whoever_comes_back_gets_what_they_missed_and_what_comes() {
        let ring = Ring::of_run(3, 7);
        (1..=3).for_each(|value| ring.push(value));
        let mut watching = ring.watch(place(7, 1));
        assert_eq!((watching.gap, values(&watching.backlog)), (false, vec![2, 3]));
        ring.push(4);
        assert_eq!(watching.receiver.try_recv().unwrap().value, 4);
        assert!(ring.watch(None).backlog.is_empty());
        assert!(ring.watch(place(7, 4)).backlog.is_empty() && !ring.watch(place(7, 4)).gap);
    }

    #[test]
    fn what_is_lost_is_said() {
        let ring = Ring::of_run(2, 7);
        (1..=5).for_each(|value| ring.push(value));
        for (after, gap, backlog) in [
            (place(7, 1), true, vec![4, 5]),
            (place(7, 3), false, vec![4, 5]),
            (place(8, 3), true, vec![4, 5]),
            (place(7, 99), true, vec![4, 5]),
        ] {
            let watching = ring.watch(after);
            assert_eq!((watching.gap, values(&watching.backlog)), (gap, backlog), "{after:?}");
        }
        assert_eq!(ring.newest().iter().map(|placed| placed.value).collect::<Vec<_>>(), [5, 4]);
    }

    #[test]
    fn a_watcher_that_falls_behind_is_let_go_and_holds_nobody_up() {
        let ring = Ring::of_run(4, 7);
        let mut watching = ring.watch(None);
        (0..=BEHIND_MAX as u32).for_each(|value| ring.push(value));
        assert_eq!(watching.receiver.try_recv().unwrap_err(), TryRecvError::Lagged(1));
    }

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let place = Place { run: 0xabc, n: 42 };
        assert_eq!(place.to_string(), "00000abc-42");
        assert_eq!("00000abc-42".parse(), Ok(place));
        for wrong in ["", "42", "x-1", "1-x", "1-2-3"] {
            assert_eq!(wrong.parse::<Place>(), Err(()), "{wrong}");
        }
    }
}
