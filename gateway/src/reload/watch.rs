//! When to reload: on SIGHUP, and if asked for whenever the files change.
//!
//! Directories are watched, not files: editors and Kubernetes replace files instead of writing
//! them. A burst of events is one reload, and files that say the same are none.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use portcullis_schema::{FileSource, load};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::{Disk, Reloader};

/// Quiet time after the last event before the files are read.
const SETTLE: Duration = Duration::from_millis(200);
/// Longest wait for that quiet: a log in the same directory is written all the time.
const SETTLE_MAX: Duration = Duration::from_secs(1);
/// Events kept while one is being handled; one is as good as many.
const EVENTS_MAX: usize = 1;

/// Reloads on every SIGHUP, for as long as the process lives.
///
/// # Errors
/// When the signal cannot be received.
pub async fn on_hangup(reloader: Arc<Reloader>) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    while hangup.recv().await.is_some() {
        // The outcome is in the log, the metrics and the admin API.
        let _ = reload(&reloader).await;
    }
    Ok(())
}

/// Reloads whenever the text of the configuration changes, for as long as the process lives.
///
/// # Errors
/// When the directory of the main file cannot be watched.
pub async fn on_change(reloader: Arc<Reloader>) -> notify::Result<()> {
    let (sender, mut events) = mpsc::channel(EVENTS_MAX);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading is no change: our own reads would keep us reading.
        if event.is_ok_and(|event| event.kind.is_access()) {
            return;
        }
        // A full channel means a reload is already due.
        let _ = sender.try_send(());
    })?;
    let directory =
        reloader.root().parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    watcher.watch(directory, RecursiveMode::Recursive)?;
    let mut known = fingerprint(&reloader);
    while events.recv().await.is_some() {
        let quiet = async { while tokio::time::timeout(SETTLE, events.recv()).await.is_ok() {} };
        let _never_quiet = tokio::time::timeout(SETTLE_MAX, quiet).await;
        let present = fingerprint(&reloader);
        if present != known {
            known = present;
            // What changed while a configuration was on trial is read when the trial is over.
            while reload(&reloader).await == Err("on_trial") {
                reloader.settled().await;
            }
        }
    }
    Ok(())
}

/// Reloads; an error is the refusal's code.
async fn reload(reloader: &Arc<Reloader>) -> Result<(), &'static str> {
    let reloader = reloader.clone();
    let reload = move || reloader.reload(&Disk).map(|_| ()).map_err(|refusal| refusal.code());
    tokio::task::spawn_blocking(reload).await.unwrap_or_else(|_| {
        tracing::error!("the reload ended in a panic, the old configuration stays in use");
        Err("panic")
    })
}

/// A number that differs when any file of the configuration does.
fn fingerprint(reloader: &Reloader) -> u64 {
    let mut hasher = DefaultHasher::new();
    let recorder = Recorder(std::cell::RefCell::new(&mut hasher));
    load(reloader.root(), &recorder, reloader.env());
    hasher.finish()
}

/// Reads like [`Disk`] and remembers what it read.
struct Recorder<'a>(std::cell::RefCell<&'a mut DefaultHasher>);

impl FileSource for Recorder<'_> {
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        let read = Disk.read(path);
        (path, read.as_ref().ok()).hash(&mut **self.0.borrow_mut());
        read
    }

    fn list(&self, directory: &Path) -> std::io::Result<Vec<portcullis_schema::Listed>> {
        Disk.list(directory)
    }
}
