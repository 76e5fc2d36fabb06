//! The store against a disk that stops at any step, with any part of a write done.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, json};
use tempfile::TempDir;

use super::*;

/// Does what the real one does until its steps are used up. From then on everything fails, as if the process were gone;
/// the write at which they end leaves a part of its file behind.
struct Failing {
    steps: AtomicUsize,
    /// The part of a write that is still done, in percent.
    written_percent: usize,
    /// Whether only one step fails, as on a full disk, and not all that follow.
    only_once: bool,
    log: Mutex<Vec<&'static str>>,
}

impl Failing {
    fn step(&self, name: &'static str) -> io::Result<()> {
        self.log.lock().unwrap().push(name);
        let before = self.steps.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            if self.only_once { Some(left.wrapping_sub(1)) } else { Some(left.saturating_sub(1)) }
        });
        if before == Ok(0) { Err(io::Error::other("the disk is gone")) } else { Ok(()) }
    }
}

impl Disk for &'static Failing {
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.step("write") {
            let part = bytes.len() * self.written_percent / 100;
            RealDisk.write(path, bytes.get(..part).unwrap_or_default())?;
            return Err(error);
        }
        RealDisk.write(path, bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step("rename")?;
        RealDisk.rename(from, to)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.step("sync")?;
        RealDisk.sync_folder(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step("remove")?;
        RealDisk.remove(path)
    }
}

fn failing(steps: usize, written_percent: usize, only_once: bool) -> &'static Failing {
    let log = Mutex::default();
    Box::leak(Box::new(Failing { steps: AtomicUsize::new(steps), written_percent, only_once, log }))
}

fn text(revision: u64) -> OverlayText {
    let patch = Map::from_iter([("routes".to_owned(), json!({ "a": { "priority": revision } }))]);
    OverlayText { revision, author: "test".to_owned(), patch, ..OverlayText::default() }
}

fn write(store: &Store, revision: u64) -> Result<(), StoreError> {
    let before = store.current()?;
    let draft = store.draft(&text(revision))?;
    store.commit(draft, before.as_ref())
}

/// A state directory in which revision 1 holds.
fn state() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(&Store::open(folder.path()).unwrap(), 1).unwrap();
    folder
}

fn holds(store: &Store) -> u64 {
    store.current().unwrap().map_or(0, |overlay| OverlayText::parse(&overlay).unwrap().revision)
}

#[test]
fn a_revision_holds_and_is_kept() {
    let folder = state();
    let store = Store::open(folder.path()).unwrap();
    write(&store, 2).unwrap();
    assert_eq!((holds(&store), store.revisions().unwrap()), (2, vec![1, 2]));
    assert_eq!(store.revision(1).unwrap(), Some(text(1)));
    assert_eq!(store.revision(9).unwrap(), None);
    let draft = store.draft(&text(3)).unwrap();
    store.discard(draft);
    assert_eq!((holds(&store), store.revisions().unwrap()), (2, vec![1, 2]));
}

#[test]
fn a_process_that_dies_at_any_step_leaves_one_whole_revision() {
    for only_once in [false, true] {
        for percent in [0, 1, 50, 99, 100] {
            let mut n_failed = 0;
            for steps in 0..16 {
                let folder = state();
                let disk = failing(usize::MAX, percent, only_once);
                let store = Store::open_with(folder.path(), Box::new(disk)).unwrap();
                disk.steps.store(steps, Ordering::SeqCst);
                let written = write(&store, 2);
                n_failed += usize::from(written.is_err());
                // The next process.
                let store = Store::open(folder.path()).unwrap();
                let now = holds(&store);
                let at = format!("{steps} steps, {percent} %, {:?}", disk.log.lock().unwrap());
                assert!(now == 1 || now == 2, "{now}: {at}");
                if written.is_ok() {
                    assert_eq!(now, 2, "{at}");
                }
                if only_once && written.is_err() {
                    assert_eq!(now, 1, "what failed was put back: {at}");
                }
                // What holds is in history, and nothing of the other is left over.
                assert!(store.revisions().unwrap().contains(&now), "{at}");
                assert!(!folder.path().join("overlay.yaml.new").exists(), "{at}");
                let history = names(&folder.path().join("history")).unwrap();
                assert!(history.iter().all(|name| !name.ends_with(DRAFT)), "{history:?}: {at}");
                write(&store, 3).unwrap();
                assert_eq!(holds(&store), 3, "{at}");
            }
            assert!(n_failed >= 4, "{n_failed} of the steps could fail");
        }
    }
}

#[test]
fn the_first_revision_dies_like_any_other() {
    for steps in 0..8 {
        let folder = tempfile::tempdir().unwrap();
        let disk = failing(usize::MAX, 50, false);
        let store = Store::open_with(folder.path(), Box::new(disk)).unwrap();
        disk.steps.store(steps, Ordering::SeqCst);
        let written = write(&store, 1);
        let store = Store::open(folder.path()).unwrap();
        let now = holds(&store);
        assert!(now == 1 || (now == 0 && written.is_err()), "{steps}");
        assert_eq!(store.revisions().unwrap(), if now == 1 { vec![1] } else { vec![] }, "{steps}");
    }
}

#[test]
fn history_forgets_the_oldest() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for revision in 1..=(HISTORY_MAX as u64 + 3) {
        write(&store, revision).unwrap();
    }
    let kept = store.revisions().unwrap();
    assert_eq!((kept.len(), kept.first().copied()), (HISTORY_MAX, Some(4)));
}

#[test]
fn an_overlay_that_somebody_broke_is_left_for_them_to_mend() {
    let folder = state();
    let overlay = folder.path().join(OVERLAY_FILE);
    std::fs::write(&overlay, "patch: {").unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.current().unwrap().unwrap().bytes, b"patch: {");
    std::fs::remove_file(overlay).unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!((holds(&store), store.revisions().unwrap()), (0, vec![1]));
}

#[test]
fn only_the_owner_reads_what_is_kept() {
    use std::os::unix::fs::PermissionsExt;

    let folder = state();
    for file in ["overlay.yaml", "history/000001.yaml"] {
        let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}
