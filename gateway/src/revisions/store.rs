//! The overlay and its history on disk: written whole or not at all, whenever the process dies.
//!
//! One rename is what makes a revision hold. Everything before it is a draft that the next start throws away, and
//! everything after it is made good by the next start:
//!
//! 1. `history/NNNNNN.yaml.new` and `overlay.yaml.new` are written and on the disk,
//! 2. `overlay.yaml.new` becomes `overlay.yaml`,
//! 3. `history/NNNNNN.yaml.new` becomes `history/NNNNNN.yaml`, and the oldest are removed.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use portcullis_schema::{Overlay, OverlayText, Style, render};
use thiserror::Error;

use super::disk::{Disk, RealDisk, make_folder, names, read};

/// The overlay's file in the state directory.
pub const OVERLAY_FILE: &str = "overlay.yaml";
/// The folder of earlier revisions in the state directory.
const HISTORY_FOLDER: &str = "history";
/// The end of a draft's name.
const DRAFT: &str = ".new";
/// Revisions that are kept; the oldest go first.
pub const HISTORY_MAX: usize = 100;

/// The store cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A file or folder of it.
    #[error("{path}: {source}; make room, or give the gateway's user the right to write there", path = path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A revision that is no overlay.
    #[error("{reason}\nmend {path}, or remove it to go back to the files alone", path = path.display())]
    Broken {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it, rendered.
        reason: String,
    },
}

/// Keeps the overlay and its history. One process at a time uses a state directory.
pub struct Store {
    folder: PathBuf,
    disk: Box<dyn Disk>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// A revision that is on the disk and does not hold yet.
#[must_use]
#[derive(Debug)]
pub(super) struct Draft {
    revision: u64,
}

impl Store {
    /// The store in a state directory, with what a crash left behind made good or thrown away.
    ///
    /// # Errors
    /// When a folder cannot be made or read, or the overlay is none.
    pub fn open(state: &Path) -> Result<Self, StoreError> {
        Self::open_with(state, Box::new(RealDisk))
    }

    pub(super) fn open_with(state: &Path, disk: Box<dyn Disk>) -> Result<Self, StoreError> {
        let store = Self { folder: state.to_path_buf(), disk };
        let history = store.history_folder();
        make_folder(&history).map_err(unusable(&history))?;
        let overlay = store.current()?;
        let text = overlay.as_ref().map(|overlay| OverlayText::parse(overlay).ok());
        let draft = store.overlay_draft();
        if draft.exists() {
            tracing::warn!(path = %draft.display(), "a change that was never put into use is thrown away");
            store.disk.remove(&draft).map_err(unusable(&draft))?;
        }
        match text {
            // An overlay that says nothing readable is told when it is loaded, and nothing is thrown away.
            Some(None) => {}
            Some(Some(text)) => store.settle(Some(text.revision))?,
            None => store.settle(None)?,
        }
        Ok(store)
    }

    /// What the last process left in history half-way: the revision that holds is kept, another never held.
    fn settle(&self, holds: Option<u64>) -> Result<(), StoreError> {
        let history = self.history_folder();
        for name in names(&history).map_err(unusable(&history))? {
            let Some(number) = name.strip_suffix(DRAFT).and_then(revision_of) else { continue };
            if Some(number) == holds {
                self.keep(number)?;
            } else {
                let path = history.join(&name);
                self.disk.remove(&path).map_err(unusable(&path))?;
            }
        }
        Ok(())
    }

    /// The overlay that holds, if there is one, as it is on the disk.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn current(&self) -> Result<Option<Overlay>, StoreError> {
        let path = self.folder.join(OVERLAY_FILE);
        let bytes = read(&path).map_err(unusable(&path))?;
        Ok(bytes.map(|bytes| Overlay { path, bytes }))
    }

