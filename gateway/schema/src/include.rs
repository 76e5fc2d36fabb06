//! Patterns of `include`: which files they name, inside the directory of the main file.

use std::path::{Path, PathBuf};

use globset::{Glob, GlobMatcher};

use crate::source::FileSource;

/// Most segments a pattern may have, and so the deepest directory that is looked into.
const SEGMENTS_MAX: usize = 8;
/// Most paths looked at for one pattern.
const PATHS_MAX: usize = 10_000;

/// Why a pattern names no files.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadPattern {
    /// It leaves the directory.
    Outside,
    /// It is not understood; says why.
    Unclear(String),
}

/// One segment of a pattern.
enum Segment {
    Name(String),
    Glob(GlobMatcher),
}

/// The files that a pattern names, relative to `directory`, sorted. A plain name is named whether or not it exists.
pub(crate) fn files(
    pattern: &str,
    directory: &Path,
    source: &dyn FileSource,
) -> Result<Vec<PathBuf>, BadPattern> {
    let segments = segments(pattern)?;
    let n_segments = segments.len();
    let mut found = vec![PathBuf::new()];
    for (idx, segment) in segments.iter().enumerate() {
        let last = idx + 1 == n_segments;
        let mut next = Vec::new();
        for base in &found {
            match segment {
                Segment::Name(name) => next.push(base.join(name)),
                Segment::Glob(glob) => {
                    // A directory that is not there has no files: that is a warning further up.
                    let listed = source.list(&directory.join(base)).unwrap_or_default();
                    let fits = |name: &str| !name.starts_with('.') && glob.is_match(name);
                    let wanted = listed.into_iter().filter(|entry| entry.is_dir != last && fits(&entry.name));
                    next.extend(wanted.map(|entry| base.join(entry.name)));
                }
            }
        }
        next.truncate(PATHS_MAX);
        found = next;
    }
    found.sort();
    Ok(found)
}

fn segments(pattern: &str) -> Result<Vec<Segment>, BadPattern> {
    if pattern.starts_with('/') || pattern.contains('\\') || pattern.contains(':') || pattern.contains('\0') {
        return Err(BadPattern::Outside);
    }
    let mut segments = Vec::new();
    for part in pattern.split('/').filter(|part| !matches!(*part, "" | ".")) {
        match part {
            ".." => return Err(BadPattern::Outside),
            _ if part.contains("**") => {
                let why = "`**` is not used here; name each directory, or use `*` for one level";
                return Err(BadPattern::Unclear(why.to_owned()));
            }
            _ if part.contains(['*', '?', '[', '{']) => match Glob::new(part) {
                Ok(glob) => segments.push(Segment::Glob(glob.compile_matcher())),
                Err(error) => return Err(BadPattern::Unclear(error.kind().to_string())),
            },
            _ => segments.push(Segment::Name(part.to_owned())),
        }
    }
    if segments.is_empty() {
        return Err(BadPattern::Unclear("the pattern is empty".to_owned()));
    }
    if segments.len() > SEGMENTS_MAX {
        return Err(BadPattern::Unclear(format!("a pattern has at most {SEGMENTS_MAX} levels")));
    }
    Ok(segments)
}
