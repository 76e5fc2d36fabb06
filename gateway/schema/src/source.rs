//! Where files come from: a trait, so that this crate does no IO, and a set in memory.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// What stands in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its name, without the directory.
    pub name: String,
    /// Whether it is a directory itself.
    pub is_dir: bool,
}

/// Reads files on behalf of [`load`](crate::load).
pub trait FileSource {
    /// The bytes of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// What stands in a directory, in any order. Patterns are matched by the caller.
    fn list(&self, directory: &Path) -> io::Result<Vec<Listed>>;
}

/// Files in memory, for tests and for configurations that come over the network.
#[derive(Debug, Clone, Default)]
pub struct MemorySource {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl MemorySource {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file.
    #[must_use]
    pub fn with(mut self, path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), bytes.into());
        self
    }
}

impl FileSource for MemorySource {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.get(path).cloned().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for path in self.files.keys() {
            let Ok(inside) = path.strip_prefix(directory) else { continue };
            let mut parts = inside.components();
            if let Some(first) = parts.next() {
                let name = first.as_os_str().to_string_lossy().into_owned();
                listed.push(Listed { name, is_dir: parts.next().is_some() });
            }
        }
        listed.sort();
        listed.dedup();
        Ok(listed)
    }
}
