//! Changes through the admin API: an overlay over the files, revision by revision, and changes on trial.
//!
//! Decides in which order a change is checked, written and put into use, so that it holds whole or not at all; what a
//! configuration means is decided elsewhere. Nothing here is on the way of a request.

mod change;
mod disk;
mod etag;
mod fold;
mod notice;
mod outcome;
mod sample;
mod store;
mod trial;
mod write;

pub use change::{Change, ChangeError, Kind, Place};
pub use etag::Etags;
pub use notice::{Notice, Reverted};
pub use outcome::{Condition, Options, WriteError, Written};
pub use sample::Samples;
pub use store::{HISTORY_MAX, OVERLAY_FILE, Store, StoreError};
pub use trial::{Pending, Trial, TrialError, Wish};

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use portcullis_schema::{OverlayText, mask};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};

use crate::entropy;
use crate::reload::{Reloader, Session};
use crate::telemetry::metrics::Metrics;

/// Requests that may wait for their turn; each holds a thread.
const WAITING_MAX: usize = 32;

/// Makes changes to the configuration in use, one at a time.
#[derive(Debug)]
pub struct Revisions {
    reloader: Arc<Reloader>,
    metrics: Arc<Metrics>,
    etags: Etags,
    samples: Samples,
    notices: broadcast::Sender<Notice>,
    waiting: Arc<Semaphore>,
    /// The highest number of a revision that was put into use; one on trial has one too.
    numbered: AtomicU64,
}

/// The configuration in use, as it was written.
#[derive(Debug)]
pub struct InUse {
    /// The overlay's revision; 0 for the files alone.
    pub revision: u64,
    /// Files and overlay together, secrets masked.
    pub value: Value,
    /// The `ETag` of it all.
    pub etag: String,
    /// The value with its secrets, for tags of its parts.
    whole: Value,
    /// What the overlay says.
    overlay: Value,
}

impl InUse {
    /// Whether the overlay has a part in what a JSON pointer names.
    #[must_use]
    pub fn is_overlaid(&self, pointer: &str) -> bool {
        self.overlay.pointer(pointer).is_some()
    }
}

/// One kept revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Its number.
    pub number: u64,
    /// When it was made, RFC 3339; empty for the files alone.
    pub at: String,
    /// Who made it.
    pub author: String,
    /// What for.
    pub reason: String,
    /// Whether it is in use.
    pub in_use: bool,
}

impl Revisions {
    /// Changes what `reloader` has put into use.
    #[must_use]
    pub fn new(reloader: Arc<Reloader>, metrics: Arc<Metrics>) -> Self {
        let etags = Etags::new(entropy::secret());
        let (notices, _) = broadcast::channel(notice::NOTICES_MAX);
        let samples = Samples::default();
        let waiting = Arc::new(Semaphore::new(WAITING_MAX));
        Self { reloader, metrics, etags, samples, notices, waiting, numbered: AtomicU64::new(0) }
    }

    /// A place among those that wait for the configuration, kept until it is dropped; `None` if all are taken.
    #[must_use]
    pub fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.waiting.clone().try_acquire_owned().ok()
    }

    /// Hears of every change from now on. Who is slow misses the oldest.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// The configuration in use, as it was written. Blocks while it is changed.
    #[must_use]
    pub fn in_use(&self) -> InUse {
        let session = self.reloader.session();
        let written = session.written();
        let revision = session.in_use().revision;
        let overlay = session.in_use().overlay.as_ref().and_then(|overlay| OverlayText::parse(overlay).ok());
        let overlay = overlay.map(|text| Value::Object(text.patch)).unwrap_or_default();
        let whole = written.with_secrets();
        let mut value = whole.clone();
        mask(&mut value, &written.secrets());
        let etag = self.etags.of_document(revision, &whole);
        InUse { revision, value, etag, whole, overlay }
    }

    /// The `ETag` of a part of what is in use, named by a JSON pointer.
    #[must_use]
    pub fn etag_of(&self, in_use: &InUse, pointer: &str) -> Option<String> {
        in_use.whole.pointer(pointer).map(|part| self.etags.of(part))
    }

    /// The kept revisions, newest first; the files alone come last.
    ///
    /// # Errors
    /// When history cannot be read.
    pub fn history(&self) -> Result<Vec<Revision>, StoreError> {
        let in_use = self.reloader.standing().revision;
        let store = self.reloader.store();
        let mut kept = VecDeque::new();
        for number in store.revisions()? {
            // One that was removed or broken meanwhile is history of another kind.
            if let Ok(Some(text)) = store.revision(number) {
                let OverlayText { at, author, reason, .. } = text;
                kept.push_front(Revision { number, at, author, reason, in_use: number == in_use });
            }
        }
        let files = Revision {
            number: 0,
            at: String::new(),
            author: String::new(),
            reason: "the files alone".to_owned(),
            in_use: in_use == 0,
        };
        kept.push_back(files);
        Ok(kept.into())
    }

    /// Counts on from whatever has a number already. Only what is put into use keeps its number.
    fn next_number(&self, session: &Session<'_>) -> Result<u64, StoreError> {
        let kept = self.reloader.store().revisions()?.last().copied().unwrap_or_default();
        let known = self.numbered.load(Ordering::Relaxed).max(session.in_use().revision).max(kept);
        Ok(known.saturating_add(1))
    }

    fn notify(&self, notice: Notice) {
        // Nobody may be listening.
        let _ = self.notices.send(notice);
    }
}