    /// The overlay of a state directory, read and nothing else: for who only looks.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn look(state: &Path) -> Result<Option<Overlay>, StoreError> {
        Self { folder: state.to_path_buf(), disk: Box::new(RealDisk) }.current()
    }

    /// The path that an overlay of this store goes by.
    #[must_use]
    pub fn overlay_path(&self) -> PathBuf {
        self.folder.join(OVERLAY_FILE)
    }

    /// What an overlay says.
    fn text(&self, overlay: &Overlay) -> Result<OverlayText, StoreError> {
        OverlayText::parse(overlay).map_err(|bad| StoreError::Broken {
            path: overlay.path.clone(),
            reason: render(&bad.diagnostics, &bad.sources, Style::Plain),
        })
    }

    /// The kept revisions by number, oldest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn revisions(&self) -> Result<Vec<u64>, StoreError> {
        let history = self.history_folder();
        let names = names(&history).map_err(unusable(&history))?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| revision_of(name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// A kept revision; `None` if there is none of this number.
    ///
    /// # Errors
    /// When it cannot be read, or is no overlay.
    pub fn revision(&self, number: u64) -> Result<Option<OverlayText>, StoreError> {
        let path = self.history_file(number);
        let bytes = read(&path).map_err(unusable(&path))?;
        bytes.map(|bytes| self.text(&Overlay { path, bytes })).transpose()
    }

    /// Writes a revision that does not hold yet.
    pub(super) fn draft(&self, text: &OverlayText) -> Result<Draft, StoreError> {
        let bytes = text.to_text().into_bytes();
        let draft = Draft { revision: text.revision };
        let drafts = [draft_of(&self.history_file(text.revision)), self.overlay_draft()];
        for path in &drafts {
            if let Err(source) = self.disk.write(path, &bytes) {
                self.discard(draft);
                return Err(StoreError::Unusable { path: path.clone(), source });
            }
        }
        Ok(draft)
    }

    /// Throws a draft away. One that stays is thrown away by the next start.
    pub(super) fn discard(&self, draft: Draft) {
        for path in [self.overlay_draft(), draft_of(&self.history_file(draft.revision))] {
            match self.disk.remove(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(path = %path.display(), %error, "a draft cannot be removed"),
            }
        }
    }

    /// Makes a draft hold. On an error what held before holds.
    pub(super) fn commit(&self, draft: Draft, before: Option<&Overlay>) -> Result<(), StoreError> {
        let path = self.overlay_path();
        if let Err(source) = self.disk.rename(&self.overlay_draft(), &path) {
            self.discard(draft);
            return Err(StoreError::Unusable { path, source });
        }
        if let Err(source) = self.disk.sync_folder(&self.folder) {
            self.put_back(before);
            self.discard(draft);
            return Err(StoreError::Unusable { path: self.folder.clone(), source });
        }
        // From here on the revision holds; history is made good by the next start.
        if let Err(error) = self.keep(draft.revision).and_then(|()| self.prune()) {
            tracing::warn!(%error, "the history of the configuration is behind");
        }
        Ok(())
    }

    /// The name of the new overlay may or may not be on the disk: the old one takes its place again.
    fn put_back(&self, before: Option<&Overlay>) {
        let path = self.overlay_path();
        let put_back = match before {
            Some(overlay) => {
                let draft = self.overlay_draft();
                self.disk.write(&draft, &overlay.bytes).and_then(|()| self.disk.rename(&draft, &path))
            }
            None => self.disk.remove(&path),
        };
        if let Err(error) = put_back.and_then(|()| self.disk.sync_folder(&self.folder)) {
            tracing::error!(path = %path.display(), %error, "the overlay on the disk is not the one in use");
        }
    }

    /// Makes the draft of a revision a part of history.
    fn keep(&self, number: u64) -> Result<(), StoreError> {
        let (path, folder) = (self.history_file(number), self.history_folder());
        self.disk.rename(&draft_of(&path), &path).map_err(unusable(&path))?;
        self.disk.sync_folder(&folder).map_err(unusable(&folder))
    }

    fn prune(&self) -> Result<(), StoreError> {
        let revisions = self.revisions()?;
        let n_old = revisions.len().saturating_sub(HISTORY_MAX);
        for number in revisions.into_iter().take(n_old) {
            let path = self.history_file(number);
            self.disk.remove(&path).map_err(unusable(&path))?;
        }
        Ok(())
    }

    fn overlay_draft(&self) -> PathBuf {
        draft_of(&self.overlay_path())
    }

    fn history_folder(&self) -> PathBuf {
        self.folder.join(HISTORY_FOLDER)
    }

    fn history_file(&self, number: u64) -> PathBuf {
        self.history_folder().join(format!("{number:06}.yaml"))
    }
}

fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(DRAFT);
    PathBuf::from(name)
}

fn revision_of(name: &str) -> Option<u64> {
    name.strip_suffix(".yaml")?.parse().ok()
}

fn unusable(path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = path.to_path_buf();
    move |source| StoreError::Unusable { path, source }
}

#[cfg(test)]
mod tests;
