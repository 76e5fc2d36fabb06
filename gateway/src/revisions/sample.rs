//! Readings of the request histograms, one in ten seconds, so that there is a past to compare a trial with.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portcullis_core::confirm::Window;

/// How often one is taken. Reading meets the counters of every route, so it is seldom.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);
/// Readings that are kept: the last minute.
const READINGS_MAX: usize = 6;

/// The last readings, oldest first, each with its number.
#[derive(Debug, Default)]
pub struct Samples(Mutex<Readings>);

#[derive(Debug, Default)]
struct Readings {
    kept: VecDeque<Window>,
    /// Readings taken so far.
    taken: u64,
}

impl Samples {
    /// Keeps a reading.
    pub(super) fn keep(&self, reading: Window) {
        let mut readings = self.readings();
        if readings.kept.len() == READINGS_MAX {
            readings.kept.pop_front();
        }
        readings.kept.push_back(reading);
        readings.taken += 1;
    }

    /// Readings taken so far.
    pub(super) fn taken(&self) -> u64 {
        self.readings().taken
    }

    /// The oldest kept reading; nothing counted before the first.
    pub(super) fn oldest(&self) -> Window {
        self.readings().kept.front().cloned().unwrap_or_default()
    }

    /// The oldest kept reading, if it was taken after so many.
    pub(super) fn oldest_after(&self, taken: u64) -> Option<Window> {
        let readings = self.readings();
        let before_kept = readings.taken - readings.kept.len() as u64;
        readings.kept.front().filter(|_| before_kept >= taken).cloned()
    }

    fn readings(&self) -> MutexGuard<'_, Readings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_kept_and_no_more() {
        let samples = Samples::default();
        assert_eq!(samples.oldest(), Window::default());
        for failed in 0..100 {
            samples.keep(Window { counts: vec![failed], failed });
        }
        assert_eq!(samples.oldest().failed, 94);
        assert_eq!(samples.taken(), 100);
        assert_eq!(samples.oldest_after(94).map(|reading| reading.failed), Some(94));
        assert_eq!(samples.oldest_after(95), None);
    }
}
