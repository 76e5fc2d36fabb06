//! One change, from what was asked for to what is in use.
//!
//! Checked → drafted on the disk → in use → holding on the disk; an error anywhere leaves everything as it was.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use portcullis_core::snapshot::Writes;
use portcullis_core::units::Moment;
use portcullis_schema::{
    FILES_ONLY, MemorySource, Overlay, OverlayText, Style, WrittenDocument, mask, merge_patch, render,
    to_yaml,
};
use serde_json::{Map, Value};

use super::Revisions;
use super::change::{Change, ChangeError, Place};
use super::notice::Notice;
use super::outcome::{Condition, Options, WriteError, Written, as_refused};
use crate::clock;
use crate::reload::{Candidate, InUse, Made, Recorded, Refusal, Session};

/// The name that what was asked for goes by in findings, where there is no overlay.
const REQUEST: &str = "request.yaml";

/// What is in use and what is wanted.
struct Plan {
    current: Value,
    secrets: Vec<String>,
    wanted: Value,
    /// What the overlay will say.
    patch: Map<String, Value>,
}

/// What is put into use.
pub(super) struct Next {
    pub(super) candidate: Candidate,
    /// What the overlay says.
    pub(super) text: OverlayText,
    /// The same, as it is kept.
    pub(super) overlay: Overlay,
    /// The files below it.
    pub(super) files: Arc<Recorded>,
}

