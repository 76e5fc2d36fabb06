//! The access log: one JSON line a request, written by one thread that no request waits for.
//!
//! A request appends its line to one of a few buffers under a lock nobody holds for longer than
//! a copy; the writer empties them on a timer. A full buffer drops the line and counts it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use prometheus::IntCounter;

/// Buffers, so that worker threads rarely meet at one lock.
const SHARDS: usize = 8;
/// Bytes a buffer holds before it drops lines.
const SHARD_BYTES_MAX: usize = 1 << 20;
/// How often the writer empties the buffers.
const FLUSH_EVERY: Duration = Duration::from_millis(50);

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// A file, opened for appending; made if it is not there.
    File(PathBuf),
}

/// The requests' end of the log.
#[derive(Debug)]
pub struct AccessLog {
    shared: Arc<Shared>,
    dropped: IntCounter,
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    shards: [Mutex<Vec<u8>>; SHARDS],
    stopping: AtomicBool,
    wake: (Mutex<()>, Condvar),
}

/// The log and the share of requests that it keeps.
#[derive(Debug)]
pub struct SampledLog {
    /// Where lines go.
    pub lines: AccessLog,
    /// The share kept, 0 to 1.
    pub share: f64,
}

impl SampledLog {
    /// Whether a request with this uniform number is kept.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
    pub fn keeps(&self, number: u64) -> bool {
        self.share >= 1.0 || (number as f64) < self.share * (u64::MAX as f64)
    }
}

impl AccessLog {
    /// Opens the destination and starts the writer.
    ///
    /// # Errors
    /// When the file cannot be opened for appending.
    #[expect(clippy::disallowed_methods, reason = "the writer thread ends in `close`, which boot calls last")]
    pub fn open(destination: &Destination, dropped: IntCounter) -> io::Result<Self> {
        let sink = match destination {
            Destination::Stdout => Sink::Stdout,
            Destination::File(path) => Sink::File(append_to(path)?),
        };
        let shared = Arc::new(Shared {
            shards: std::array::from_fn(|_| Mutex::new(Vec::new())),
            stopping: AtomicBool::new(false),
            wake: (Mutex::new(()), Condvar::new()),
        });
        let (theirs, lost) = (shared.clone(), dropped.clone());
        let writer = std::thread::spawn(move || theirs.write_until_stopped(sink, &lost));
        Ok(Self { shared, dropped, writer: Mutex::new(Some(writer)) })
    }

    /// Appends the line that `format` writes; the newline is added here.
    ///
    /// Nothing is formatted when the buffer is full: the line is counted as dropped instead.
    pub fn append(&self, format: impl FnOnce(&mut Vec<u8>)) {
        let Some(shard) = self.shared.shards.get(shard_of_thread()) else { return };
        let mut buffer = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.len() >= SHARD_BYTES_MAX {
            self.dropped.inc();
            return;
        }
        format(&mut buffer);
        buffer.push(b'\n');
    }

    /// Writes what is left and ends the writer.
    pub fn close(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.wake.1.notify_all();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the access-log writer ended in a panic");
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn write_until_stopped(&self, mut sink: Sink, lost: &IntCounter) {
        let mut batch = Vec::new();
        let mut broken = false;
        loop {
            let stopping = self.stopping.load(Ordering::Acquire);
            for shard in &self.shards {
                // The emptied batch goes in as the new buffer, so both keep their capacity.
                std::mem::swap(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner), &mut batch);
                let written = sink.write(&batch);
                report(&written, &mut broken);
                if written.is_err() {
                    lost.inc_by(batch.iter().filter(|byte| **byte == b'\n').count() as u64);
                }
                batch.clear();
            }
            if stopping {
                return;
            }
            let guard = self.wake.0.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = self.wake.1.wait_timeout(guard, FLUSH_EVERY);
        }
    }
}

/// Says once that writing fails and once that it works again, not once a line.
fn report(written: &io::Result<()>, broken: &mut bool) {
    match written {
        Ok(()) if *broken => tracing::info!("the access log is being written again"),
        Err(error) if !*broken => {
            tracing::error!(%error, "the access log cannot be written; lines are dropped")
        }
        Ok(()) | Err(_) => {}
    }
    *broken = written.is_err();
}

#[derive(Debug)]
enum Sink {
    Stdout,
    File(File),
}

impl Sink {
    fn write(&mut self, batch: &[u8]) -> io::Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        match self {
            Sink::Stdout => io::stdout().lock().write_all(batch),
            Sink::File(file) => file.write_all(batch),
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn shard_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    }
    SHARD.with(|shard| *shard)
}

/// Appends `text` as the inside of a JSON string.
pub fn escape(out: &mut Vec<u8>, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        let (plain, from) = rest.split_at(at);
        out.extend_from_slice(plain.as_bytes());
        let Some(byte) = from.bytes().next() else { return };
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            _ => {
                // A write into memory cannot fail.
                let _ = write!(out, "\\u{byte:04x}");
            }
        }
        rest = from.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter() -> IntCounter {
        IntCounter::new("dropped", "lines").unwrap()
    }

    #[test]
    fn lines_reach_the_file_in_the_order_of_their_thread() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let log = AccessLog::open(&Destination::File(path.clone()), counter()).unwrap();
        for n in 0..1_000 {
            log.append(|line| line.extend_from_slice(n.to_string().as_bytes()));
        }
        log.close();
        let text = std::fs::read_to_string(path).unwrap();
        let expected: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_full_buffer_drops_lines_and_counts_them() {
        let dropped = counter();
        let log = AccessLog::open(&Destination::File("/dev/full".into()), dropped.clone()).unwrap();
        let long = vec![b'x'; SHARD_BYTES_MAX];
        log.append(|line| line.extend_from_slice(&long));
        log.append(|line| line.extend_from_slice(b"y"));
        log.close();
        assert!(dropped.get() >= 1, "a line that could not be written was not counted");
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_at_once() {
        let missing = Destination::File("/nonexistent/portcullis/access.log".into());
        assert_eq!(AccessLog::open(&missing, counter()).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn control_characters_and_quotes_are_escaped() {
        let mut out = Vec::new();
        escape(&mut out, "a\"b\\c\n\u{1f}é");
        assert_eq!(out, "a\\\"b\\\\c\\u000a\\u001fé".as_bytes());
    }
}
