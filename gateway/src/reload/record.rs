//! The files of the configuration in use, as they were read.
//!
//! A change through the API is made to what is in use, not to what somebody may be editing on disk just now.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use portcullis_schema::{FileSource, Listed};

/// Files that were read, and what stood in their directories. Bounded by the bounds of a load.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    files: BTreeMap<PathBuf, Vec<u8>>,
    directories: BTreeMap<PathBuf, Vec<Listed>>,
}

impl Recorded {
    /// What stood in a file, if it was read.
    pub(crate) fn file(&self, path: &Path) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }
}

impl FileSource for Recorded {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Listed>> {
        self.directories.get(directory).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Reads from another source and remembers what it read.
pub(crate) struct Recorder<'s> {
    source: &'s (dyn FileSource + Sync),
    recorded: Mutex<Recorded>,
}

impl<'s> Recorder<'s> {
    pub(crate) fn over(source: &'s (dyn FileSource + Sync)) -> Self {
        Self { source, recorded: Mutex::default() }
    }

    pub(crate) fn finish(self) -> Recorded {
        self.recorded.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FileSource for Recorder<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let bytes = self.source.read(path)?;
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        recorded.files.insert(path.to_path_buf(), bytes.clone());
        Ok(bytes)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Listed>> {
        let listed = self.source.list(directory)?;
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        recorded.directories.insert(directory.to_path_buf(), listed.clone());
        Ok(listed)
    }
}