impl Revisions {
    /// Changes the whole document, or a part of it. Blocks for the disk and for other changes.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn change(
        &self,
        place: Place<'_>,
        change: Change,
        condition: &Condition,
        options: &Options,
    ) -> Result<Written, WriteError> {
        let mut session = self.reloader.session();
        let written = self.may_change(&session, options)?;
        let (current, secrets) = (written.with_secrets(), written.secrets());
        let etag = self.etag_at(place, session.in_use().revision, &current);
        if !condition.holds(etag.as_deref()) {
            // What was never there is unknown rather than changed.
            return Err(match (&etag, &change) {
                (None, Change::Merge(_) | Change::Operations(_) | Change::Delete) => {
                    place.unknown(&current).into()
                }
                (Some(_), _) | (None, Change::Put(_)) => WriteError::unmet(condition, etag),
            });
        }
        let is_new = etag.is_none();
        let wanted = change.apply(place, &current, &secrets)?;
        if !wanted.is_object() {
            let detail = "a configuration is a map of keys such as `routes`".to_owned();
            return Err(ChangeError::Operation(detail).into());
        }
        let patch = match merge_patch::diff(written.files(), &wanted)? {
            Some(Value::Object(patch)) => patch,
            Some(_) | None => Map::new(),
        };
        drop(written);
        let plan = Plan { current, secrets, wanted, patch };
        let Done { written, document } = self.carry_out(&mut session, plan, options)?;
        let is_new = is_new && written.is_changed;
        let etag = self.etag_at(place, written.revision, &document);
        Ok(Written { is_new, etag, ..written })
    }

    /// The tag of what is at a place of a document, if something is.
    fn etag_at(&self, place: Place<'_>, revision: u64, document: &Value) -> Option<String> {
        match place {
            Place::Document => Some(self.etags.of_document(revision, document)),
            Place::Thing(..) | Place::Part(_) => {
                document.pointer(&place.pointer()).map(|part| self.etags.of(part))
            }
        }
    }

    /// Goes back to what the overlay of an earlier revision said, as a new revision.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn roll_back(
        &self,
        number: u64,
        condition: &Condition,
        options: &Options,
    ) -> Result<Written, WriteError> {
        let mut session = self.reloader.session();
        let written = self.may_change(&session, options)?;
        let patch = match number {
            0 => Map::new(),
            _ => match self.reloader.store().revision(number)? {
                Some(text) => text.patch,
                None => return Err(WriteError::NoRevision(number)),
            },
        };
        let (current, secrets) = (written.with_secrets(), written.secrets());
        let etag = self.etags.of_document(session.in_use().revision, &current);
        if !condition.holds(Some(&etag)) {
            return Err(WriteError::unmet(condition, Some(etag)));
        }
        let mut wanted = written.files().clone();
        merge_patch::apply(&mut wanted, &Value::Object(patch.clone()));
        let mut options = options.clone();
        if options.reason.is_empty() {
            options.reason = format!("back to revision {number}");
        }
        let plan = Plan { current, secrets, wanted, patch };
        let mut done = self.carry_out(&mut session, plan, &options)?;
        done.written.etag = Some(self.etags.of_document(done.written.revision, &done.document));
        Ok(done.written)
    }

    /// What is in use as it was written, once it is known that it may be changed.
    pub(super) fn may_change(
        &self,
        session: &Session<'_>,
        options: &Options,
    ) -> Result<WrittenDocument, WriteError> {
        if self.reloader.writes() == Writes::Off && !options.dry_run {
            return Err(WriteError::Off);
        }
        if session.in_use().trial.is_some() && !options.dry_run {
            return Err(as_refused(Refusal::OnTrial));
        }
        Ok(session.written())
    }

    fn carry_out(
        &self,
        session: &mut Session<'_>,
        plan: Plan,
        options: &Options,
    ) -> Result<Done, WriteError> {
        let began = clock::now();
        if let Some(key) = plan.patch.keys().find(|key| FILES_ONLY.contains(&key.as_str())) {
            return Err(WriteError::FilesOnly(key.clone()));
        }
        let Some(mut shown) = merge_patch::difference(&plan.current, &plan.wanted) else {
            return Ok(self.unchanged(session, plan.current, began));
        };
        let text = self.next_text(session, plan.patch, options)?;
        let overlay = Overlay::new(self.reloader.store().overlay_path(), &text);
        mask(&mut shown, &plan.secrets);
        if self.reloader.writes() == Writes::Off {
            return self.told_as_files(session, plan.wanted, shown, began);
        }
        let files = session.in_use().files.clone();
        let Made { candidate, document, secrets } = session.make(&*files, Some(&overlay))?;
        mask(&mut shown, &secrets);
        let written = if options.dry_run {
            self.told(session, &candidate, began)
        } else {
            self.put_into_use(session, Next { candidate, text, overlay, files }, options, began)?
        };
        Ok(Done { written: Written { patch: shown, ..written }, document })
    }

    /// What the next revision of the overlay says; a dry run gives it no number of its own.
    pub(super) fn next_text(
        &self,
        session: &Session<'_>,
        patch: Map<String, Value>,
        options: &Options,
    ) -> Result<OverlayText, WriteError> {
        let revision = if options.dry_run { session.in_use().revision } else { self.next_number(session)? };
        let (author, reason) = (options.author.clone(), options.reason.clone());
        Ok(OverlayText { revision, at: clock::rfc3339(clock::since_epoch()), author, reason, patch })
    }

    pub(super) fn put_into_use(
        &self,
        session: &mut Session<'_>,
        next: Next,
        options: &Options,
        began: Moment,
    ) -> Result<Written, WriteError> {
        let Next { candidate, text, overlay, files } = next;
        let next = InUse::over(files, Some(overlay));
        let revision = text.revision;
        let report = match options.trial {
            Some(wish) => {
                let (report, before) = session.swap(candidate, next, began).map_err(as_refused)?;
                self.try_out(session, text, before, wish);
                report
            }
            None => {
                let store = self.reloader.store();
                let draft = store.draft(&text)?;
                let swapped = session.swap(candidate, next, began);
                let (report, before) = match swapped {
                    Ok(swapped) => swapped,
                    Err(refusal) => {
                        store.discard(draft);
                        return Err(as_refused(refusal));
                    }
                };
                if let Err(error) = store.commit(draft, before.overlay()) {
                    if let Err(refusal) = session.put_back(&before) {
                        tracing::error!(reason = %refusal, "what was in use before cannot be put back");
                    }
                    return Err(error.into());
                }
                self.notify(Notice::Applied { revision });
                report
            }
        };
        self.numbered.fetch_max(revision, Ordering::Relaxed);
        let (author, reason) = (&*options.author, &*options.reason);
        tracing::info!(revision, author, reason, "configuration changed through the admin API");
        self.reloader.tell(Ok(report.clone()));
        Ok(Written {
            revision,
            generation: report.generation,
            is_changed: true,
            is_new: false,
            changes: report.difference.to_string(),
            patch: Value::Null,
            warnings: report.warnings,
            took: clock::now().saturating_since(began),
            etag: None,
            pending: session.in_use().trial.as_ref().map(super::Trial::pending),
        })
    }

    /// What a candidate would change.
    pub(super) fn told(&self, session: &Session<'_>, candidate: &Candidate, began: Moment) -> Written {
        let (difference, generation) = session.difference(candidate);
        Written {
            revision: session.in_use().revision,
            generation,
            is_changed: true,
            is_new: false,
            changes: difference.to_string(),
            patch: Value::Null,
            warnings: render(&candidate.warnings, &candidate.sources, Style::Plain),
            took: clock::now().saturating_since(began),
            etag: None,
            pending: None,
        }
    }

    /// What files that say all of `wanted` would change, where there is no overlay.
    fn told_as_files(
        &self,
        session: &Session<'_>,
        wanted: Value,
        mut shown: Value,
        began: Moment,
    ) -> Result<Done, WriteError> {
        let root = Path::new(REQUEST);
        let files = MemorySource::new().with(root, to_yaml(&wanted).into_bytes());
        let Made { candidate, secrets, .. } = session.make_alone(root, &files)?;
        mask(&mut shown, &secrets);
        let written = Written { patch: shown, ..self.told(session, &candidate, began) };
        Ok(Done { written, document: wanted })
    }

    /// What is asked for is in use already.
    pub(super) fn unchanged(&self, session: &Session<'_>, document: Value, began: Moment) -> Done {
        let written = Written {
            revision: session.in_use().revision,
            generation: session.generation(),
            is_changed: false,
            is_new: false,
            changes: "nothing to change".to_owned(),
            patch: Value::Object(Map::new()),
            warnings: String::new(),
            took: clock::now().saturating_since(began),
            etag: None,
            pending: session.in_use().trial.as_ref().map(super::Trial::pending),
        };
        Done { written, document }
    }
}

/// What came of a change, and the document that is in use now.
pub(super) struct Done {
    pub(super) written: Written,
    pub(super) document: Value,
}
