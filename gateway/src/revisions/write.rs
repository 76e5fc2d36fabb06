//! One change, from what was asked for to what is in use.
//!
//! Checked → drafted on the disk → in use → holding on the disk; an error anywhere leaves everything as it was.

use std::path::Path;
use std::time::Duration;

use portcullis_core::snapshot::Writes;
use portcullis_core::units::Moment;
use portcullis_schema::{
    FILES_ONLY, MemorySource, Overlay, OverlayText, Style, WrittenDocument, load_written, mask, merge_patch,
    render, to_yaml,
};
use serde_json::{Map, Value};
use thiserror::Error;

use super::Revisions;
use super::change::{Change, ChangeError, Kind};
use super::notice::Notice;
use super::store::StoreError;
use super::trial::{Pending, Wish};
use crate::clock;
use crate::reload::{Candidate, InUse, Refusal, Session};

/// Findings whose part of the document is looked up.
const POINTERS_MAX: usize = 100;

/// The name that what was asked for goes by in findings, where there is no overlay.
const REQUEST: &str = "request.yaml";

/// What must hold of the thing that is changed, before it is changed (RFC 9110 §13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    None,
    /// It has one of these tags.
    Match(Vec<String>),
    /// It is there.
    Exists,
    /// It is not there.
    New,
}

/// How a change is made.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only say what it would do.
    pub dry_run: bool,
    /// Who makes it.
    pub author: String,
    /// What for.
    pub reason: String,
    /// Put it into use on trial.
    pub trial: Option<Wish>,
}

/// What came of a change.
#[derive(Debug)]
pub struct Written {
    /// The revision that is in use now.
    pub revision: u64,
    /// The generation that is in use now.
    pub generation: u64,
    /// Whether there was anything to change.
    pub is_changed: bool,
    /// Whether the thing was not there before.
    pub is_new: bool,
    /// What it changes, for people.
    pub changes: String,
    /// The merge patch from what was in use to what is asked for, secrets masked.
    pub patch: Value,
    /// What is probably not meant, rendered.
    pub warnings: String,
    /// How long it took.
    pub took: Duration,
    /// The tag of the thing now; `None` if it is gone.
    pub etag: Option<String>,
    /// It is in use on trial.
    pub pending: Option<Pending>,
}

