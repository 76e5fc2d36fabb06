//! Processes: started by path, logged into a file each, and ended by their own pid.
//!
//! Each has a process group of its own, so that Ctrl-C reaches the demo alone and the demo ends
//! them in order. One that is dropped while it runs is killed.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};

use super::broken::Broken;

/// Longest wait for a process that was asked to stop.
const STOP_MAX: Duration = Duration::from_secs(15);
/// Bytes of a log that are looked at, from its end.
const LOG_BYTES_MAX: u64 = 256 << 10;
/// Lines of a log that are searched.
const LINES_MAX: usize = 2_000;

/// A program the demo starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    Gateway,
    Registry,
    User,
    Product,
    Order,
    Payment,
    Load,
}

impl Program {
    const ALL: [Self; 7] =
        [Self::Gateway, Self::Registry, Self::User, Self::Product, Self::Order, Self::Payment, Self::Load];

    const fn file(self) -> &'static str {
        match self {
            Self::Gateway => "portcullis",
            Self::Registry => "portcullis-registry",
            Self::User => "portcullis-user",
            Self::Product => "portcullis-product",
            Self::Order => "portcullis-order",
            Self::Payment => "portcullis-payment",
            Self::Load => "portcullis-load",
        }
    }
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    folder: PathBuf,
    logs: PathBuf,
}

impl Programs {
    /// The programs beside this one.
    pub(super) fn find(logs: PathBuf) -> Result<Self, Broken> {
        let this = std::env::current_exe()
            .map_err(|error| Broken::new(format!("cannot tell where this program is: {error}")))?;
        let folder = this.parent().map(Path::to_path_buf).unwrap_or_default();
        let missing: Vec<&str> =
            Program::ALL.into_iter().map(Program::file).filter(|file| !folder.join(file).is_file()).collect();
        if missing.is_empty() {
            return Ok(Self { folder, logs });
        }
        let (missing, folder) = (missing.join(", "), folder.display());
        Err(Broken::new(format!(
            "missing in {folder}: {missing}; run `./run build` first, then the demo from there"
        )))
    }

    /// The command that starts a program. Proxies of the environment are for other machines.
    pub(super) fn command(&self, program: Program) -> Command {
        let mut command = Command::new(self.folder.join(program.file()));
        command.env("NO_PROXY", "*").env("no_proxy", "*");
        command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
        command
    }

    /// Starts a process that writes its log into `NAME.log`, appending if it was there.
    pub(super) fn start(&self, name: &str, mut command: Command) -> Result<Process, Broken> {
        let log = self.logs.join(format!("{name}.log"));
        let broken = |error: std::io::Error| Broken::new(format!("cannot start {name}: {error}"));
        command.stderr(append(&log).map_err(broken)?);
        let child = command.spawn().map_err(broken)?;
        Ok(Process { name: name.to_owned(), child, log })
    }

    /// A file beside the logs, such as the access log.
    pub(super) fn log_file(&self, name: &str) -> PathBuf {
        self.logs.join(name)
    }
}

/// A file to append to.
pub(super) fn append(path: &Path) -> std::io::Result<File> {
    File::options().create(true).append(true).open(path)
}

/// A running program.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) name: String,
    pub(super) child: Child,
    pub(super) log: PathBuf,
}

impl Process {
    /// Asks it to stop. One that has ended already has no pid any more, so nobody else is hit.
    pub(super) fn terminate(&self) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself in this moment.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Asks it to stop and waits; one that does not stop is killed.
    pub(super) async fn stop(&mut self) {
        self.terminate();
        if tokio::time::timeout(STOP_MAX, self.child.wait()).await.is_err() {
            self.kill().await;
        }
    }

    /// SIGKILL: no time to say goodbye.
    pub(super) async fn kill(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill().await;
    }

    /// What it logged last, as far as it is JSON.
    pub(super) fn lines(&self) -> Vec<Value> {
        tail(&self.log, LINES_MAX).iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

/// The end of a log; empty if it cannot be read.
pub(super) fn tail(path: &Path, n_lines: usize) -> Vec<String> {
    let text = end_of(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(n_lines)).map(|line| (*line).to_owned()).collect()
}

fn end_of(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let from = file.metadata()?.len().saturating_sub(LOG_BYTES_MAX);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_log_is_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("x.log");
        std::fs::write(&log, "one\ntwo\nthree\n").unwrap();
        assert_eq!(tail(&log, 2), ["two", "three"]);
        assert_eq!(tail(&folder.path().join("missing"), 2), Vec::<String>::new());
    }
}
