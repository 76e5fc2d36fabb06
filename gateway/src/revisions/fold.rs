//! Folding the overlay into the files: what they say on the disk now is all there is, and the overlay says nothing.
//!
//! The files are read and never written: whoever wants a change of the overlay kept has put it there before.

use std::sync::Arc;

use portcullis_core::snapshot::Writes;
use portcullis_schema::{Overlay, OverlayText, mask, merge_patch};
use serde_json::{Map, Value};

use super::Revisions;
use super::outcome::{Condition, Options, WriteError, Written};
use super::write::{Done, Next};
use crate::clock;
use crate::reload::{Disk, Made, Recorder};

/// What stands in the history if nobody says what for.
const REASON: &str = "folded into the files";

impl Revisions {
    /// Puts the files as they are on the disk into use, with an overlay that says nothing. `main` is what the main file
    /// is thought to say, to the byte; whoever sends none takes what is there. Blocks for the disk and other changes.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn fold(
        &self,
        main: Option<&[u8]>,
        condition: &Condition,
        options: &Options,
    ) -> Result<Written, WriteError> {
        // With writes off there is no overlay in use, not even for a dry run.
        if self.reloader.writes() == Writes::Off {
            return Err(WriteError::Off);
        }
        let mut session = self.reloader.session();
        let written = self.may_change(&session, options)?;
        let (current, secrets) = (written.with_secrets(), written.secrets());
        drop(written);
        let etag = self.etags.of_document(session.in_use().revision, &current);
        if !condition.holds(Some(&etag)) {
            return Err(WriteError::unmet(condition, Some(etag)));
        }
        let began = clock::now();
        let recorder = Recorder::over(&Disk);
        let made = session.make(&recorder, None);
        let files = Arc::new(recorder.finish());
        let root = self.reloader.root();
        // Told before what is wrong with a file that nobody meant.
        if main.is_some_and(|main| files.file(root).is_some_and(|file| file != main)) {
            return Err(WriteError::OtherFile { path: root.display().to_string() });
        }
        let Made { candidate, document, secrets: later } = made?;
        let shown = merge_patch::difference(&current, &document);
        let overlay = session.in_use().overlay.as_ref();
        let says_nothing = overlay
            .is_none_or(|overlay| OverlayText::parse(overlay).is_ok_and(|overlay| overlay.patch.is_empty()));
        let done = if shown.is_none() && says_nothing {
            self.unchanged(&session, current, began)
        } else {
            let mut shown = shown.unwrap_or_else(|| Value::Object(Map::new()));
            mask(&mut shown, &secrets);
            mask(&mut shown, &later);
            let mut options = options.clone();
            if options.reason.is_empty() {
                options.reason = REASON.to_owned();
            }
            let written = if options.dry_run {
                self.told(&session, &candidate, began)
            } else {
                let text = self.next_text(&session, Map::new(), &options)?;
                let overlay = Overlay::new(self.reloader.store().overlay_path(), &text);
                self.put_into_use(&mut session, Next { candidate, text, overlay, files }, &options, began)?
            };
            Done { written: Written { patch: shown, ..written }, document }
        };
        let etag = self.etags.of_document(done.written.revision, &done.document);
        Ok(Written { etag: Some(etag), ..done.written })
    }
}
