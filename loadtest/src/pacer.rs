//! When each request is due. A thread of its own keeps the rate: timers of the runtime are a
//! millisecond coarse and run late when the runtime is busy, which is just when it matters.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, Thread};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::clock::now;

/// Batches of due requests on their way to the runtime. When full the pacer waits; what is due stays due.
const BATCHES_MAX: usize = 1024;

/// Evenly spaced moments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    /// When the first request is due.
    pub(crate) start: Instant,
    /// Requests a second.
    pub(crate) rate_per_s: f64,
    /// When no more become due.
    pub(crate) end: Instant,
    /// How many become due at most.
    pub(crate) requests_max: u64,
}

impl Schedule {
    /// When request number `index`, from 0, is meant to be sent.
    pub(crate) fn due(&self, index: u64) -> Instant {
        #[expect(clippy::cast_precision_loss, reason = "indices stay far below 2^53")]
        let seconds = index as f64 / self.rate_per_s;
        self.start + Duration::from_secs_f64(seconds)
    }

    /// How many are due at `moment`, given that `already` were before.
    fn due_by(&self, moment: Instant, already: u64) -> u64 {
        let mut count = already;
        while count < self.requests_max {
            let due = self.due(count);
            if due > moment || due >= self.end {
                break;
            }
            count += 1;
        }
        count
    }
}

/// The running thread; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Pacer {
    stopped: Arc<AtomicBool>,
    thread: Thread,
}

impl Pacer {
    /// Starts it. The receiver gets the numbers of the requests that have become due, in order, and
    /// ends when the schedule does.
    pub(crate) fn start(schedule: Schedule) -> std::io::Result<(Self, mpsc::Receiver<Range<u64>>)> {
        let (sender, receiver) = mpsc::channel(BATCHES_MAX);
        let stopped = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stopped);
        let handle = Builder::new().name("pacer".to_owned()).spawn(move || pace(schedule, &seen, &sender))?;
        Ok((Self { stopped, thread: handle.thread().clone() }, receiver))
    }

    /// No more requests become due.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn pace(schedule: Schedule, stopped: &AtomicBool, due: &mpsc::Sender<Range<u64>>) {
    let mut count = 0;
    while !stopped.load(Ordering::Acquire) && count < schedule.requests_max {
        let moment = now();
        let reached = schedule.due_by(moment, count);
        if reached > count {
            if due.blocking_send(count..reached).is_err() {
                return;
            }
            count = reached;
            continue;
        }
        let next = schedule.due(count);
        if next >= schedule.end {
            return;
        }
        std::thread::park_timeout(next.saturating_duration_since(moment));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(rate_per_s: f64, length: Duration) -> Schedule {
        let start = now();
        Schedule { start, rate_per_s, end: start + length, requests_max: 1_000_000 }
    }

    #[test]
    fn requests_are_due_evenly_from_the_start() {
        let schedule = schedule(4.0, Duration::from_secs(10));
        assert_eq!(schedule.due(0), schedule.start);
        assert_eq!(schedule.due(6), schedule.start + Duration::from_millis(1500));
    }

    #[test]
    fn what_became_due_while_nobody_looked_is_due_all_at_once() {
        let schedule = schedule(100.0, Duration::from_secs(10));
        assert_eq!(schedule.due_by(schedule.start + Duration::from_millis(95), 3), 10);
    }

    #[test]
    fn nothing_is_due_at_the_end_or_beyond_the_number() {
        let mut schedule = schedule(10.0, Duration::from_secs(1));
        assert_eq!(schedule.due_by(schedule.start + Duration::from_secs(60), 0), 10);
        schedule.requests_max = 4;
        assert_eq!(schedule.due_by(schedule.start + Duration::from_secs(60), 0), 4);
    }
}
