//! What the admin API changed: a merge patch over the files' tree, in a file of its own.
//!
//! Decides how the patch is laid over the tree (RFC 7396, places kept) and which keys it may touch; never what a key
//! means, and never where the file is kept.

use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Sink};
use crate::span::{FileId, Sources, Span};
use crate::yaml::{self, Key, Kind, Node, parsed_value, to_yaml};

/// Top-level keys that only the files can change: they are read once, or say which files there are.
pub const FILES_ONLY: [&str; 6] = ["version", "include", "admin", "metrics", "discovery", "telemetry"];

/// What stands above an overlay.
const HEADER: &str = "\
# What the admin API changed: a merge patch (RFC 7396) over the configuration's files. Written by the gateway.
# `portcullis apply --fold` empties it, once what is to stay stands in the files; `null` takes a key away.
";

/// A few more entries than this are looked up by key and not one by one.
const LOOKED_THROUGH_MAX: usize = 32;

/// An overlay as it is kept: the name it goes by in findings, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// Its path as shown in errors.
    pub path: PathBuf,
    /// The whole text, as bytes that may be no text.
    pub bytes: Vec<u8>,
}

/// What an overlay says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OverlayText {
    /// Counts the changes; 0 is the files alone.
    pub revision: u64,
    /// When it was made, RFC 3339.
    pub at: String,
    /// Who made it.
    pub author: String,
    /// What for, in the words of whoever made it.
    pub reason: String,
    /// The merge patch over the files.
    pub patch: Map<String, Value>,
}

/// A text that could not be read, and why.
#[derive(Debug)]
pub struct Unreadable {
    /// What is wrong, at its places.
    pub diagnostics: Vec<Diagnostic>,
    /// The text, to show the places.
    pub sources: Sources,
}

/// Reads one YAML or JSON text as a value. Variables are left as they are written.
///
/// # Errors
/// Every finding, with its place.
pub fn parse_value(name: &str, text: &str) -> Result<Value, Unreadable> {
    let (mut sink, mut sources) = (Sink::default(), Sources::default());
    let file = sources.add(name.into(), text.into());
    let node = yaml::parse(file, text, &mut sink);
    let diagnostics = sink.into_sorted();
    match node {
        Some(node) if diagnostics.is_empty() => Ok(parsed_value(&node)),
        _ => Err(Unreadable { diagnostics, sources }),
    }
}

impl OverlayText {
    /// As it is kept.
    #[must_use]
    pub fn to_text(&self) -> String {
        let body =
            json!({ "revision": self.revision, "at": self.at, "author": self.author, "reason": self.reason });
        let patch = json!({ "patch": self.patch });
        format!("{HEADER}{}{}", to_yaml(&body), to_yaml(&patch))
    }

    /// Reads what [`Self::to_text`] wrote, or what somebody made of it.
    ///
    /// # Errors
    /// What is wrong with it, with its places; the same findings as when it is loaded.
    pub fn parse(overlay: &Overlay) -> Result<Self, Unreadable> {
        let (mut sink, mut sources) = (Sink::default(), Sources::default());
        let node = read(overlay, &mut sources, &mut sink).and_then(|node| {
            let value = parsed_value(&node);
            parts(node, &mut sink).map(|_| value)
        });
        let diagnostics = sink.into_sorted();
        match node {
            Some(Value::Object(mut value)) if diagnostics.is_empty() => {
                let mut text = |key: &str| match value.remove(key) {
                    Some(Value::String(text)) => text,
                    Some(other) if !other.is_null() => other.to_string(),
                    Some(_) | None => String::new(),
                };
                let (at, author, reason) = (text("at"), text("author"), text("reason"));
                let patch = match value.remove("patch") {
                    Some(Value::Object(patch)) => patch,
                    Some(_) | None => Map::new(),
                };
                let revision = value.get("revision").and_then(Value::as_u64).unwrap_or_default();
                Ok(Self { revision, at, author, reason, patch })
            }
            _ => Err(Unreadable { diagnostics, sources }),
        }
    }
}

/// The tree of an overlay's text. `None` when there is none; why has been reported.
fn read(overlay: &Overlay, sources: &mut Sources, sink: &mut Sink) -> Option<Node> {
    let text = String::from_utf8_lossy(&overlay.bytes);
    let file = sources.add(overlay.path.clone(), text.as_ref().into());
    if let Err(error) = std::str::from_utf8(&overlay.bytes) {
        let (start, message) = (error.valid_up_to(), format!("{} is not UTF-8 text", overlay.path.display()));
        let at = Span::within(file, &text, start, start + 3);
        sink.push(Diagnostic::new(Code::NotUtf8, message).label(at, "not UTF-8"));
        return None;
    }
    yaml::parse(file, &text, sink)
}

/// The patch of an overlay, once it is known that nothing else of it says something.
fn parts(node: Node, sink: &mut Sink) -> Option<Vec<(Key, Node)>> {
    let help = "an overlay has the keys `revision`, `at`, `author`, `reason` and `patch`";
    let Kind::Map(entries) = node.kind else {
        sink.push(
            Diagnostic::new(Code::WrongType, "an overlay is a map").label(node.at, "not a map").help(help),
        );
        return None;
    };
    let mut patch = Vec::new();
    for (key, value) in entries {
        match (key.text.as_str(), value.kind) {
            ("patch", Kind::Map(entries)) => patch = entries,
            ("patch", Kind::Scalar(scalar)) if scalar.is_null() => {}
            ("patch", Kind::Scalar(_) | Kind::List(_)) => {
                let finding = Diagnostic::new(Code::WrongType, "`patch` is a map of top-level keys");
                sink.push(finding.label(value.at, "not a map"));
                return None;
            }
            ("revision", Kind::Scalar(scalar)) if scalar.text.parse::<u64>().is_ok() => {}
            ("revision", _) => {
                let finding = Diagnostic::new(Code::WrongType, "`revision` is a whole number");
                sink.push(finding.label(value.at, "not a whole number"));
                return None;
            }
            ("at" | "author" | "reason", _) => {}
            (unknown, _) => {
                let finding = Diagnostic::new(Code::UnknownKey, format!("unknown key `{unknown}`"));
                sink.push(finding.label(key.at, "not a key of an overlay").help(help));
                return None;
            }
        }
    }
    Some(patch)
}

