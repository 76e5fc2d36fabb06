//! What a watch knows about itself, for metrics and the admin API.
//!
//! It decides what is counted and under which label. It never takes a lock that the watch could wait for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::ServiceQuery;
use crate::consul::query::Trouble;
use crate::consul::translate::SkipReason;

/// How answers were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpdateCounts {
    /// They changed what traffic is told.
    pub applied: u64,
    /// They said nothing new.
    pub unchanged: u64,
    /// They removed so much at once that the removal is held back.
    pub held: u64,
}

/// One query, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceStatus {
    /// What is asked.
    pub query: ServiceQuery,
    /// How many endpoints traffic is told of; `None` before the first answer.
    pub endpoints: Option<usize>,
    /// Time since the registry last stood by an answer; `None` when it never did.
    pub age: Option<Duration>,
    /// Since when the set is stale (out of contact, or a sudden loss is held back); `None` when it is live.
    pub stale_since: Option<SystemTime>,
    /// How answers were taken.
    pub updates: UpdateCounts,
    /// Failed requests by kind, only those that happened. The kinds are a closed set.
    pub errors: Vec<(&'static str, u64)>,
    /// Entries of the newest answer that were left out, by reason, only those that occurred.
    pub skipped: Vec<(&'static str, u64)>,
}

const N_REASONS: usize = SkipReason::ALL.len();
const NEVER: u64 = u64::MAX;

/// The counters behind a [`ServiceStatus`], written by the watch and read by anybody.
#[derive(Debug)]
pub(crate) struct WatchStatus {
    /// Nanoseconds since the source's origin.
    contact: AtomicU64,
    /// Unix milliseconds.
    stale_since: AtomicU64,
    endpoints: AtomicU64,
    applied: AtomicU64,
    unchanged: AtomicU64,
    held: AtomicU64,
    errors: [AtomicU64; Trouble::LABELS.len()],
    skipped: [AtomicU64; N_REASONS],
}

impl Default for WatchStatus {
    fn default() -> Self {
        Self {
            contact: AtomicU64::new(NEVER),
            stale_since: AtomicU64::new(NEVER),
            endpoints: AtomicU64::new(NEVER),
            applied: AtomicU64::default(),
            unchanged: AtomicU64::default(),
            held: AtomicU64::default(),
            errors: Default::default(),
            skipped: Default::default(),
        }
    }
}

/// How one answer was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    Applied,
    Unchanged,
    Held,
}

impl WatchStatus {
    pub(crate) fn contact(&self, now: Duration) {
        self.contact.store(nanos(now), Ordering::Relaxed);
    }

    pub(crate) fn taken(&self, taken: Taken) {
        let counter = match taken {
            Taken::Applied => &self.applied,
            Taken::Unchanged => &self.unchanged,
            Taken::Held => &self.held,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn error(&self, trouble: Trouble) {
        if let Some(counter) = self.errors.get(trouble.index()) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn skipped(&self, reason: SkipReason, count: u64) {
        if let Some(counter) = self.skipped.get(reason.index()) {
            counter.store(count, Ordering::Relaxed);
        }
    }

    pub(crate) fn shown(&self, n_endpoints: usize, stale_since: Option<SystemTime>) {
        let millis = stale_since.map_or(NEVER, |at| {
            let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(NEVER - 1)
        });
        self.stale_since.store(millis, Ordering::Relaxed);
        self.endpoints.store(u64::try_from(n_endpoints).unwrap_or(NEVER - 1), Ordering::Relaxed);
    }

    /// The snapshot at `now`; `heard` is a later contact on behalf of this watch, if there was one.
    pub(crate) fn snapshot(
        &self,
        query: &ServiceQuery,
        now: Duration,
        heard: Option<Duration>,
    ) -> ServiceStatus {
        let said = |value: &AtomicU64| Some(value.load(Ordering::Relaxed)).filter(|found| *found != NEVER);
        let own = said(&self.contact).map(Duration::from_nanos);
        let stale_since = said(&self.stale_since).map(|ms| UNIX_EPOCH + Duration::from_millis(ms));
        // What somebody else heard counts only as long as this watch itself has no trouble.
        let contact = if stale_since.is_none() { own.map(|own| own.max(heard.unwrap_or(own))) } else { own };
        ServiceStatus {
            query: query.clone(),
            endpoints: said(&self.endpoints).and_then(|count| usize::try_from(count).ok()),
            age: contact.map(|contact| now.saturating_sub(contact)),
            stale_since,
            updates: UpdateCounts {
                applied: self.applied.load(Ordering::Relaxed),
                unchanged: self.unchanged.load(Ordering::Relaxed),
                held: self.held.load(Ordering::Relaxed),
            },
            errors: occurred(Trouble::LABELS.iter().copied(), &self.errors),
            skipped: occurred(SkipReason::ALL.iter().map(|reason| reason.label()), &self.skipped),
        }
    }
}

/// Nanoseconds that fit; the source would have to run for 584 years to saturate.
pub(crate) fn nanos(since: Duration) -> u64 {
    u64::try_from(since.as_nanos()).unwrap_or(NEVER - 1)
}

fn occurred(labels: impl Iterator<Item = &'static str>, counters: &[AtomicU64]) -> Vec<(&'static str, u64)> {
    labels
        .zip(counters)
        .map(|(label, counter)| (label, counter.load(Ordering::Relaxed)))
        .filter(|(_, count)| *count > 0)
        .collect()
}
