//! From files to a document: read, expand, include, decode; every finding kept.

use crate::diagnostic::Diagnostic;
use crate::document::Document;
use crate::span::Sources;

/// What came of a load: as much of the document as could be read, and everything that is wrong with it.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// What was written, without what could not be read.
    pub document: Document,
    /// The files, for showing places.
    pub sources: Sources,
    /// Errors and warnings, sorted by place.
    pub diagnostics: Vec<Diagnostic>,
}

impl Loaded {
    /// Whether the document must not be used.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}
