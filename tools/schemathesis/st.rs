//! Lets schemathesis, a tool that does not know us, ask a running server whatever its description allows, and more.
//!
//! It is `schemathesis/bin/st` in `$PORTCULLIS_TOOLS`, which `./run setup` installs. Without it a test says that it was
//! skipped; with CI=true its absence is a failure. A module of every test program that includes it by path.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Longest run of the tool. Ten times what it takes, because the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(300);
/// How often the tool is asked whether it has ended.
const LOOK: Duration = Duration::from_millis(50);
/// Cases are drawn from this, so a failure is met again by whoever runs the test again.
const SEED: &str = "1";
/// Longest wait for one answer.
const REQUEST_SECONDS: &str = "60";
const EVERY_PHASE: &str = "examples,coverage,fuzzing,stateful";

/// What is asked, and how.
pub(crate) struct Questions<'a> {
    /// Where the description is.
    pub(crate) location: &'a str,
    /// How many of its operations are to be asked.
    pub(crate) operations: usize,
    /// Cases of one operation in one phase, beside those that its description makes necessary.
    pub(crate) examples_max: u32,
    /// A file with settings of the tool.
    pub(crate) config: Option<&'a Path>,
    pub(crate) arguments: &'a [&'a str],
    pub(crate) variables: &'a [(&'a str, &'a str)],
}

/// The tool, where it is installed.
pub(crate) struct Schemathesis(PathBuf);

impl Schemathesis {
    /// `None`, said aloud, where it is not installed.
    pub(crate) fn find() -> Option<Self> {
        let tool =
            std::env::var_os("PORTCULLIS_TOOLS").map(|tools| Path::new(&tools).join("schemathesis/bin/st"));
        if let Some(tool) = tool.filter(|tool| tool.is_file()) {
            return Some(Self(tool));
        }
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "no schemathesis in $PORTCULLIS_TOOLS");
        // Written past the test harness, which would keep the output of a passing test to itself.
        let skipped = "\n*** SKIPPED: no schemathesis here; ./run setup installs it ***\n\n";
        std::io::stderr().write_all(skipped.as_bytes()).unwrap();
        None
    }

    /// Asks everything, with every check. Panics with the tool's report if it finds anything, if it did not ask about
    /// every operation, or if it does not end.
    pub(crate) fn finds_nothing(&self, questions: &Questions<'_>) {
        let (status, report) = self.run(questions);
        assert!(status.is_some(), "schemathesis is not done after {DEADLINE:?}:\n{report}");
        assert!(status.is_some_and(|status| status.success()), "schemathesis found something:\n{report}");
        let operations = questions.operations;
        assert!(report.contains(&format!("Tested: {operations}\n")), "not all {operations}:\n{report}");
    }

    fn command(&self, questions: &Questions<'_>) -> Command {
        let mut command = Command::new(&self.0);
        command
            .envs(questions.variables.iter().copied())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg("--no-color");
        command.args(questions.config.iter().flat_map(|file| [Path::new("--config-file"), file]));
        command.args(["run", questions.location, "--checks", "all", "--phases", EVERY_PHASE, "--seed", SEED]);
        // A busy machine is no finding.
        command.args(["--generation-database", "none", "--suppress-health-check", "too_slow"]);
        command.args(["--request-timeout", REQUEST_SECONDS, "--max-response-time", REQUEST_SECONDS]);
        command.args(["--max-examples", &questions.examples_max.to_string()]).args(questions.arguments);
        command
    }

    /// How the tool ended, if it did in time, and what it said.
    #[expect(clippy::disallowed_methods, reason = "polls with a deadline whether a process has ended")]
    fn run(&self, questions: &Questions<'_>) -> (Option<ExitStatus>, String) {
        // It leaves what it wants to remember where it runs.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report");
        let file = File::create(&path).unwrap();
        let mut command = self.command(questions);
        command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        let mut tool = command.spawn().unwrap();
        let deadline = Instant::now() + DEADLINE;
        let mut in_time = false;
        while !in_time && Instant::now() < deadline {
            std::thread::sleep(LOOK);
            in_time = tool.try_wait().unwrap().is_some();
        }
        if !in_time {
            tool.kill().unwrap();
        }
        let status = tool.wait().unwrap();
        let report = std::fs::read(path).unwrap();
        (in_time.then_some(status), String::from_utf8_lossy(&report).into_owned())
    }
}
