//! Recent requests, for people who look: nothing is kept while nobody does.
//!
//! A request pays one relaxed load while nobody looks. While somebody does, a bounded number of requests a second is
//! handed on, failures first, without a lock and without waiting; one task puts them where the API finds them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis_core::units::Moment;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use crate::clock;
use crate::ring::Ring;

/// Requests that are kept.
const KEPT: usize = 1_000;
/// Requests that are handed on in a second.
const REQUESTS_PER_SECOND_MAX: u16 = 500;
/// Those among them that were answered as they should be; what is left over is for failures.
const ORDINARY_PER_SECOND_MAX: u16 = 300;
/// Requests handed on and not yet put away.
const WAITING_MAX: usize = 512;
/// How long requests are kept after somebody looked.
const LOOKED_FOR: Duration = Duration::from_secs(60);
/// For as long as a stream is open.
const FOR_EVER: u64 = u64::MAX;

/// A request as it is shown, with what it is looked for by.
#[derive(Debug)]
pub struct Seen {
    /// Everything there is to show: one JSON object.
    pub shown: Box<RawValue>,
    /// The request's id, if it has one.
    pub id: Option<Box<str>>,
    /// Its route, if it had one.
    pub route: Option<Arc<str>>,
    /// Its method, as far as it was read.
    pub method: Option<Box<str>>,
    /// The status of the reply.
    pub status: u16,
    /// From its head to the end of the reply.
    pub took: Duration,
}

/// Whether a request went as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// It did.
    Ordinary,
    /// It was refused, or failed.
    Failure,
}

/// The requests' end.
#[derive(Debug)]
pub struct Recent {
    /// Until when somebody looks, in nanoseconds of the process's clock.
    until: AtomicU64,
    /// The second and what was handed on in it; see [`Spent`].
    spent: AtomicU64,
    sender: mpsc::Sender<Seen>,
    /// Requests that found no room.
    missed: AtomicU64,
    /// The requests themselves.
    pub ring: Ring<Seen>,
    /// Streams that are open. Never taken by a request.
    streams: Mutex<usize>,
}

/// What is handed on, on its way to the ring.
#[derive(Debug)]
pub struct Collector(mpsc::Receiver<Seen>);

/// What was handed on in one second: 32 bits of the second, 16 of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Spent {
    second: u32,
    ordinary: u16,
    failures: u16,
}

