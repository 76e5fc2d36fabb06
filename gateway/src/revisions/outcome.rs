//! What is asked of a change, and what comes of it.

use std::time::Duration;

use portcullis_schema::merge_patch;
use serde_json::Value;
use thiserror::Error;

use super::change::ChangeError;
use super::store::StoreError;
use super::trial::{Pending, Wish};
use crate::reload::{NotMade, Refusal};

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
    #[error("{why}")]
    Precondition {
        /// Which, and what to do.
        why: &'static str,
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
    /// The gateway's own files say something else than what was sent along.
    #[error(
        "{path} is not what was sent: only the gateway's own files can be folded into; put it there first, or send nothing"
    )]
    OtherFile {
        /// The gateway's main file.
        path: String,
    },
    /// There is no such revision.
    #[error(
        "there is no revision {0}; `portcullis history`, or `GET /api/v1/config/history`, lists what there is"
    )]
    NoRevision(u64),
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Condition {
    pub(super) fn holds(&self, etag: Option<&str>) -> bool {
        match self {
            Self::None => true,
            Self::Match(tags) => etag.is_some_and(|etag| tags.iter().any(|tag| tag == etag)),
            Self::Exists => etag.is_some(),
            Self::New => etag.is_none(),
        }
    }
}

/// A refusal that no part of the document is to blame for.
pub(super) const fn as_refused(refusal: Refusal) -> WriteError {
    WriteError::Refused { refusal, pointers: Vec::new() }
}

impl WriteError {
    /// That a condition does not hold of what has this tag; `None` if nothing is there.
    pub(super) const fn unmet(condition: &Condition, etag: Option<String>) -> Self {
        let why = match (condition, &etag) {
            (Condition::New, _) => {
                "it is there already; read it, and send its `ETag` as `If-Match` to replace it"
            }
            (_, None) => "it is not there; send `If-None-Match: *` to make it",
            (_, Some(_)) => "it was changed meanwhile; read it again and repeat what is still wanted",
        };
        Self::Precondition { why, etag }
    }
}

impl From<NotMade> for WriteError {
    fn from(NotMade { refusal, pointers }: NotMade) -> Self {
        Self::Refused { refusal, pointers }
    }
}
