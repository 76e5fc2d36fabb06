//! One finding about a configuration: what, where, and what would be right.

use serde_json::{Value, json};

use crate::codes::Code;
use crate::span::{Sources, Span};

/// Most findings that one load reports; the rest are counted.
pub const DIAGNOSTICS_MAX: usize = 1_000;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration works, but probably not as meant.
    Warning,
}

/// A place with a few words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub at: Span,
    /// What about it, in a few words, lower case.
    pub text: String,
}

/// One finding. The first label is where it is; more labels show what else belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Which kind of finding.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, lower case, without a full stop. Never shows a secret, nor what a variable holds if that is
    /// 8 bytes or longer.
    pub message: String,
    /// Where; the first is the main one.
    pub labels: Vec<Label>,
    /// What would be right.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A finding without a place; its severity follows from its code.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, severity: code.severity(), message: message.into(), labels: Vec::new(), help: None }
    }

    /// Adds a place.
    #[must_use]
    pub fn label(mut self, at: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { at, text: text.into() });
        self
    }

    /// Says what would be right.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// The main place.
    pub fn at(&self) -> Option<Span> {
        self.labels.first().map(|label| label.at)
    }

    /// Whether it refuses the configuration.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// As an element of `errors` in a problem document (RFC 9457).
    pub fn to_json(&self, sources: &Sources) -> Value {
        let at = self.at();
        let file = at.map(|at| sources.path(at.file).to_path_buf()).unwrap_or_default();
        json!({
            "code": self.code.as_str(),
            "severity": match self.severity { Severity::Error => "error", Severity::Warning => "warning" },
            "file": file.to_string_lossy(),
            "line": at.map(|at| at.line),
            "column": at.map(|at| at.column),
            "message": self.message,
            "excerpt": at.map(|at| sources.line(at).trim()),
            "help": self.help,
        })
    }
}

/// Sorts findings by file and place, those without a place first.
pub fn sort(diagnostics: &mut [Diagnostic]) {
    diagnostics.sort_by(|a, b| (a.at(), a.code.as_str()).cmp(&(b.at(), b.code.as_str())));
}

/// Collects findings up to [`DIAGNOSTICS_MAX`].
#[derive(Debug, Default)]
pub(crate) struct Sink {
    found: Vec<Diagnostic>,
    n_more: usize,
}

impl Sink {
    pub(crate) fn extend(&mut self, found: impl IntoIterator<Item = Diagnostic>) {
        found.into_iter().for_each(|diagnostic| self.push(diagnostic));
    }

    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        if self.found.len() < DIAGNOSTICS_MAX {
            self.found.push(diagnostic);
        } else {
            self.n_more += 1;
        }
    }

    /// Whether an error lies inside a place: then what is missing there is probably that error's doing.
    pub(crate) fn covers(&self, at: Span) -> bool {
        self.found.iter().rev().any(|diagnostic| {
            diagnostic.is_error()
                && diagnostic
                    .at()
                    .is_some_and(|d| d.file == at.file && at.start <= d.start && d.end <= at.end)
        })
    }

    pub(crate) fn into_sorted(mut self) -> Vec<Diagnostic> {
        sort(&mut self.found);
        if self.n_more > 0 {
            self.found
                .push(Diagnostic::new(Code::TooManyErrors, format!("{} more are not shown", self.n_more)));
        }
        self.found
    }
}
