//! The processes that a run starts. Each is killed by its own id when its handle goes, whatever the reason.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// Longest wait for a started process to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// Longest wait for one answer while polling.
const POLL_WAIT: Duration = Duration::from_secs(2);
/// Time between two polls.
const POLL_PAUSE: Duration = Duration::from_millis(1);
/// Bytes of a dead process's last words that are shown.
const LAST_WORDS_BYTES: usize = 2_000;

/// A running process that listens.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
    child: Child,
    log: PathBuf,
    started: Instant,
}

/// What to start.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    pub(crate) name: &'a str,
    pub(crate) program: &'a Path,
    pub(crate) arguments: Vec<String>,
    /// Where it will listen.
    pub(crate) address: SocketAddr,
    /// The CPU it may use; `None` for all that are left to it.
    pub(crate) cpu: Option<usize>,
    /// Folder for what it writes on standard error.
    pub(crate) folder: &'a Path,
}

impl Running {
    /// Starts a process. On the CPU by way of `taskset`, which replaces itself, so the id is the program's own.
    pub(crate) fn start(start: Start<'_>) -> Result<Self, String> {
        let log = start.folder.join(format!("{}.log", start.name));
        let stderr =
            File::create(&log).map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        let mut command = match start.cpu {
            Some(cpu) => {
                let mut command = Command::new("taskset");
                command.arg("-c").arg(cpu.to_string()).arg(start.program);
                command
            }
            None => Command::new(start.program),
        };
        command
            .args(&start.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .kill_on_drop(true);
        let started = now();
        let child = command.spawn().map_err(|error| format!("cannot start {}: {error}", start.name))?;
        let pid = child.id().ok_or_else(|| format!("{} ended at once", start.name))?;
        Ok(Self { name: start.name.to_owned(), address: start.address, pid, child, log, started })
    }

    /// Polls until `request` is answered with 200, and says how long that took from the start.
    pub(crate) async fn until_it_answers(&mut self, request: &str) -> Result<Duration, String> {
        loop {
            if answers(self.address, request).await {
                return Ok(now().duration_since(self.started));
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("{} ended with {status}: {}", self.name, self.last_words()));
            }
            if now().duration_since(self.started) > ANSWER_WAIT {
                return Err(format!("{} does not answer with 200: {}", self.name, self.last_words()));
            }
            tokio::time::sleep(POLL_PAUSE).await;
        }
    }

    /// Holds it still: its memory and its connections stay, its timers do not run.
    pub(crate) fn pause(&self) -> Result<(), String> {
        self.signal(Signal::STOP)
    }

    /// Lets it run again.
    pub(crate) fn resume(&self) -> Result<(), String> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), String> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| format!("{} has no process id", self.name))?;
        kill_process(pid, signal).map_err(|error| format!("cannot signal {}: {error}", self.name))
    }

    /// Kills it and waits until it is gone.
    pub(crate) async fn stop(mut self) {
        // An error means that it is gone already.
        let _ = self.child.kill().await;
    }

    fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let start = text.len().saturating_sub(LAST_WORDS_BYTES);
        String::from_utf8_lossy(text.get(start..).unwrap_or_default()).into_owned()
    }
}

async fn answers(address: SocketAddr, request: &str) -> bool {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut status = [0; 12];
        stream.read_exact(&mut status).await?;
        std::io::Result::Ok(status)
    };
    matches!(tokio::time::timeout(POLL_WAIT, exchange).await, Ok(Ok(status)) if status.ends_with(b" 200"))
}

/// Ports that are free now, all different. Another process may take one before it is used; then the
/// run ends with that process's error.
pub(crate) fn free_addresses(count: usize) -> Result<Vec<SocketAddr>, String> {
    let held: Result<Vec<TcpListener>, _> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
    let held = held.map_err(|error| format!("no free port: {error}"))?;
    held.iter().map(|listener| listener.local_addr().map_err(|error| error.to_string())).collect()
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time; this is where it reads it")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
