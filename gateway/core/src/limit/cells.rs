//! The buckets of a limit, by key, never more than its bound.
//!
//! Decides where a key is counted: in its own bucket, or, when there is no room for one more, in
//! a bucket that all newcomers share. Refusing newcomers would lock out whoever comes after an
//! attacker, admitting them uncounted would let the attacker through. Never drops a bucket that
//! still holds something back.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};

use super::key::Fingerprint;
use super::nanos;
use crate::units::Moment;

/// Parts of the table, each under its own lock, which is taken for the length of one lookup.
const N_SHARDS: usize = 16;
/// While the table is full, one shard at most this often is swept on the way of a request.
const SHARD_SWEEP_PAUSE: Duration = Duration::from_millis(50);

type Shard = RwLock<HashMap<Fingerprint, InMemoryState, BuildHasherDefault<AsIs>>>;

/// All buckets of one limit.
#[derive(Debug)]
pub(super) struct Cells {
    shards: [Shard; N_SHARDS],
    keys_max: usize,
    n_live: AtomicUsize,
    /// The bucket of newcomers without room.
    overflow: InMemoryState,
    n_shared: AtomicU64,
    /// When a request may sweep next, in nanoseconds from the origin.
    next_sweep: AtomicU64,
    next_shard: AtomicUsize,
}

/// The buckets as governor's store; shared, because a limiter does not show its store again.
#[derive(Debug)]
pub(super) struct Store(pub(super) Arc<Cells>);

/// What the store saw while governor decided.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Note {
    /// The bucket's new theoretical arrival time, in nanoseconds from the origin; set if allowed.
    pub(super) arrival: u64,
    /// Whether the shared bucket was used.
    pub(super) shared: bool,
}

/// Fingerprints are uniform already.
#[derive(Debug, Default)]
pub(super) struct AsIs(u64);

thread_local! {
    /// governor's snapshot keeps the arrival time to itself, and what is left in whole requests is
    /// not exact enough to say when the bucket is full again.
    static NOTE: Cell<Note> = const { Cell::new(Note { arrival: 0, shared: false }) };
}

/// What `decide` says, and what the store noted meanwhile.
pub(super) fn noted<T>(decide: impl FnOnce() -> T) -> (T, Note) {
    NOTE.set(Note::default());
    (decide(), NOTE.get())
}

impl Cells {
    pub(super) fn new(keys_max: usize) -> Self {
        Self {
            shards: Default::default(),
            keys_max: keys_max.max(1),
            n_live: AtomicUsize::new(0),
            overflow: InMemoryState::default(),
            n_shared: AtomicU64::new(0),
            next_sweep: AtomicU64::new(0),
            next_shard: AtomicUsize::new(0),
        }
    }

    pub(super) fn n_live(&self) -> usize {
        self.n_live.load(Ordering::Relaxed)
    }

    pub(super) fn n_shared(&self) -> u64 {
        self.n_shared.load(Ordering::Relaxed)
    }

    /// Sweeps one shard if the table is full and none was swept just now.
    pub(super) fn make_room(&self, now: Moment) {
        if self.n_live() < self.keys_max {
            return;
        }
        let due = self.next_sweep.load(Ordering::Relaxed);
        let next = (now + SHARD_SWEEP_PAUSE).as_nanos();
        let mine = now.as_nanos() >= due
            && self.next_sweep.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if mine {
            let at = self.next_shard.fetch_add(1, Ordering::Relaxed) % N_SHARDS;
            self.shards.get(at).map(|shard| self.sweep_shard(shard, now));
        }
    }

    /// Forgets all buckets that are full at `now`, and gives memory back.
    pub(super) fn sweep(&self, now: Moment) -> usize {
        self.shards.iter().map(|shard| self.sweep_shard(shard, now)).sum()
    }

    fn sweep_shard(&self, shard: &Shard, now: Moment) -> usize {
        let mut cells = shard.write().unwrap_or_else(PoisonError::into_inner);
        let before = cells.len();
        cells.retain(|_, cell| arrival(cell) > nanos(now));
        let n_forgotten = before - cells.len();
        if cells.len() < cells.capacity() / 4 {
            cells.shrink_to_fit();
        }
        self.n_live.fetch_sub(n_forgotten, Ordering::Relaxed);
        n_forgotten
    }

    /// Claims room for one more key.
    fn claim(&self) -> bool {
        let fits = |n_live: usize| (n_live < self.keys_max).then_some(n_live + 1);
        self.n_live.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    fn shard_of(&self, key: &Fingerprint) -> &Shard {
        // The high half chooses the shard and the low half the place in it.
        let [first, ..] = &self.shards;
        usize::try_from(key.high % N_SHARDS as u64).ok().and_then(|at| self.shards.get(at)).unwrap_or(first)
    }
}

impl StateStore for Store {
    type Key = Fingerprint;

    fn measure_and_replace<T, F, E>(&self, key: &Fingerprint, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let Self(table) = self;
        let shard = table.shard_of(key);
        if let Some(cell) = shard.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return measure(cell, decide, false);
        }
        let mut cells = shard.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have put it there in between.
        if let Some(cell) = cells.get(key) {
            return measure(cell, decide, false);
        }
        if !table.claim() {
            drop(cells);
            table.n_shared.fetch_add(1, Ordering::Relaxed);
            return measure(&table.overflow, decide, true);
        }
        measure(cells.entry(*key).or_default(), decide, false)
    }
}

/// Lets `decide` judge and change one bucket, and notes what it made of it.
fn measure<T, F, E>(cell: &InMemoryState, decide: F, shared: bool) -> Result<T, E>
where
    F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
{
    cell.measure_and_replace(&NotKeyed::NonKey, |before| {
        let decided = decide(before);
        let arrival = decided.as_ref().map_or(0, |(_, arrival)| arrival.as_u64());
        NOTE.set(Note { arrival, shared });
        decided
    })
}

/// A bucket's arrival time: not later than now means full, like a bucket that does not exist.
fn arrival(cell: &InMemoryState) -> Nanos {
    // An error leaves the bucket as it is, which makes this a read.
    let read: Result<(), Nanos> =
        cell.measure_and_replace(&NotKeyed::NonKey, |arrival| Err(arrival.unwrap_or_default()));
    read.err().unwrap_or_default()
}

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        // Fingerprints are written as two words; this is for completeness.
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, word: u64) {
        // The last word written is the low half, which did not choose the shard.
        self.0 = word;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
