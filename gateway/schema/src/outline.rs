//! What was written, key by key: each value of a typed part of the document with its place.
//!
//! Decides how a value is shown: as written and on one line, variables not expanded, secrets masked. Never merges:
//! it looks at what the merge left, so it cannot tell another story.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::decode::OneOrMany;
use crate::load::Loaded;
use crate::merge::Setting;
use crate::policies::PluginUse;
use crate::routes::Weights;
use crate::span::{At, Entry, Map, SourceFile, Sources, Span};
use crate::value::{Raw, SecretSource};

/// What stands in place of a secret.
pub const MASK: &str = "***";

/// Words in a header's or a plugin setting's name that make its value a secret.
const SECRET_WORDS: [&str; 9] =
    ["authorization", "cookie", "token", "secret", "passw", "api-key", "api_key", "apikey", "private"];

/// One value as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The keys that lead to it, such as `retry.backoff.base` or `plugins[0].cors.origins`.
    pub key: String,
    /// The value as written, on one line.
    pub value: String,
    /// Where it was written.
    pub at: Span,
}

/// Every value of `part`, in the order of the language.
pub fn outline(part: &impl Outline, sources: &Sources) -> Vec<Written> {
    View::over(part, sources).written
}

/// The places of every value of `part` that an outline masks.
pub(crate) fn secrets(part: &impl Outline, sources: &Sources) -> Vec<Span> {
    View::over(part, sources).secrets
}

/// The files of a load in the order they were read, every value that an outline masks masked in them too.
pub fn masked_files(loaded: &Loaded) -> Vec<SourceFile> {
    loaded.sources.masked(&secrets(&loaded.document, &loaded.sources))
}

/// Can be listed value by value. The rule for everything that has no keys of its own: one value.
pub trait Outline {
    /// Lists what is inside.
    fn outline(&self, view: &mut View<'_>) {
        view.value();
    }

    /// The same without a word about the map itself: for keys that stand in the map around them.
    fn outline_keys(&self, view: &mut View<'_>) {
        self.outline(view);
    }
}

/// A list of values that is being made.
#[derive(Debug)]
pub struct View<'s> {
    sources: &'s Sources,
    /// The keys that lead to what is looked at.
    key: String,
    /// Where that was written.
    at: Span,
    /// A name on the way says that it is a secret.
    is_secret: bool,
    written: Vec<Written>,
    /// Where something was masked.
    secrets: Vec<Span>,
}

impl<'s> View<'s> {
    fn over(part: &impl Outline, sources: &'s Sources) -> Self {
        let mut view = Self {
            sources,
            key: String::new(),
            at: Span::default(),
            is_secret: false,
            written: Vec::new(),
            secrets: Vec::new(),
        };
        part.outline(&mut view);
        view
    }
}

