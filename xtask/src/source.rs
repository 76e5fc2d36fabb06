//! The files of the project that are read: Rust and Markdown.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold no file of ours.
const SKIPPED: [&str; 3] = ["target", ".git", "fixtures"];

/// Folders nest no deeper than this; a loop of links ends here.
const DEPTH_MAX: usize = 16;

/// One file: where it is, relative to the root, and what it says.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// Every file under `root` whose name ends in this extension, in the order of their paths.
pub(crate) fn files(root: &Path, extension: &str) -> Vec<Source> {
    let mut found = Vec::new();
    collect(root, root, extension, 0, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(root: &Path, folder: &Path, extension: &str, depth: usize, found: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && depth < DEPTH_MAX && !SKIPPED.iter().any(|skipped| name == *skipped) {
            collect(root, &path, extension, depth + 1, found);
        } else if kind.is_file() && path.extension().is_some_and(|own| own == extension) {
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let path = path.strip_prefix(root).map(Path::to_path_buf).unwrap_or(path);
            found.push(Source { path, text });
        }
    }
}