/// Why nothing was changed.
#[derive(Debug, Error)]
pub enum WriteError {
    /// `admin.writes` is `off`.
    #[error("`admin.writes` is `off`: change the configuration's files and reload")]
    Off,
    /// The condition does not hold; this is the tag now.
    #[error("it was changed meanwhile; read it again and repeat what is still wanted")]
    Precondition {
        /// The tag of what is there; `None` if nothing is.
        etag: Option<String>,
    },
    /// It does not fit what is there.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// A `null` that cannot be kept.
    #[error(transparent)]
    Null(#[from] merge_patch::NullAt),
    /// It touches what only the files can change.
    #[error("only the configuration's files can change `{0}`")]
    FilesOnly(String),
    /// What it makes is no configuration that can be put into use.
    #[error("{refusal}")]
    Refused {
        /// Why.
        refusal: Refusal,
        /// Which parts of the document the findings are about, in their order.
        pointers: Vec<Option<String>>,
    },
    /// There is no such revision.
    #[error("there is no revision {0}; `GET /api/v1/config/history` lists what there is")]
    NoRevision(u64),
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is in use and what is wanted.
struct Plan {
    current: Value,
    secrets: Vec<String>,
    wanted: Value,
    /// What the overlay will say.
    patch: Map<String, Value>,
}

impl Revisions {
    /// Changes the whole document, or one named thing in it. Blocks for the disk and for other changes.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn change(
        &self,
        at: Option<(Kind, &str)>,
        change: Change,
        condition: &Condition,
        options: &Options,
    ) -> Result<Written, WriteError> {
        let mut session = self.reloader.session();
        let written = self.may_change(&session, options)?;
        let (current, secrets) = (written.with_secrets(), written.secrets());
        let tag = |document: &Value| match at {
            None => Some(self.etags.of_document(session.in_use().revision, document)),
            Some((kind, name)) => document.pointer(&kind.pointer(name)).map(|part| self.etags.of(part)),
        };
        let etag = tag(&current);
        if !condition.holds(etag.as_deref()) {
            // What was never there is unknown rather than changed.
            if let (None, false, Some((kind, name))) = (&etag, matches!(change, Change::Put(_)), &at) {
                return Err(ChangeError::unknown(*kind, name, &current).into());
            }
            return Err(WriteError::Precondition { etag });
        }
        let is_new = etag.is_none();
        let wanted = change.apply(at, &current, &secrets)?;
        let patch = match merge_patch::diff(written.files(), &wanted)? {
            Some(Value::Object(patch)) => patch,
            Some(_) | None => Map::new(),
        };
        if wanted.is_object() {
            let plan = Plan { current, secrets, wanted, patch };
            let mut done = self.carry_out(&mut session, plan, options)?;
            let (document, is_new) = (done.document, is_new && done.written.is_changed);
            done.written.etag = match at {
                None => Some(self.etags.of_document(done.written.revision, &document)),
                Some((kind, name)) => document.pointer(&kind.pointer(name)).map(|part| self.etags.of(part)),
            };
            return Ok(Written { is_new, ..done.written });
        }
        Err(ChangeError::Operation("a configuration is a map of keys such as `routes`".to_owned()).into())
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
        let (current, secrets) = (written.with_secrets(), written.secrets());
        let etag = self.etags.of_document(session.in_use().revision, &current);
        if !condition.holds(Some(&etag)) {
            return Err(WriteError::Precondition { etag: Some(etag) });
        }
        let patch = match number {
            0 => Map::new(),
            _ => match self.reloader.store().revision(number)? {
                Some(text) => text.patch,
                None => return Err(WriteError::NoRevision(number)),
            },
        };
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
    fn may_change(&self, session: &Session<'_>, options: &Options) -> Result<WrittenDocument, WriteError> {
        if self.reloader.writes() == Writes::Off && !options.dry_run {
            return Err(WriteError::Off);
        }
        if session.in_use().trial.is_some() && !options.dry_run {
            return Err(as_refused(Refusal::OnTrial));
        }
        Ok(session.written().1)
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
        let changes = merge_patch::diff(&plan.current, &plan.wanted)?;
        let revision = session.in_use().revision;
        let Some(mut shown) = changes else { return Ok(self.unchanged(session, plan.current, began)) };
        let number = if options.dry_run { revision } else { self.next_number(session)? };
        let text = OverlayText {
            revision: number,
            at: clock::rfc3339(clock::since_epoch()),
            author: options.author.clone(),
            reason: options.reason.clone(),
            patch: plan.patch,
        };
        let overlay = Overlay::new(self.reloader.store().overlay_path(), &text);
        mask(&mut shown, &plan.secrets);
        if self.reloader.writes() == Writes::Off {
            return self.told_as_files(session, &plan.wanted, shown, began);
        }
        let candidate =
            session.candidate(Some(&overlay)).map_err(|refusal| refused(session, &overlay, refusal))?;
        let (_, written) = session.written_with(Some(&overlay));
        mask(&mut shown, &written.secrets());
        let document = written.with_secrets();
        let written = if options.dry_run {
            self.told(session, &candidate, began)
        } else {
            self.put_into_use(session, candidate, text, overlay, options, began)?
        };
        Ok(Done { written: Written { patch: shown, ..written }, document })
    }

    fn put_into_use(
        &self,
        session: &mut Session<'_>,
        candidate: Candidate,
        text: OverlayText,
        overlay: Overlay,
        options: &Options,
        began: Moment,
    ) -> Result<Written, WriteError> {
        let next = InUse::over(session.in_use().files.clone(), Some(overlay));
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
    fn told(&self, session: &Session<'_>, candidate: &Candidate, began: Moment) -> Written {
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
        wanted: &Value,
        mut shown: Value,
        began: Moment,
    ) -> Result<Done, WriteError> {
        let root = Path::new(REQUEST);
        let files = MemorySource::new().with(root, to_yaml(wanted).into_bytes());
        let candidate = self.reloader.validate(root, &files).map_err(as_refused)?;
        let (_, written) = load_written(root, &files, self.reloader.env(), None);
        mask(&mut shown, &written.secrets());
        let written = Written { patch: shown, ..self.told(session, &candidate, began) };
        Ok(Done { written, document: wanted.clone() })
    }

    /// What is asked for is in use already.
    fn unchanged(&self, session: &Session<'_>, document: Value, began: Moment) -> Done {
        let written = Written {
            revision: session.in_use().revision,
            generation: session.generation(),
            is_changed: false,
            is_new: false,
            changes: "no change".to_owned(),
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
struct Done {
    written: Written,
    document: Value,
}

impl Condition {
    fn holds(&self, etag: Option<&str>) -> bool {
        match self {
            Self::None => true,
            Self::Match(tags) => etag.is_some_and(|etag| tags.iter().any(|tag| tag == etag)),
            Self::Exists => etag.is_some(),
            Self::New => etag.is_none(),
        }
    }
}

/// A refusal that no part of the document is to blame for.
const fn as_refused(refusal: Refusal) -> WriteError {
    WriteError::Refused { refusal, pointers: Vec::new() }
}

/// A refusal, with the part of the document that each finding is about.
fn refused(session: &Session<'_>, overlay: &Overlay, refusal: Refusal) -> WriteError {
    let pointers = match &refusal {
        Refusal::Invalid { diagnostics, .. } | Refusal::TestsFailed { diagnostics, .. } => {
            let (_, written) = session.written_with(Some(overlay));
            diagnostics.iter().take(POINTERS_MAX).map(|finding| written.pointer(finding.at()?)).collect()
        }
        Refusal::NeedsRestart { .. }
        | Refusal::Listeners { .. }
        | Refusal::Store { .. }
        | Refusal::OnTrial => Vec::new(),
    };
    WriteError::Refused { refusal, pointers }
}
