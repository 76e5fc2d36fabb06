//! What compiling finds, each finding once.

use std::collections::BTreeSet;

use portcullis_schema::{Code, DIAGNOSTICS_MAX, Diagnostic, Span, nearest, sort};

/// Collects findings. A policy that many routes use is compiled for each of them, so equal findings are folded.
#[derive(Debug, Default)]
pub(super) struct Report {
    found: Vec<Diagnostic>,
    seen: BTreeSet<(Code, Option<Span>, String)>,
    n_more: usize,
    has_errors: bool,
}

impl Report {
    /// Adds a finding.
    pub(super) fn add(&mut self, diagnostic: Diagnostic) {
        self.has_errors |= diagnostic.is_error();
        if self.found.len() >= DIAGNOSTICS_MAX {
            self.n_more += 1;
        } else if self.seen.insert((diagnostic.code, diagnostic.at(), diagnostic.message.clone())) {
            self.found.push(diagnostic);
        }
    }

    /// Adds a finding at one place, perhaps with a way out.
    pub(super) fn say(
        &mut self,
        code: Code,
        at: Span,
        message: impl Into<String>,
        label: &str,
        help: Option<String>,
    ) {
        let mut diagnostic = Diagnostic::new(code, message).label(at, label);
        diagnostic.help = help;
        self.add(diagnostic);
    }

    /// Adds a name that is not defined, with the nearest that is.
    pub(super) fn unknown<'n>(
        &mut self,
        code: Code,
        at: Span,
        kind: &str,
        name: &str,
        known: impl IntoIterator<Item = &'n str>,
    ) {
        let help = nearest(name, known).map(|near| format!("did you mean `{near}`?"));
        self.say(code, at, format!("unknown {kind} `{name}`"), &format!("no {kind} has this name"), help);
    }

    /// Whether an error was found.
    pub(super) fn has_errors(&self) -> bool {
        self.has_errors
    }

    /// All findings by place.
    pub(super) fn into_sorted(mut self) -> Vec<Diagnostic> {
        sort(&mut self.found);
        if self.n_more > 0 {
            self.found
                .push(Diagnostic::new(Code::TooManyErrors, format!("{} more are not shown", self.n_more)));
        }
        self.found
    }
}
