//! A number that changes when a route's meaning changes, for the report of a reload.

use std::fmt::{Debug, Write};
use std::hash::{DefaultHasher, Hasher};

/// The fingerprint of what `value` shows of itself. Equal meanings give equal numbers in one process; two meanings
/// fall together once in 2^64 cases, and then a report misses a change.
pub(super) fn of(value: &impl Debug) -> u64 {
    let mut sink = Sink(DefaultHasher::new());
    // writing to a hasher cannot fail
    let _ = write!(sink, "{value:?}");
    sink.0.finish()
}

struct Sink(DefaultHasher);

impl Write for Sink {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
