//! Where a value was written: file, byte range, line and column.
//!
//! Decides how every later error finds its place; never looks at what the value means.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A position in [`Sources`]: which file a span belongs to. The main file is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FileId(pub u16);

/// A stretch of one file. Ordered by file, then by place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// The file it lies in.
    pub file: FileId,
    /// First byte, counted from 0.
    pub start: u32,
    /// One past the last byte; at least `start`.
    pub end: u32,
    /// Line of the first byte, counted from 1.
    pub line: u32,
    /// Column of the first byte in characters, counted from 1.
    pub column: u32,
}

impl Span {
    /// The bytes from `start` to `end` of `text`, which is the whole of `file`.
    pub(crate) fn within(file: FileId, text: &str, start: usize, end: usize) -> Self {
        let before = text.get(..start).unwrap_or("");
        // A byte order mark is no character of the first line, neither to the parser nor to an editor.
        let before = before.strip_prefix('\u{feff}').unwrap_or(before);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { file, start: small(start), end: small(end), line: small(line), column: small(column) }
    }
}

/// A value together with the place it was written at.
#[derive(Clone, Default)]
pub struct At<T> {
    /// What was written.
    pub value: T,
    /// Where it was written.
    pub at: Span,
}

impl<T> At<T> {
    /// Pairs a value with its place.
    pub fn new(value: T, at: Span) -> Self {
        Self { value, at }
    }

    /// Keeps the place and changes the value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> At<U> {
        At { value: change(self.value), at: self.at }
    }
}

impl<T> Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<'a, T> IntoIterator for &'a At<Vec<T>> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.value.iter()
    }
}

impl<T: fmt::Debug> fmt::Debug for At<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)?;
        write!(f, "@{}:{}", self.at.line, self.at.column)
    }
}

/// One entry of a [`Map`]: where its key was written, and its value.
#[derive(Debug, Clone, Default)]
pub struct Entry<T> {
    /// The place of the key.
    pub at: Span,
    /// What stands under the key.
    pub value: T,
}

/// Things by name (or header, or parameter), each with the place of its key.
pub type Map<K, T> = BTreeMap<K, Entry<T>>;

/// One file that was read: its path as shown in errors, and its text.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// The path as the user would write it.
    pub path: PathBuf,
    /// The whole text; empty when it could not be read.
    pub text: Arc<str>,
}

/// All files of one load, so that a [`Span`] can be shown to a human.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<SourceFile>,
}

impl Sources {
    /// Adds a file and returns its id.
    pub fn add(&mut self, path: PathBuf, text: Arc<str>) -> FileId {
        let id = FileId(u16::try_from(self.files.len()).unwrap_or(u16::MAX));
        self.files.push(SourceFile { path, text });
        id
    }

    /// Replaces a secret in the kept text, so that no excerpt shows it. Places keep their meaning.
    pub(crate) fn mask(&mut self, secret: Span) {
        let Some(file) = self.files.get_mut(usize::from(secret.file.0)) else { return };
        file.text = masked(&file.text, &[secret]);
    }

    /// The files with these secrets replaced.
    pub(crate) fn masked(&self, secrets: &[Span]) -> Vec<SourceFile> {
        let mask = |(idx, file): (usize, &SourceFile)| {
            let own: Vec<Span> =
                secrets.iter().filter(|secret| usize::from(secret.file.0) == idx).copied().collect();
            SourceFile { path: file.path.clone(), text: masked(&file.text, &own) }
        };
        self.files.iter().enumerate().map(mask).collect()
    }

    /// Masks whatever follows one of `keys` on its line: for files whose structure could not be read.
    pub(crate) fn mask_unparsed(&mut self, keys: &[&str]) {
        let mut secrets = Vec::new();
        for (idx, file) in self.files.iter().enumerate() {
            for key in keys {
                for (start, _) in file.text.match_indices(&format!("{key}:")) {
                    let from = start + key.len() + 1;
                    let rest = file.text.get(from..).unwrap_or("");
                    let to = from + rest.find('\n').unwrap_or(rest.len());
                    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
                    let file = FileId(u16::try_from(idx).unwrap_or(u16::MAX));
                    secrets.push(Span { file, start: small(from), end: small(to), ..Span::default() });
                }
            }
        }
        secrets.into_iter().for_each(|secret| self.mask(secret));
    }

    /// The file behind an id.
    pub fn get(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(usize::from(id.0))
    }

    /// All files in the order they were read, the main file first.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// The path of a span's file, empty if the id is not from here.
    pub fn path(&self, id: FileId) -> &Path {
        self.get(id).map_or(Path::new(""), |file| &file.path)
    }

    /// The text a span covers, empty if it lies outside the file.
    pub fn excerpt(&self, span: Span) -> &str {
        let text = self.get(span.file).map_or("", |file| &*file.text);
        text.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// The whole line a span starts on, without its line break.
    pub fn line(&self, span: Span) -> &str {
        let text = self.get(span.file).map_or("", |file| &*file.text);
        text.lines().nth((span.line as usize).saturating_sub(1)).unwrap_or("")
    }
}

/// The text with a star in place of every byte of `secrets`.
fn masked(text: &str, secrets: &[Span]) -> Arc<str> {
    let mut bytes = text.as_bytes().to_vec();
    for secret in secrets {
        let covered = bytes.get_mut(secret.start as usize..secret.end as usize).unwrap_or_default();
        covered.iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b'*');
    }
    String::from_utf8_lossy(&bytes).into()
}
