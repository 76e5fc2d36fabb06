//! The lock under which what is in use is changed, and the one place where it is swapped.
//!
//! Who holds a session sees what is in use and may put something else in its place, or put back what was there before.

use std::path::Path;
use std::sync::{Arc, MutexGuard};

use portcullis_core::snapshot::{Difference, Listener};
use portcullis_core::units::Moment;
use portcullis_schema::{FileSource, Overlay, OverlayText, Style, WrittenDocument, load_written, render};

use super::apply::{Candidate, Reloader, Standing, listener_specs};
use super::made::{Made, NotMade};
use super::record::Recorded;
use super::report::{Refusal, Report};
use crate::clock;
use crate::live::Live;
use crate::revisions::Trial;

/// What the configuration in use was made of.
#[derive(Debug)]
pub(crate) struct InUse {
    /// The files as they were read.
    pub(crate) files: Arc<Recorded>,
    /// What the API changed, laid over them.
    pub(crate) overlay: Option<Overlay>,
    /// The overlay's revision; 0 for the files alone.
    pub(crate) revision: u64,
    /// It is in use on trial: not on the disk, and to be reverted unless somebody confirms it.
    pub(crate) trial: Option<Trial>,
}

impl InUse {
    pub(crate) fn new(files: Recorded, overlay: Option<Overlay>) -> Self {
        Self::over(Arc::new(files), overlay)
    }

    pub(crate) fn over(files: Arc<Recorded>, overlay: Option<Overlay>) -> Self {
        let text = overlay.as_ref().and_then(|overlay| OverlayText::parse(overlay).ok());
        let revision = text.map(|text| text.revision).unwrap_or_default();
        Self { files, overlay, revision, trial: None }
    }

    pub(super) fn standing(&self) -> Standing {
        Standing { revision: self.revision, pending: self.trial.as_ref().map(Trial::pending) }
    }
}

/// What was in use before a swap.
#[derive(Debug)]
pub(crate) struct Before {
    live: Arc<Live>,
    in_use: InUse,
}

impl Before {
    pub(crate) fn overlay(&self) -> Option<&Overlay> {
        self.in_use.overlay.as_ref()
    }

    pub(crate) fn revision(&self) -> u64 {
        self.in_use.revision
    }
}

/// The right to change what is in use.
#[derive(Debug)]
pub(crate) struct Session<'r> {
    reloader: &'r Reloader,
    in_use: MutexGuard<'r, InUse>,
}

/// Whatever was changed is told before the next one may change something.
impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.reloader.show(self.in_use.standing());
    }
}

impl<'r> Session<'r> {
    pub(super) fn new(reloader: &'r Reloader, in_use: MutexGuard<'r, InUse>) -> Self {
        Self { reloader, in_use }
    }

    pub(crate) fn in_use(&self) -> &InUse {
        &self.in_use
    }

    pub(crate) fn in_use_mut(&mut self) -> &mut InUse {
        &mut self.in_use
    }

    /// What is in use, as it was written.
    pub(crate) fn written(&self) -> WrittenDocument {
        let overlay = self.in_use.overlay.as_ref();
        load_written(self.reloader.root(), &*self.in_use.files, self.reloader.env(), overlay).1
    }

    /// What these files with this overlay would put into use.
    pub(crate) fn make(
        &self,
        files: &(dyn FileSource + Sync),
        overlay: Option<&Overlay>,
    ) -> Result<Made, NotMade> {
        let live = self.reloader.parts.live.load_full();
        self.reloader.make(self.reloader.root(), files, overlay, live.snapshot.carried())
    }

    /// What these files alone would put into use, by the name `root`.
    pub(crate) fn make_alone(&self, root: &Path, files: &(dyn FileSource + Sync)) -> Result<Made, NotMade> {
        let live = self.reloader.parts.live.load_full();
        self.reloader.make(root, files, None, live.snapshot.carried())
    }

    /// What a candidate would change, and the generation in use.
    pub(crate) fn difference(&self, candidate: &Candidate) -> (Difference, u64) {
        let live = self.reloader.parts.live.load();
        (Difference::between(&live.snapshot, &candidate.snapshot), live.snapshot.generation)
    }

    /// The generation in use.
    pub(crate) fn generation(&self) -> u64 {
        self.reloader.parts.live.load().snapshot.generation
    }

    /// Puts a candidate into use, all or nothing.
    pub(crate) fn swap(
        &mut self,
        candidate: Candidate,
        next: InUse,
        began: Moment,
    ) -> Result<(Report, Before), Refusal> {
        let parts = &self.reloader.parts;
        let live = parts.live.load_full();
        let difference = Difference::between(&live.snapshot, &candidate.snapshot);
        let generation = candidate.snapshot.generation;
        self.listen(candidate.snapshot.listeners.values())?;
        parts.live.store(Arc::new(Live::new(candidate.snapshot, parts.metrics.clone())));
        parts.follow.reconcile();
        let in_use = std::mem::replace(&mut *self.in_use, next);
        let warnings = render(&candidate.warnings, &candidate.sources, Style::Plain);
        let took = clock::now().saturating_since(began);
        Ok((Report { generation, difference, warnings, took }, Before { live, in_use }))
    }

    /// Puts back what was in use before, with the moving parts that it had.
    ///
    /// It is made anew, so that generations never count backwards; should that fail, the very snapshot comes back.
    pub(crate) fn put_back(&mut self, before: &Before) -> Result<Report, Refusal> {
        let began = clock::now();
        let parts = &self.reloader.parts;
        let live = parts.live.load_full();
        let carried = before.live.snapshot.carried().after(live.snapshot.generation);
        let files = &*before.in_use.files;
        let made = self.reloader.candidate(self.reloader.root(), files, before.overlay(), &carried);
        let (back, warnings) = match made {
            Ok(made) => {
                let warnings = render(&made.warnings, &made.sources, Style::Plain);
                (Arc::new(Live::new(made.snapshot, parts.metrics.clone())), warnings)
            }
            Err(refusal) => {
                tracing::warn!(
                    reason = refusal.code(),
                    "the old configuration cannot be made anew, the kept one comes back"
                );
                (before.live.clone(), String::new())
            }
        };
        self.listen(back.snapshot.listeners.values())?;
        let difference = Difference::between(&live.snapshot, &back.snapshot);
        let generation = back.snapshot.generation;
        parts.live.store(back);
        parts.follow.reconcile();
        let InUse { files, overlay, revision, .. } = &before.in_use;
        *self.in_use =
            InUse { files: files.clone(), overlay: overlay.clone(), revision: *revision, trial: None };
        Ok(Report { generation, difference, warnings, took: clock::now().saturating_since(began) })
    }

    fn listen<'l>(&self, listeners: impl Iterator<Item = &'l Arc<Listener>>) -> Result<(), Refusal> {
        let specs = listener_specs(listeners, self.reloader.root());
        let applied = self.reloader.parts.listeners.apply(specs);
        applied.map(|_| ()).map_err(|error| Refusal::Listeners { reason: error.to_string() })
    }
}