/// Reads an overlay and gives its patch, ready to be expanded and laid over the files. `None` when it cannot be used;
/// why has been reported.
pub(crate) fn patch(overlay: &Overlay, sources: &mut Sources, sink: &mut Sink) -> Option<Vec<(Key, Node)>> {
    let node = read(overlay, sources, sink)?;
    let patch = parts(node, sink)?;
    for (key, _) in patch.iter().filter(|(key, _)| FILES_ONLY.contains(&key.text.as_str())) {
        let finding = Diagnostic::new(Code::FilesOnly, format!("an overlay cannot change `{}`", key.text))
            .label(key.at, "only in the files")
            .help(format!("change `{}` in the configuration's files, and remove it here", key.text));
        sink.push(finding);
    }
    Some(patch)
}

/// Warns of an overlay that is there and has no effect.
pub(crate) fn not_applied(overlay: &Overlay, sources: &mut Sources, sink: &mut Sink) {
    let text = String::from_utf8_lossy(&overlay.bytes);
    let file: FileId = sources.add(overlay.path.clone(), text.as_ref().into());
    let at = Span::within(file, &text, 0, 0);
    let finding = Diagnostic::new(Code::NoEffect, "the overlay is not applied: `admin.writes` is `off`")
        .label(at, "what the admin API changed earlier")
        .help("remove the file, or allow writes again with `admin: { writes: overlay }`");
    sink.push(finding);
}

/// Lays a patch over a tree. What the patch says keeps its own places; what it leaves alone keeps its own too.
pub(crate) fn lay_over(entries: &mut Vec<(Key, Node)>, patch: Vec<(Key, Node)>, sink: &mut Sink) {
    let known = Positions::of(entries, patch.len());
    let mut removed = Vec::new();
    for (key, mut change) in patch {
        let found = known.find(&key.text, entries);
        let is_removal = change.scalar().is_some_and(crate::yaml::Scalar::is_null);
        match (found, is_removal) {
            (Found::Once(idx), true) => removed.push(idx),
            (Found::Never, true) => {
                let message = format!("there is no `{}` to take away", key.text);
                sink.push(Diagnostic::new(Code::NoEffect, message).label(key.at, "not in the files"));
            }
            (Found::Never, false) => {
                without_nulls(&mut change);
                entries.push((key, change));
            }
            (Found::Once(idx), false) => {
                if let Some((_, below)) = entries.get_mut(idx) {
                    replace_or_merge(below, change, sink);
                }
            }
            // Twice in the files is an error already, and told when the map is decoded.
            (Found::Twice, _) => {}
        }
    }
    removed.sort_unstable();
    for idx in removed.into_iter().rev() {
        entries.remove(idx);
    }
}

fn replace_or_merge(below: &mut Node, change: Node, sink: &mut Sink) {
    match (&mut below.kind, change) {
        (Kind::Map(entries), Node { kind: Kind::Map(patch), .. }) => lay_over(entries, patch, sink),
        (Kind::Map(_) | Kind::List(_) | Kind::Scalar(_), mut change) => {
            without_nulls(&mut change);
            *below = change;
        }
    }
}

/// There is nothing below that a `null` could take away.
fn without_nulls(node: &mut Node) {
    if let Kind::Map(entries) = &mut node.kind {
        entries.retain(|(_, value)| !value.scalar().is_some_and(crate::yaml::Scalar::is_null));
        entries.iter_mut().for_each(|(_, value)| without_nulls(value));
    }
}

/// Where the keys of a map stand; made only where looking through it would take long.
struct Positions(Option<HashMap<String, Found>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Never,
    Once(usize),
    Twice,
}

impl Positions {
    fn of(entries: &[(Key, Node)], n_lookups: usize) -> Self {
        if entries.len().min(n_lookups) <= LOOKED_THROUGH_MAX {
            return Self(None);
        }
        let mut positions = HashMap::with_capacity(entries.len());
        for (idx, (key, _)) in entries.iter().enumerate() {
            positions
                .entry(key.text.clone())
                .and_modify(|found| *found = Found::Twice)
                .or_insert(Found::Once(idx));
        }
        Self(Some(positions))
    }

    /// Entries that were added since are not there: a patch has each key once.
    fn find(&self, wanted: &str, entries: &[(Key, Node)]) -> Found {
        if let Some(positions) = &self.0 {
            return positions.get(wanted).copied().unwrap_or(Found::Never);
        }
        let mut places = entries.iter().enumerate().filter(|(_, (key, _))| key.text == wanted);
        match (places.next(), places.next()) {
            (None, _) => Found::Never,
            (Some((idx, _)), None) => Found::Once(idx),
            (Some(_), Some(_)) => Found::Twice,
        }
    }
}

impl Overlay {
    /// An overlay that says `text`, under the name `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, text: &OverlayText) -> Self {
        Self { path: path.into(), bytes: text.to_text().into_bytes() }
    }
}