impl View<'_> {
    /// Lists what stands here as one value.
    fn value(&mut self) {
        let text = one_line(self.sources.excerpt(self.at));
        if !self.is_secret || is_variable(&text) || is_switch(&text) {
            self.say(text);
        } else {
            self.mask();
        }
    }

    /// Lists what stands here without its value.
    fn mask(&mut self) {
        self.secrets.push(self.at);
        self.say(MASK.to_owned());
    }

    fn say(&mut self, value: String) {
        self.written.push(Written { key: self.key.clone(), value, at: self.at });
    }

    /// Looks at what stands under a key of the language.
    pub(crate) fn under(&mut self, key: &str, look: impl FnOnce(&mut Self)) {
        let length = self.key.len();
        if length > 0 {
            self.key.push('.');
        }
        self.key.push_str(key);
        look(self);
        self.key.truncate(length);
    }

    /// Looks at what stands under a name that somebody chose; the name may say that it is a secret.
    fn under_name(&mut self, name: &str, look: impl FnOnce(&mut Self)) {
        let was_secret = self.is_secret;
        let lower = name.to_ascii_lowercase();
        self.is_secret |= SECRET_WORDS.iter().any(|word| lower.contains(word));
        self.under(name, look);
        self.is_secret = was_secret;
    }

    fn item(&mut self, idx: usize, look: impl FnOnce(&mut Self)) {
        let length = self.key.len();
        self.key.push_str(&format!("[{idx}]"));
        look(self);
        self.key.truncate(length);
    }

    fn at(&mut self, at: Span, look: impl FnOnce(&mut Self)) {
        let around = std::mem::replace(&mut self.at, at);
        look(self);
        self.at = around;
    }

    /// Looks at a map; an empty one is a value too: `retry: {}` turns retries on.
    pub(crate) fn map(&mut self, look: impl FnOnce(&mut Self)) {
        let before = self.written.len();
        look(self);
        if self.written.len() == before && !self.key.is_empty() {
            self.say("{}".to_owned());
        }
    }

    /// Looks at a list. One of single values reads better on one line.
    fn list(&mut self, n_items: usize, mut look: impl FnMut(&mut Self, usize)) {
        let before = self.written.len();
        for idx in 0..n_items {
            self.item(idx, |view| look(view, idx));
        }
        let items = self.written.get(before..).unwrap_or_default();
        let is_plain = items.len() == n_items
            && items.iter().enumerate().all(|(idx, item)| item.key == format!("{}[{idx}]", self.key));
        if is_plain {
            let at = items.first().map_or(self.at, |item| item.at);
            let values: Vec<String> = self.written.drain(before..).map(|item| item.value).collect();
            self.at(at, |view| view.say(format!("[{}]", values.join(", "))));
        }
    }

    /// Looks at a part of a value whose keys are somebody else's; `pointer` leads to it (RFC 6901).
    fn raw(&mut self, raw: &Raw, part: &Value, pointer: &str) {
        self.at(raw.place(pointer), |view| match part {
            Value::Object(entries) => view.map(|view| {
                for (name, entry) in entries {
                    let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                    view.under_name(name, |view| view.raw(raw, entry, &pointer));
                }
            }),
            Value::Array(items) => view.list(items.len(), |view, idx| {
                if let Some(item) = items.get(idx) {
                    view.raw(raw, item, &format!("{pointer}/{idx}"));
                }
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => view.value(),
        });
    }
}

impl<T: Outline> Outline for At<T> {
    fn outline(&self, view: &mut View<'_>) {
        view.at(self.at, |view| self.value.outline(view));
    }
}

impl<T: Outline> Outline for Option<T> {
    fn outline(&self, view: &mut View<'_>) {
        if let Some(value) = self {
            value.outline(view);
        }
    }
}

impl<T: Outline> Outline for Setting<T> {
    fn outline(&self, view: &mut View<'_>) {
        match self {
            Self::Off => view.value(),
            Self::On(value) => value.outline(view),
        }
    }
}

impl<T: Outline> Outline for Vec<T> {
    fn outline(&self, view: &mut View<'_>) {
        view.list(self.len(), |view, idx| {
            if let Some(item) = self.get(idx) {
                item.outline(view);
            }
        });
    }
}

impl<T: Outline> Outline for OneOrMany<T> {
    fn outline(&self, view: &mut View<'_>) {
        match self.0.as_slice() {
            [one] => one.outline(view),
            _ => self.0.outline(view),
        }
    }
}

impl<K: Ord, T: Outline> Outline for Map<K, T> {
    fn outline(&self, view: &mut View<'_>) {
        entries(self, view);
    }
}

impl Outline for Weights {
    fn outline(&self, view: &mut View<'_>) {
        entries(&self.0, view);
    }
}

/// Each entry under its name as it was written.
fn entries<K, T: Outline>(map: &BTreeMap<K, Entry<T>>, view: &mut View<'_>) {
    for entry in map.values() {
        let name = one_line(view.sources.excerpt(entry.at));
        let name = name.trim_matches(['"', '\'']).to_owned();
        view.under_name(&name, |view| view.at(entry.at, |view| entry.value.outline(view)));
    }
}

impl Outline for PluginUse {
    fn outline(&self, view: &mut View<'_>) {
        if self.settings.value.is_null() {
            view.at(self.name.at, View::value);
        } else {
            view.under(self.name.as_str(), |view| self.settings.outline(view));
        }
        view.under("failure", |view| self.failure.outline(view));
    }
}

impl Outline for Raw {
    fn outline(&self, view: &mut View<'_>) {
        view.raw(self, &self.value, "");
    }
}

impl Outline for SecretSource {
    fn outline(&self, view: &mut View<'_>) {
        match self {
            Self::Value(value) => view.at(value.at, View::mask),
            Self::File(path) => view.at(path.at, View::value),
        }
    }
}

/// A text that may have been written over several lines.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// `${NAME}` alone: what it holds is not shown, and its name is no secret.
fn is_variable(text: &str) -> bool {
    let inner = text.trim_matches(['"', '\'']).strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    inner.is_some_and(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
}

/// A value that turns something on or off, and so gives nothing away.
fn is_switch(text: &str) -> bool {
    matches!(text, "true" | "false" | "none" | "")
}
