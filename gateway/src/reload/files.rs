//! The configuration's files, on disk.

use std::io::{self, Read};
use std::path::Path;

use portcullis_schema::{FILE_BYTES_MAX, FileSource, Listed};

/// Entries of one directory that are looked at.
const ENTRIES_MAX: usize = 10_000;

/// Files as they are on disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl FileSource for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // One byte more than allowed tells a file that is too large from one that just fits.
        std::fs::File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Listed>> {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let mut listed = Vec::new();
        for entry in std::fs::read_dir(directory)?.take(ENTRIES_MAX) {
            let entry = entry?;
            let is_dir = std::fs::metadata(entry.path()).is_ok_and(|found| found.is_dir());
            listed.push(Listed { name: entry.file_name().to_string_lossy().into_owned(), is_dir });
        }
        Ok(listed)
    }
}
