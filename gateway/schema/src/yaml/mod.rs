//! YAML as a tree with places. The only module that knows which parser stands underneath.
//!
//! Decides what is YAML and how much of it is read (bounds below); never what a key means.

mod parse;

pub(crate) use parse::parse;

use crate::span::Span;

/// One value with its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Where it was written. An alias stands where it is used.
    pub(crate) at: Span,
    /// The place of the key it stands under, else its own: where something missing inside it is shown.
    pub(crate) named: Span,
    /// What it is.
    pub(crate) kind: Kind,
}

/// The three shapes of YAML.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// Text, a number, a boolean or nothing: whoever reads it decides.
    Scalar(Scalar),
    /// `[a, b]` or `- a`.
    List(Vec<Node>),
    /// `{a: b}` or `a: b`, in the order written, each key once.
    Map(Vec<(Key, Node)>),
}

/// The text of a scalar.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    /// The text after escapes and after `${VAR}`.
    pub(crate) text: String,
    /// The text as written, when `${VAR}` changed it. Errors quote this one.
    pub(crate) written: Option<String>,
    /// Written without quotes, so that `true`, `5` and nothing mean themselves.
    pub(crate) plain: bool,
    /// What it stands for is not known, and that has been reported; nothing more is said about it.
    pub(crate) lost: bool,
}

/// A key of a map.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// The key.
    pub(crate) text: String,
    /// Where it was written.
    pub(crate) at: Span,
}

impl Scalar {
    /// The text that an error may show.
    pub(crate) fn shown(&self) -> &str {
        self.written.as_deref().unwrap_or(&self.text)
    }

    /// May mean a number, a boolean or `none`: without quotes, or a variable, which often needs them.
    pub(crate) fn is_bare(&self) -> bool {
        self.plain || self.written.is_some()
    }

    /// Nothing was written: `key:` or `~` or `null`.
    pub(crate) fn is_null(&self) -> bool {
        self.plain
            && !self.lost
            && self.written.is_none()
            && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

impl Node {
    /// A word for the shape, for messages.
    pub(crate) fn shape(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(scalar) if scalar.is_null() => "nothing",
            Kind::Scalar(scalar) if scalar.plain && matches!(scalar.text.as_str(), "true" | "false") => {
                "a boolean"
            }
            Kind::Scalar(scalar) if scalar.plain && scalar.text.parse::<f64>().is_ok() => "a number",
            Kind::Scalar(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    /// The scalar, if it is one.
    pub(crate) fn scalar(&self) -> Option<&Scalar> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(scalar),
            Kind::List(_) | Kind::Map(_) => None,
        }
    }
}
