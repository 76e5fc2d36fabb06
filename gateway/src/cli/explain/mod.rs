//! `portcullis explain`: what an error code means, or how a route comes by its settings.
//!
//! Decides which of the two was asked and how the answer is printed; what holds for a route is the core's to say.

mod route;

use std::process::ExitCode;

use clap::Args;
use portcullis_core::limit::LimitSeed;
use portcullis_core::snapshot::{Carried, Snapshot, compile, explain};
use portcullis_schema::{Code, Loaded, Severity, load_with, nearest};
use serde_json::json;

use super::{ConfigFile, EXIT_INVALID, Output, Overlaid, complain, environment, print, refuse};
use crate::reload::{Disk, Refusal, explanation_to_json};

/// Routes that are named when none is like the one asked for.
const ROUTES_NAMED: usize = 10;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  portcullis explain orders -c gateway.yaml   its settings, who set each and where, and its gates
  portcullis explain E0412                    what the error means, with an example")]
pub(super) struct Explain {
    /// The name of a route, or an error code such as E0412
    #[arg(value_name = "ROUTE|CODE")]
    subject: String,
    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    overlaid: Overlaid,
    #[command(flatten)]
    output: Output,
}

impl Explain {
    pub(super) fn run(self) -> ExitCode {
        if let Some(code) = Code::find(&self.subject) {
            self.code(code);
            return ExitCode::SUCCESS;
        }
        if looks_like_code(&self.subject) {
            let hint = code_hint(&self.subject);
            complain(&format!("portcullis: no error has the code {}{hint}\n", self.subject));
            return ExitCode::from(EXIT_INVALID);
        }
        let overlay = match self.overlaid.read() {
            Ok(overlay) => overlay,
            Err(code) => return code,
        };
        let loaded = load_with(&self.config.path, &Disk, &environment(), overlay.as_ref());
        let catalog = super::catalog();
        let compiled = compile(&loaded, &catalog, &Carried::nothing(LimitSeed([0; 2])));
        match compiled.snapshot {
            Some(snapshot) => self.route(&loaded, &snapshot),
            None => {
                if !self.output.json {
                    let (subject, file) = (&self.subject, self.config.path.display());
                    let hint = code_hint(subject);
                    complain(&format!(
                        "portcullis: `{subject}` is no error code{hint}; routes are looked up in {file}, which cannot be used:\n"
                    ));
                }
                let sources = std::sync::Arc::new(loaded.sources);
                refuse(&Refusal::Invalid { diagnostics: compiled.diagnostics, sources }, self.output)
            }
        }
    }

    fn code(&self, code: Code) {
        let (name, title) = (code.as_str(), code.title());
        let (explanation, example) = (code.explanation(), code.example());
        if self.output.json {
            let severity = match code.severity() {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            print(&format!(
                "{:#}\n",
                json!({ "code": name, "title": title, "severity": severity, "explanation": explanation, "example": example })
            ));
        } else if !self.output.quiet {
            let example = if example.is_empty() { String::new() } else { format!("\n{example}\n") };
            print(&format!("{name}: {title}\n\n{explanation}\n{example}"));
        }
    }

    fn route(&self, loaded: &Loaded, snapshot: &Snapshot) -> ExitCode {
        let Some(explanation) = explain(loaded, snapshot, &self.subject) else {
            complain(&self.unknown(loaded));
            return ExitCode::from(EXIT_INVALID);
        };
        if self.output.json {
            print(&format!("{:#}\n", explanation_to_json(&explanation, &loaded.sources)));
        } else if !self.output.quiet {
            print(&route::text(&explanation, &loaded.sources));
        }
        ExitCode::SUCCESS
    }

    /// Why there is nothing to explain, with what was probably meant.
    fn unknown(&self, loaded: &Loaded) -> String {
        let (subject, file) = (&self.subject, self.config.path.display());
        let names = || loaded.document.routes.keys().map(|name| name.as_str());
        let hint = match (nearest(subject, names()), near_code(subject)) {
            (Some(route), _) => format!("did you mean `{route}`?"),
            (None, Some(code)) => format!("did you mean the error {code}?"),
            (None, None) => {
                let shown: Vec<&str> = names().take(ROUTES_NAMED).collect();
                let more = names().count().saturating_sub(shown.len());
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("its routes: {}{more}", shown.join(", "))
            }
        };
        format!("portcullis: {file} has no route `{subject}`; {hint}\n")
    }
}

/// `E` or `W` and four digits: meant as a code, whether it is one or not.
fn looks_like_code(text: &str) -> bool {
    let digits = text.trim().strip_prefix(['E', 'e', 'W', 'w']).unwrap_or("");
    digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit())
}

/// The code that was probably meant, as the end of a sentence.
fn code_hint(text: &str) -> String {
    near_code(text).map(|near| format!(" (did you mean {near}?)")).unwrap_or_default()
}

fn near_code(text: &str) -> Option<&'static str> {
    let near = nearest(text, Code::ALL.iter().map(|code| code.as_str()))?;
    Some(near).filter(|_| text.bytes().any(|b| b.is_ascii_digit()))
}
