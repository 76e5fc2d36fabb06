//! Why a gateway did not do what was asked, for people and for programs, and the exit code that says so.

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::text;
use crate::cli::{EXIT_CONFLICT, EXIT_INVALID, EXIT_TESTS, Output, complain, print};

/// What to do about a token that opens nothing.
const WHOSE_TOKEN: &str =
    "  help: --token-file, PORTCULLIS_ADMIN_TOKEN or --state-dir say with which token to ask\n";
/// What the gateway calls a configuration that was sent to it.
const SENT: &str = "request.yaml";

/// Why it did not work.
#[derive(Debug)]
pub(in crate::cli) enum Trouble {
    /// What was asked for makes no sense.
    Usage(String),
    /// Nobody answered, or nothing that is understood.
    Unreachable(String),
    /// The gateway said no, with this problem document.
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it said.
        problem: Value,
    },
}

impl Trouble {
    /// Says it, and the exit code.
    pub(in crate::cli) fn tell(&self, output: Output) -> ExitCode {
        if output.json {
            print(&format!("{:#}\n", self.to_json()));
        } else {
            complain(&self.to_text());
        }
        ExitCode::from(self.exit_code())
    }

    /// Findings about what was sent are findings about this file.
    pub(in crate::cli) fn about(mut self, path: &Path) -> Self {
        if let Self::Refused { problem, .. } = &mut self {
            let errors = problem.get_mut("errors").and_then(Value::as_array_mut);
            for error in errors.into_iter().flatten() {
                if error["file"] == SENT {
                    error["file"] = json!(path.display().to_string());
                }
            }
        }
        self
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => EXIT_INVALID,
            Self::Unreachable(_) => 1,
            Self::Refused { status: 409 | 412 | 428, .. } => EXIT_CONFLICT,
            Self::Refused { status: 422, problem } if problem["code"] == "tests_failed" => EXIT_TESTS,
            Self::Refused { status: 400 | 422, .. } => EXIT_INVALID,
            Self::Refused { .. } => 1,
        }
    }

    fn to_json(&self) -> Value {
        let ours = |code: &str, detail: &str| json!({ "type": "about:blank", "title": "the command failed", "code": code, "detail": detail });
        match self {
            Self::Usage(detail) => ours("usage", detail),
            Self::Unreachable(detail) => ours("unreachable", detail),
            Self::Refused { problem, .. } => problem.clone(),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Usage(detail) | Self::Unreachable(detail) => format!("portcullis: {detail}\n"),
            Self::Refused { status, problem } => {
                let mut said = format!(
                    "portcullis: {} ({status}): {}\n",
                    text(&problem["code"]),
                    text(&problem["detail"])
                );
                if *status == 401 {
                    said.push_str(WHOSE_TOKEN);
                }
                let mut errors: Vec<&Value> = problem["errors"].as_array().into_iter().flatten().collect();
                errors.sort_by_key(|error| place(error));
                for error in errors {
                    said.push_str(&finding(error));
                }
                said
            }
        }
    }
}

/// Where a finding is, for putting findings in the order of the text they are about.
fn place(error: &Value) -> (Option<&str>, Option<u64>, Option<u64>) {
    (error["file"].as_str(), error["line"].as_u64(), error["column"].as_u64())
}

/// One finding about a configuration: code, place, what is wrong, what would be right.
fn finding(error: &Value) -> String {
    let place = match (error["file"].as_str(), error["line"].as_u64()) {
        (Some(file), Some(line)) => format!(" {file}:{line}:{}", text(&error["column"])),
        (None, Some(line)) => format!(" {line}:{}", text(&error["column"])),
        (_, None) => String::new(),
    };
    let pointer = error["pointer"].as_str().map(|pointer| format!(" {pointer}")).unwrap_or_default();
    let help = error["help"].as_str().map(|help| format!("\n  help: {help}")).unwrap_or_default();
    format!("{}{place}{pointer}: {}{help}\n", text(&error["code"]), text(&error["detail"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str) -> Trouble {
        let errors = json!([{ "code": "E0412", "line": 3, "column": 5, "detail": "unknown upstream", "help": "name one" }]);
        Trouble::Refused { status, problem: json!({ "code": code, "detail": "no", "errors": errors }) }
    }

    #[test]
    fn the_exit_code_says_whose_turn_it_is() {
        for (trouble, code) in [
            (refused(409, "writes_off"), 4),
            (refused(412, "precondition_failed"), 4),
            (refused(428, "precondition_required"), 4),
            (refused(422, "invalid"), 2),
            (refused(422, "tests_failed"), 3),
            (refused(400, "bad_query"), 2),
            (refused(401, "unauthenticated"), 1),
            (refused(403, "role"), 1),
            (refused(404, "unknown_route"), 1),
            (refused(503, "busy"), 1),
            (Trouble::Usage("x".to_owned()), 2),
            (Trouble::Unreachable("x".to_owned()), 1),
        ] {
            assert_eq!(trouble.exit_code(), code, "{trouble:?}");
        }
    }

    #[test]
    fn findings_about_what_was_sent_name_the_file_and_come_in_its_order() {
        let finding =
            |line| json!({ "code": "E0412", "file": SENT, "line": line, "column": 1, "detail": "x" });
        let problem = json!({ "code": "invalid", "detail": "no", "errors": [finding(7), finding(3)] });
        let told = Trouble::Refused { status: 422, problem }.about(Path::new("shop.yaml")).to_text();
        assert!(told.ends_with("E0412 shop.yaml:3:1: x\nE0412 shop.yaml:7:1: x\n"), "{told}");
        let of_others = Trouble::Refused { status: 502, problem: json!("Bad Gateway") };
        assert!(of_others.about(Path::new("shop.yaml")).to_text().contains("502"));
    }

    #[test]
    fn whose_token_opens_nothing_is_told_which_one_was_sent() {
        assert!(refused(401, "unauthenticated").to_text().contains("--token-file"));
    }

    #[test]
    fn findings_are_told_with_their_place_and_the_way_out() {
        let told = refused(422, "invalid").to_text();
        assert!(told.contains("E0412 3:5: unknown upstream\n  help: name one"), "{told}");
    }
}
