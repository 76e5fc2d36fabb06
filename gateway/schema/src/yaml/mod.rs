//! YAML as a tree with places. The only module that knows which parser stands underneath.
//!
//! Decides what is YAML and how much of it is read (bounds below); never what a key means.

mod emit;
mod parse;

pub use emit::to_yaml;
pub(crate) use parse::parse;

use serde_json::Value;

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

    /// The text as somebody would write it, variables and `$${` included.
    fn as_written(&self) -> String {
        match &self.written {
            Some(written) => written.clone(),
            None => self.text.replace("${", "$${"),
        }
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

/// What a scalar means by itself, by the core schema of YAML 1.2. A number that JSON would write in another way stays
/// the text it is, so that nothing is lost.
pub(crate) fn scalar_value(scalar: &Scalar) -> Value {
    let text = || Value::from(scalar.text.as_str());
    if !scalar.plain || scalar.written.is_some() {
        return text();
    }
    if scalar.is_null() {
        return Value::Null;
    }
    match scalar.text.as_str() {
        "true" => return Value::from(true),
        "false" => return Value::from(false),
        _ => {}
    }
    let whole = scalar.text.parse::<i64>().map(Value::from);
    let number = whole.or_else(|_| scalar.text.parse::<f64>().map(Value::from));
    // A number that is none in JSON, such as `inf`, has become nothing.
    let is_spelt_so = |number: &Value| {
        let spelt = number.to_string();
        spelt == scalar.text
    };
    number.ok().filter(|number| number.is_number() && is_spelt_so(number)).unwrap_or_else(text)
}

/// The value of a tree as it was parsed, before any variable is looked at.
pub(crate) fn parsed_value(node: &Node) -> Value {
    match &node.kind {
        Kind::Scalar(scalar) => scalar_value(scalar),
        Kind::List(items) => items.iter().map(parsed_value).collect(),
        Kind::Map(entries) => {
            entries.iter().map(|(key, value)| (key.text.clone(), parsed_value(value))).collect()
        }
    }
}

/// The value of a tree whose variables were expanded, with the variables as they were written.
pub(crate) fn written_value(node: &Node) -> Value {
    match &node.kind {
        Kind::Scalar(scalar) => match scalar_value(scalar) {
            Value::String(_) => Value::from(scalar.as_written()),
            single @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_)) => single,
        },
        Kind::List(items) => items.iter().map(written_value).collect(),
        Kind::Map(entries) => {
            entries.iter().map(|(key, value)| (key.text.clone(), written_value(value))).collect()
        }
    }
}
