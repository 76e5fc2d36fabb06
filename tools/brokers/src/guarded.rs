//! A process that does not outlive its handle, nor the process that holds the handle.
//!
//! Between the two stands a shell that waits for its standard input to end. It ends when the handle is
//! dropped and when the holder dies, by whatever signal; then the shell kills the process and all that
//! it started. Nothing else would end a server of a test that was killed itself, and test harnesses
//! drop no statics.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

/// Runs "$@" in a session of its own, says its id, and kills that session when standard input ends.
const GUARD: &str = r#"
setsid "$@" </dev/null >>"$GUARDED_LOG" 2>&1 &
pid=$!
echo "$pid"
read -r _
kill -s KILL -- "-$pid" 2>/dev/null || kill -s KILL "$pid" 2>/dev/null
wait "$pid" 2>/dev/null
"#;

/// What to run.
#[derive(Debug, Clone)]
pub struct GuardedCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables it has beside this process's own.
    pub environment: Vec<(String, OsString)>,
    /// Where its output goes, at the end of what is there.
    pub log: PathBuf,
}

impl GuardedCommand {
    /// A program without arguments.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), arguments: Vec::new(), environment: Vec::new(), log: log.into() }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// One more variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(&self) -> std::io::Result<ExitStatus> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()
    }
}

/// A running process, killed with all that it started when this is dropped or this process ends.
#[derive(Debug)]
pub struct Guarded {
    guard: Child,
    pid: u32,
}

impl Guarded {
    /// Starts it.
    ///
    /// # Errors
    /// When the shell cannot be started. A program that cannot be found ends at once: see [`Self::is_alive`].
    pub fn start(command: &GuardedCommand) -> std::io::Result<Self> {
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(&command.program)
            .args(&command.arguments)
            .envs(command.environment.iter().map(|(name, value)| (name, value)))
            .env("GUARDED_LOG", &command.log)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Ctrl-C reaches the holder alone, and by its end the guard.
            .process_group(0)
            .spawn()?;
        let mut said = String::new();
        if let Some(stdout) = guard.stdout.take() {
            BufReader::new(stdout).read_line(&mut said)?;
        }
        let pid = said.trim().parse();
        let pid =
            pid.map_err(|_| std::io::Error::other(format!("the guard said {said:?} instead of an id")))?;
        Ok(Self { guard, pid })
    }

    /// Its id, and that of the session of all that it starts.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        // The guard collects it only when told to, so until then its id is nobody else's.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // The guard has two commands left; one that is gone already has nothing left to do.
        let _ = self.guard.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::pause;

    fn sleeper(folder: &std::path::Path) -> GuardedCommand {
        // A shell that starts another process: both have to go.
        GuardedCommand::new("sh", folder.join("log")).arg("-c").arg("sleep 1000 & echo $!; wait")
    }

    fn is_gone(pid: u32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.is_empty() || stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']))
    }

    fn until(what: &str, condition: impl Fn() -> bool) {
        for _ in 0..500 {
            if condition() {
                return;
            }
            pause();
        }
        panic!("waited in vain for {what}");
    }

    fn inner_pid(folder: &std::path::Path) -> u32 {
        let said = || std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        until("the inner process to be named", || said().ends_with('\n'));
        said().trim().parse().unwrap()
    }

    #[test]
    fn a_dropped_process_is_gone_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let guarded = Guarded::start(&sleeper(folder.path())).unwrap();
        assert!(guarded.is_alive());
        let (outer, inner) = (guarded.pid(), inner_pid(folder.path()));
        drop(guarded);
        assert!(is_gone(outer));
        until("the inner process to go", || is_gone(inner));
    }

    #[test]
    fn a_program_that_does_not_exist_is_not_alive() {
        let folder = tempfile::tempdir().unwrap();
        let command = GuardedCommand::new("/nowhere/at/all", folder.path().join("log"));
        let guarded = Guarded::start(&command).unwrap();
        until("the end of what never began", || !guarded.is_alive());
    }
}
