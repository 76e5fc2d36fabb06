//! From files to a document: read, parse, expand, include, decode; every finding kept.
//!
//! Decides which files belong together and that nothing is defined twice; what a key means is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::codes::Code;
use crate::decode::{Decode, Decoder};
use crate::diagnostic::{Diagnostic, Sink};
use crate::document::{Document, VERSION};
use crate::expand::{Expanded, Expander, expand};
use crate::include::{self, BadPattern};
use crate::overlay::{self, Overlay};
use crate::source::FileSource;
use crate::span::{At, FileId, Sources, Span};
use crate::yaml::{self, Key, Kind, Node};

/// Largest file that is read, in bytes.
pub const FILE_BYTES_MAX: usize = 16 << 20;
/// Most files of one configuration, the main one counted.
pub const FILES_MAX: usize = 1_000;

/// Keys whose values are secrets; masked line by line in files that are not YAML.
const SECRETS: [&str; 1] = ["token"];

/// The top-level maps of named things: files add to them, and only a name must be unique.
const NAMED: [&str; 5] = ["listeners", "upstreams", "policies", "consumers", "routes"];

/// What came of a load: as much of the document as could be read, and everything that is wrong with it.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// What was written, without what could not be read.
    pub document: Document,
    /// The files, for showing places.
    pub sources: Sources,
    /// Errors and warnings, sorted by place.
    pub diagnostics: Vec<Diagnostic>,
    /// Every file was read and is YAML. When not, names may be missing from the document only because their
    /// file could not be read, so a reference to nothing says nothing.
    pub complete: bool,
    expanded: Expanded,
}

impl Loaded {
    /// Keeps what variables hold out of findings about this document: where one repeats a value of 8 bytes or more,
    /// it names the variable instead.
    pub fn hide_variables(&self, found: &mut [Diagnostic]) {
        self.expanded.hide(found);
    }

    /// Whether the document must not be used.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Loads a configuration from its main file.
///
/// `root` is the main file as the user named it; `source` reads files; `env` is the environment. Never fails:
/// what is wrong is in [`Loaded::diagnostics`], all of it at once.
pub fn load(root: &Path, source: &dyn FileSource, env: &BTreeMap<String, String>) -> Loaded {
    load_with(root, source, env, None)
}

/// Loads a configuration and lays over it what the admin API changed.
///
/// The overlay is one more file: findings point into it, and its values keep their places.
pub fn load_with(
    root: &Path,
    source: &dyn FileSource,
    env: &BTreeMap<String, String>,
    overlay: Option<&Overlay>,
) -> Loaded {
    load_tree(root, source, env, overlay, &mut |_| {}).0
}

/// Is shown the entries of a tree.
type Shown<'a> = dyn FnMut(&[(Key, Node)]) + 'a;

/// The same, with the tree. `files` is shown the entries of the files before the overlay is laid over them.
pub(crate) fn load_tree(
    root: &Path,
    source: &dyn FileSource,
    env: &BTreeMap<String, String>,
    overlay: Option<&Overlay>,
    files: &mut Shown<'_>,
) -> (Loaded, Node) {
    let directory = root.parent().unwrap_or(Path::new("")).to_path_buf();
    let mut sink = Sink::default();
    let mut loading = Loading {
        source,
        env,
        sink: &mut sink,
        directory,
        sources: Sources::default(),
        seen: BTreeSet::new(),
        chain: Vec::new(),
        entries: Vec::new(),
        at: Span { line: 1, column: 1, ..Span::default() },
        complete: true,
        expanded: Expanded::default(),
    };
    loading.file(root.to_path_buf(), None);
    files(&loading.entries);
    if let Some(overlay) = overlay.filter(|_| loading.complete) {
        loading.lay_over(overlay);
    }
    let Loading { mut sources, entries, at, complete, expanded, .. } = loading;
    let node = Node { at, named: Span { end: at.start, ..at }, kind: Kind::Map(entries) };
    // Without any text there is nothing to decode, and "needs the key `version`" would only distract.
    let readable = complete || matches!(&node.kind, Kind::Map(entries) if !entries.is_empty());
    let mut decoder = Decoder { sink: &mut sink, env, secrets: Vec::new() };
    let document = if readable { Document::decode(&node, &mut decoder) } else { None };
    for secret in decoder.secrets {
        sources.mask(secret);
    }
    if !complete {
        sources.mask_unparsed(&SECRETS);
    }
    let mut diagnostics = sink.into_sorted();
    expanded.hide(&mut diagnostics);
    (Loaded { document: document.unwrap_or_default(), sources, diagnostics, complete, expanded }, node)
}

struct Loading<'a> {
    source: &'a dyn FileSource,
    env: &'a BTreeMap<String, String>,
    sink: &'a mut Sink,
    directory: PathBuf,
    sources: Sources,
    /// Files read so far.
    seen: BTreeSet<PathBuf>,
    /// Files that led to the one being read.
    chain: Vec<PathBuf>,
    /// The top level of all files together.
    entries: Vec<(Key, Node)>,
    /// The place of the main file's map.
    at: Span,
    complete: bool,
    expanded: Expanded,
}