impl Recent {
    /// Nobody looks yet.
    #[must_use]
    pub fn new() -> (Arc<Self>, Collector) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let recent = Self {
            until: AtomicU64::new(0),
            spent: AtomicU64::new(0),
            sender,
            missed: AtomicU64::new(0),
            ring: Ring::new(KEPT),
            streams: Mutex::default(),
        };
        (Arc::new(recent), Collector(receiver))
    }

    /// Hands a request on if somebody looks and there is room in this second; `make` is called only then.
    pub fn offer(&self, now: Moment, weight: Weight, make: impl FnOnce() -> Option<Seen>) {
        if now.as_nanos() >= self.until.load(Ordering::Relaxed) {
            return;
        }
        if !self.admits(now, weight) {
            self.missed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if let Some(seen) = make()
            && self.sender.try_send(seen).is_err()
        {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Somebody looks: requests are kept for a while from now.
    pub fn looked(&self, now: Moment) {
        self.until.fetch_max((now + LOOKED_FOR).as_nanos(), Ordering::Relaxed);
    }

    /// Requests are kept until this is dropped, and for a while after.
    #[must_use]
    pub fn stream(self: &Arc<Self>) -> Streaming {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        *streams += 1;
        self.until.store(FOR_EVER, Ordering::Relaxed);
        Streaming(Arc::clone(self))
    }

    /// Requests that somebody might have wanted and that found no room, since the start.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// Whether one more fits into this second.
    fn admits(&self, now: Moment, weight: Weight) -> bool {
        let second = u32::try_from(now.as_nanos() / 1_000_000_000).unwrap_or(u32::MAX);
        let one_more = |word: u64| Spent::unpack(word).in_second(second).with(weight).map(Spent::pack);
        self.spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }
}

impl Spent {
    fn unpack(word: u64) -> Self {
        // Each shift leaves what the narrower type holds.
        Self { second: (word >> 32) as u32, ordinary: (word >> 16) as u16, failures: word as u16 }
    }

    fn pack(self) -> u64 {
        u64::from(self.second) << 32 | u64::from(self.ordinary) << 16 | u64::from(self.failures)
    }

    fn in_second(self, second: u32) -> Self {
        if self.second == second { self } else { Self { second, ordinary: 0, failures: 0 } }
    }

    /// One more of this kind, if it fits.
    fn with(self, weight: Weight) -> Option<Self> {
        let has_room = self.ordinary.saturating_add(self.failures) < REQUESTS_PER_SECOND_MAX;
        match weight {
            Weight::Ordinary if has_room && self.ordinary < ORDINARY_PER_SECOND_MAX => {
                Some(Self { ordinary: self.ordinary + 1, ..self })
            }
            Weight::Failure if has_room => Some(Self { failures: self.failures + 1, ..self }),
            Weight::Ordinary | Weight::Failure => None,
        }
    }
}

/// An open stream of requests.
#[derive(Debug)]
pub struct Streaming(Arc<Recent>);

impl Drop for Streaming {
    fn drop(&mut self) {
        let mut streams = self.0.streams.lock().unwrap_or_else(PoisonError::into_inner);
        *streams = streams.saturating_sub(1);
        if *streams == 0 {
            self.0.until.store((clock::now() + LOOKED_FOR).as_nanos(), Ordering::Relaxed);
        }
    }
}

impl Collector {
    /// Puts away what is handed on, for as long as the process lives.
    pub async fn run(mut self, recent: Arc<Recent>) {
        while let Some(seen) = self.0.recv().await {
            recent.ring.push(seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::ORIGIN + Duration::from_millis(ms)
    }

    fn seen() -> Option<Seen> {
        let shown = RawValue::from_string("{}".to_owned()).unwrap();
        Some(Seen { shown, id: None, route: None, method: None, status: 200, took: Duration::ZERO })
    }

    #[test]
    fn nothing_is_made_while_nobody_looks_or_has_looked_for_a_minute() {
        let (recent, mut collector) = Recent::new();
        recent.offer(at(1), Weight::Failure, || panic!("nobody looks"));
        recent.looked(at(1_000));
        recent.offer(at(60_999), Weight::Ordinary, seen);
        assert!(collector.0.try_recv().is_ok());
        recent.offer(at(61_000), Weight::Failure, || panic!("nobody looks any more"));
        assert_eq!(recent.missed(), 0);
    }

    #[test]
    fn a_stream_keeps_it_going_until_the_last_one_ends() {
        let (recent, _collector) = Recent::new();
        let (first, second) = (recent.stream(), recent.stream());
        drop(first);
        assert_eq!(recent.until.load(Ordering::Relaxed), FOR_EVER);
        drop(second);
        let until = Moment::from_nanos(recent.until.load(Ordering::Relaxed));
        assert!(until <= clock::now() + LOOKED_FOR);
    }

    #[test]
    fn a_second_has_room_for_so_many_and_keeps_some_of_it_for_failures() {
        let (recent, _collector) = Recent::new();
        let admitted = |ms, weight| (0..1_000).filter(|_| recent.admits(at(ms), weight)).count();
        assert_eq!(admitted(0, Weight::Ordinary), usize::from(ORDINARY_PER_SECOND_MAX));
        let left = usize::from(REQUESTS_PER_SECOND_MAX - ORDINARY_PER_SECOND_MAX);
        assert_eq!(admitted(999, Weight::Failure), left);
        assert_eq!(admitted(1_000, Weight::Failure), usize::from(REQUESTS_PER_SECOND_MAX));
        assert_eq!(admitted(1_001, Weight::Ordinary), 0);
    }

    #[test]
    fn what_is_not_put_away_in_time_is_counted_and_holds_nobody_up() {
        let (recent, _collector) = Recent::new();
        recent.looked(at(0));
        // Over several seconds, so that the pace is not what stops it.
        (0..3_000).for_each(|ms| recent.offer(at(ms), Weight::Failure, seen));
        let handed_on = WAITING_MAX as u64;
        let paced = 3 * u64::from(REQUESTS_PER_SECOND_MAX);
        assert_eq!(recent.missed(), (paced - handed_on) + (3_000 - paced));
    }
}
