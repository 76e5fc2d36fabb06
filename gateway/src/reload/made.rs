//! A configuration for a change through the API: what it means and what it says, from one reading.
//!
//! Decides which part of the document each finding is about. Puts nothing into use.

use std::path::Path;

use portcullis_core::snapshot::Carried;
use portcullis_schema::{FileSource, Overlay, WrittenDocument, load_written};
use serde_json::Value;

use super::apply::{Candidate, Reloader, on_own_thread};
use super::report::Refusal;

/// Findings whose part of the document is looked up.
const POINTERS_MAX: usize = 100;

/// A configuration that could be put into use, with what it says.
#[derive(Debug)]
pub(crate) struct Made {
    /// What could be put into use.
    pub(crate) candidate: Candidate,
    /// As it is written, secrets and all. Not to be shown.
    pub(crate) document: Value,
    /// Where something is written that is not shown, as JSON pointers.
    pub(crate) secrets: Vec<String>,
}

/// A configuration that cannot be put into use.
#[derive(Debug)]
pub(crate) struct NotMade {
    /// Why.
    pub(crate) refusal: Refusal,
    /// Which parts of the document the findings are about, in their order.
    pub(crate) pointers: Vec<Option<String>>,
}

impl Reloader {
    /// What files with an overlay would put into use. The tree of what is written ends with the thread that read it.
    pub(crate) fn make(
        &self,
        root: &Path,
        files: &(dyn FileSource + Sync),
        overlay: Option<&Overlay>,
        carried: &Carried,
    ) -> Result<Made, NotMade> {
        on_own_thread(|| {
            let (loaded, written) = load_written(root, files, self.env(), overlay);
            match self.follower(loaded, carried) {
                Ok(candidate) => {
                    let (document, secrets) = (written.with_secrets(), written.secrets());
                    Ok(Made { candidate, document, secrets })
                }
                Err(refusal) => {
                    let pointers = pointers(&refusal, &written);
                    Err(NotMade { refusal, pointers })
                }
            }
        })
    }
}

fn pointers(refusal: &Refusal, written: &WrittenDocument) -> Vec<Option<String>> {
    match refusal {
        Refusal::Invalid { diagnostics, .. } | Refusal::TestsFailed { diagnostics, .. } => {
            diagnostics.iter().take(POINTERS_MAX).map(|finding| written.pointer(finding.at()?)).collect()
        }
        Refusal::NeedsRestart { .. }
        | Refusal::Listeners { .. }
        | Refusal::Store { .. }
        | Refusal::OnTrial => Vec::new(),
    }
}