impl Loading<'_> {
    /// Reads one file and all it includes. `asked_by` is the place of the pattern that named it.
    fn file(&mut self, path: PathBuf, asked_by: Option<Span>) {
        if self.chain.contains(&path) {
            return self.cycle(&path, asked_by);
        }
        if !self.seen.insert(path.clone()) {
            return;
        }
        if self.seen.len() > FILES_MAX {
            if self.seen.len() == FILES_MAX + 1 {
                self.refuse(
                    Code::TooManyFiles,
                    format!("more than {FILES_MAX} files"),
                    asked_by,
                    "one too many",
                );
            }
            return;
        }
        let Some((file, text)) = self.text(&path, asked_by) else {
            self.complete = false;
            return;
        };
        let Some(mut node) = yaml::parse(file, &text, self.sink) else {
            self.complete = false;
            return;
        };
        let (env, sources) = (self.env, &self.sources);
        expand(&mut node, &mut Expander { env, sources, sink: self.sink, expanded: &mut self.expanded });
        let is_main = self.chain.is_empty();
        if is_main {
            self.at = node.at;
        }
        let Kind::Map(entries) = node.kind else {
            let message = "a configuration is a map of keys such as `version` and `routes`".to_owned();
            self.refuse(Code::WrongType, message, Some(node.at), "not a map");
            self.complete = false;
            return;
        };
        self.chain.push(path);
        let mut patterns = Vec::new();
        for (key, value) in entries {
            if key.text == "include" {
                patterns.extend(self.patterns(&value, is_main));
            }
            self.top_level(key, value, is_main);
        }
        for (pattern, at) in patterns {
            self.include(&pattern, at);
        }
        self.chain.pop();
    }

    /// The text of a file, once it is known to be text.
    fn text(&mut self, path: &Path, asked_by: Option<Span>) -> Option<(FileId, std::sync::Arc<str>)> {
        let bytes = match self.source.read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let message = format!("cannot read {}: {error}", path.display());
                self.refuse(Code::Unreadable, message, asked_by, "named here");
                return None;
            }
        };
        if bytes.len() > FILE_BYTES_MAX {
            let message = format!("{} is larger than {} MiB", path.display(), FILE_BYTES_MAX >> 20);
            self.refuse(Code::TooLarge, message, asked_by, "named here");
            return None;
        }
        let bad = std::str::from_utf8(&bytes).err().map(|error| error.valid_up_to());
        let text: std::sync::Arc<str> = String::from_utf8_lossy(&bytes).into();
        let file = self.sources.add(path.to_path_buf(), text.clone());
        if let Some(offset) = bad {
            // Three bytes long is the character that stands for what is no text.
            let at = Span::within(file, &text, offset, offset + 3);
            self.refuse(
                Code::NotUtf8,
                format!("{} is not UTF-8 text", path.display()),
                Some(at),
                "not UTF-8",
            );
            return None;
        }
        Some((file, text))
    }

    /// The patterns of one `include`. The main file's is judged with the document.
    fn patterns(&mut self, value: &Node, is_main: bool) -> Vec<(String, Span)> {
        if !is_main {
            let mut decoder = Decoder { sink: self.sink, env: self.env, secrets: Vec::new() };
            let patterns = <Vec<At<String>>>::decode(value, &mut decoder).unwrap_or_default();
            return patterns.into_iter().map(|pattern| (pattern.value, pattern.at)).collect();
        }
        let Kind::List(items) = &value.kind else { return Vec::new() };
        items.iter().filter_map(|item| Some((item.scalar()?.text.clone(), item.at))).collect()
    }

    fn include(&mut self, pattern: &str, at: Span) {
        match include::files(pattern, &self.directory, self.source) {
            Ok(paths) if paths.is_empty() => {
                let message = format!("`{pattern}` matches no file");
                self.sink.push(Diagnostic::new(Code::NoMatch, message).label(at, "no such file now"));
            }
            Ok(paths) => {
                for path in paths {
                    self.file(self.directory.join(path), Some(at));
                }
            }
            Err(BadPattern::Outside) => {
                let finding = Diagnostic::new(Code::IncludePath, format!("`{pattern}` leaves the directory"))
                    .label(at, "outside")
                    .help(
                        "patterns are relative to the directory of the main file: no `..`, no absolute path",
                    );
                self.sink.push(finding);
            }
            Err(BadPattern::Unclear(why)) => {
                let finding =
                    Diagnostic::new(Code::BadValue, format!("`{pattern}` is not a pattern for files"))
                        .label(at, "not a pattern")
                        .help(why);
                self.sink.push(finding);
            }
        }
    }

    fn cycle(&mut self, path: &Path, asked_by: Option<Span>) {
        let from = self.chain.iter().position(|seen| seen == path).unwrap_or(0);
        let mut names: Vec<String> =
            self.chain.iter().skip(from).map(|path| path.display().to_string()).collect();
        names.push(path.display().to_string());
        let message = format!("files include each other: {}", names.join(" → "));
        self.refuse(Code::IncludeCycle, message, asked_by, "back to the start");
    }

    /// Lays what the admin API changed over what the files say.
    fn lay_over(&mut self, overlay: &Overlay) {
        if self.writes_are_off() {
            return overlay::not_applied(overlay, &mut self.sources, self.sink);
        }
        let Some(mut patch) = overlay::patch(overlay, &mut self.sources, self.sink) else {
            self.complete = false;
            return;
        };
        for (_, node) in &mut patch {
            let (env, sources) = (self.env, &self.sources);
            expand(node, &mut Expander { env, sources, sink: self.sink, expanded: &mut self.expanded });
        }
        overlay::lay_over(&mut self.entries, patch, self.sink);
    }

    /// Whether the files say `admin.writes: off`; the overlay cannot.
    fn writes_are_off(&self) -> bool {
        let under = |entries: &'_ [(Key, Node)], wanted: &str| {
            entries.iter().find(|(key, _)| key.text == wanted).map(|(_, node)| node.clone())
        };
        let admin = under(&self.entries, "admin");
        let writes = match admin.map(|node| node.kind) {
            Some(Kind::Map(entries)) => under(&entries, "writes"),
            Some(Kind::Scalar(_) | Kind::List(_)) | None => None,
        };
        writes.as_ref().and_then(Node::scalar).is_some_and(|scalar| scalar.text == "off")
    }

    /// Puts one top-level entry of a file beside those of the others.
    fn top_level(&mut self, key: Key, value: Node, is_main: bool) {
        if !is_main && key.text == "version" {
            return self.check_version(&value);
        }
        if !is_main && key.text == "include" {
            return;
        }
        let Some((first, kept)) = self.entries.iter_mut().find(|(first, _)| first.text == key.text) else {
            self.entries.push((key, value));
            return;
        };
        if !NAMED.contains(&key.text.as_str()) {
            let finding =
                Diagnostic::new(Code::DuplicateName, format!("`{}` is defined in two files", key.text))
                    .label(key.at, "again here")
                    .label(first.at, "first here");
            self.sink.push(finding);
            return;
        }
        match (&mut kept.kind, value.kind) {
            // Names that stand in both are found when the map is decoded.
            (Kind::Map(kept), Kind::Map(more)) => kept.extend(more),
            (Kind::Scalar(_) | Kind::List(_), kind @ Kind::Map(_)) => {
                let message = format!("`{}` is a map of names", key.text);
                self.sink.push(Diagnostic::new(Code::WrongType, message).label(kept.at, "not a map"));
                (kept.kind, kept.at) = (kind, value.at);
            }
            (_, Kind::Scalar(_) | Kind::List(_)) => {
                let message = format!("`{}` is a map of names", key.text);
                self.sink.push(Diagnostic::new(Code::WrongType, message).label(value.at, "not a map"));
            }
        }
    }

    /// An included file need not say the version, but must not say another one.
    fn check_version(&mut self, value: &Node) {
        if value.scalar().is_none_or(|scalar| scalar.text != VERSION.to_string()) {
            let message = format!("an included file is written in version {VERSION} too");
            self.refuse(Code::BadVersion, message, Some(value.at), "another version");
        }
    }

    fn refuse(&mut self, code: Code, message: String, at: Option<Span>, label: &str) {
        let mut finding = Diagnostic::new(code, message);
        if let Some(at) = at {
            finding = finding.label(at, label);
        }
        self.sink.push(finding);
    }
}
