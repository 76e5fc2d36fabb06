//! Path patterns: `/api/orders/{id:uint}`, `/files/**`, `/users/{id?}`.
//!
//! Decides what a pattern's text means and whether one path matches it. Never ranks routes: `tree` does.
//! Patterns are matched segment by segment on the normalised path, so a prefix never ends inside a segment.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use regex::RegexBuilder;
use thiserror::Error;

use super::literal::normal_literal;

/// Longest pattern accepted, in bytes.
const PATTERN_BYTES_MAX: usize = 1024;
/// Most segments in one pattern; it bounds the depth of a search.
const SEGMENTS_MAX: usize = 32;
/// Longest regular expression in a pattern, in bytes.
const REGEX_BYTES_MAX: usize = 256;
/// Largest compiled regular expression, in bytes.
const REGEX_COMPILED_BYTES_MAX: usize = 256 * 1024;

/// The path of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    segments: Arc<[Segment]>,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Exact,
    OptionalParam,
    Tail,
}

/// One segment of a pattern, without its slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// This text, in normalised form.
    Literal(Arc<str>),
    /// Any one non-empty segment of a kind.
    Param {
        /// Name, unique in its pattern.
        name: Arc<str>,
        /// What it accepts.
        kind: ParamKind,
    },
}

/// What a path parameter accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParamKind {
    /// Any text.
    Any,
    /// Decimal digits whose value fits 64 bits.
    Uint,
    /// A UUID in its hyphenated form (RFC 9562 §4), either case.
    Uuid,
    /// Text that the expression matches as a whole.
    Regex(Arc<PatternRegex>),
}

/// A compiled expression that takes a whole segment; equal and ordered by its text.
#[derive(Debug)]
pub struct PatternRegex {
    text: Arc<str>,
    regex: regex::Regex,
}

/// Parts that many patterns share: texts are kept once, expressions are compiled once.
#[derive(Debug, Default)]
pub struct PatternPool {
    texts: BTreeSet<Arc<str>>,
    regexes: BTreeMap<Arc<str>, Arc<PatternRegex>>,
}

/// Why a path in the document is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadPattern {
    /// Does not begin with `/`.
    #[error("a path begins with `/`")]
    NoSlash,
    /// Too long or too deep.
    #[error("a path has at most {PATTERN_BYTES_MAX} bytes and {SEGMENTS_MAX} segments")]
    TooLarge,
    /// `//` inside; a normalised path has none.
    #[error("an empty segment can never match: paths are matched with `//` merged")]
    EmptySegment,
    /// `.` or `..`; a normalised path has none.
    #[error("`.` and `..` can never match: paths are matched with them resolved")]
    DotSegment,
    /// `*` or `**` somewhere else than as the whole last segment.
    #[error("`**` may stand only as the whole last segment; one segment is `{{name}}`")]
    Star,
    /// Unbalanced braces, or text beside a parameter in its segment.
    #[error("a parameter is a whole segment: `{{name}}`, `{{name:uint}}`, `{{name?}}`")]
    Braces,
    /// Empty or odd parameter name.
    #[error("a parameter name is letters, digits and `_`, and does not begin with a digit")]
    Name,
    /// The same name twice.
    #[error("the parameter `{0}` is there twice")]
    Duplicate(Arc<str>),
    /// No such type.
    #[error("`{0}` is no type of parameter: there are `uint`, `uuid` and `regex(...)`")]
    Kind(String),
    /// `?` before the last segment.
    #[error("only the last segment may be optional")]
    OptionalNotLast,
    /// A character no path has.
    #[error("{0:?} can not be in a path; write it percent-encoded")]
    Character(char),
    /// A percent sign without two digits, or an encoding that a request may not have (`%2F`, `%5C`, `%00`).
    #[error("{0:?} is no escape that a request may have")]
    Escape(String),
    /// Not a regular expression, or too large a one.
    #[error("regular expression: {0}")]
    Regex(String),
}

impl PathPattern {
    /// Reads a pattern; literals are brought into the normalised form that requests are matched in.
    ///
    /// # Errors
    /// [`BadPattern`] says what is wrong.
    pub fn parse(text: &str, pool: &mut PatternPool) -> Result<Self, BadPattern> {
        let body = text.strip_prefix('/').ok_or(BadPattern::NoSlash)?;
        if text.len() > PATTERN_BYTES_MAX {
            return Err(BadPattern::TooLarge);
        }
        let mut parts = split_segments(body)?;
        let mut end = End::Exact;
        if parts.last() == Some(&"**") {
            parts.pop();
            end = End::Tail;
        }
        if parts.len() > SEGMENTS_MAX {
            return Err(BadPattern::TooLarge);
        }
        let n_parts = parts.len();
        let mut segments = Vec::with_capacity(n_parts);
        for (idx, part) in parts.into_iter().enumerate() {
            let is_last = idx + 1 == n_parts;
            let (segment, is_optional) = pool.segment(part)?;
            if is_optional && !(is_last && end == End::Exact) {
                return Err(BadPattern::OptionalNotLast);
            }
            if part.is_empty() && !(is_last && end == End::Exact) {
                return Err(BadPattern::EmptySegment);
            }
            if is_optional {
                end = End::OptionalParam;
            }
            refuse_duplicate(&segments, &segment)?;
            segments.push(segment);
        }
        Ok(Self { segments: segments.into(), end })
    }

    /// The segments, without the `**`.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether it ends in `/**`.
    #[must_use]
    pub fn has_tail(&self) -> bool {
        self.end == End::Tail
    }

    /// Whether its last segment may be absent.
    #[must_use]
    pub fn last_is_optional(&self) -> bool {
        self.end == End::OptionalParam
    }

    /// Names of the parameters in order; their positions are those of [`super::Params`].
    pub fn param_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Param { name, .. } => Some(name),
        })
    }

    /// Whether `path` matches; else the number (from 0) of the first segment that does not.
    ///
    /// # Errors
    /// The position of the segment that differs, is missing, or is one too many.
    pub fn matches(&self, path: &str) -> Result<(), usize> {
        let mut asked = path.strip_prefix('/').ok_or(0_usize)?.split('/');
        if self.last_is_optional() && self.segments.len() == 1 && path == "/" {
            return Ok(());
        }
        for (idx, segment) in self.segments.iter().enumerate() {
            let is_last = idx + 1 == self.segments.len();
            match asked.next() {
                Some(text) if segment.accepts(text) => {}
                None if is_last && self.last_is_optional() => return Ok(()),
                Some(_) | None => return Err(idx),
            }
        }
        if self.has_tail() || asked.next().is_none() { Ok(()) } else { Err(self.segments.len()) }
    }

    /// The byte in `path` at which the `/**` of this pattern begins, at a `/` or at the end.
    ///
    /// `path` must match the pattern; `None` if it is shorter than that.
    #[must_use]
    pub fn tail_start(&self, path: &str) -> Option<usize> {
        let mut slashes = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        slashes.nth(self.segments.len())
    }
}

/// Splits at `/`, but not inside the braces of a parameter, where an expression may stand.
fn split_segments(body: &str) -> Result<Vec<&str>, BadPattern> {
    let mut parts = Vec::new();
    let mut depth = 0_usize;
    let mut start = 0;
    for (at, char) in body.char_indices() {
        match char {
            '{' => depth += 1,
            '}' => depth = depth.checked_sub(1).ok_or(BadPattern::Braces)?,
            '/' if depth == 0 => {
                parts.push(body.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    if depth > 0 {
        return Err(BadPattern::Braces);
    }
    parts.push(body.get(start..).unwrap_or_default());
    Ok(parts)
}

fn refuse_duplicate(before: &[Segment], segment: &Segment) -> Result<(), BadPattern> {
    let Segment::Param { name, .. } = segment else { return Ok(()) };
    let is_there = before.iter().any(|other| match other {
        Segment::Literal(_) => false,
        Segment::Param { name: other, .. } => other == name,
    });
    if is_there { Err(BadPattern::Duplicate(Arc::clone(name))) } else { Ok(()) }
}

impl Segment {
    fn accepts(&self, text: &str) -> bool {
        match self {
            Self::Literal(literal) => **literal == *text,
            Self::Param { kind, .. } => kind.accepts(text),
        }
    }
}

impl ParamKind {
    /// Whether a parameter of this kind takes `segment`; an empty one never is taken.
    #[must_use]
    pub fn accepts(&self, segment: &str) -> bool {
        match self {
            Self::Any => !segment.is_empty(),
            Self::Uint => segment.bytes().all(|byte| byte.is_ascii_digit()) && segment.parse::<u64>().is_ok(),
            Self::Uuid => is_uuid(segment.as_bytes()),
            Self::Regex(regex) => !segment.is_empty() && regex.is_match(segment),
        }
    }
}

fn is_uuid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(idx, byte)| match idx {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

impl PatternPool {
    /// The one copy of `text`.
    pub fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        let fresh: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&fresh));
        fresh
    }

    /// Reads one segment; the flag says whether it is optional.
    fn segment(&mut self, part: &str) -> Result<(Segment, bool), BadPattern> {
        if !part.contains(['{', '}']) {
            let literal = normal_literal(part)?;
            return Ok((Segment::Literal(self.text(&literal)), false));
        }
        let inner =
            part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or(BadPattern::Braces)?;
        let (head, kind) = match inner.split_once(':') {
            Some((head, kind)) => (head, Some(kind)),
            None => (inner, None),
        };
        let (name, is_optional) = match head.strip_suffix('?') {
            Some(name) => (name, true),
            None => (head, false),
        };
        if !is_name(name) {
            return Err(BadPattern::Name);
        }
        let kind = match kind {
            None => ParamKind::Any,
            Some("uint") => ParamKind::Uint,
            Some("uuid") => ParamKind::Uuid,
            Some(kind) => match kind.strip_prefix("regex(").and_then(|rest| rest.strip_suffix(')')) {
                Some(text) => ParamKind::Regex(self.regex(text)?),
                None => return Err(BadPattern::Kind(kind.to_owned())),
            },
        };
        Ok((Segment::Param { name: self.text(name), kind }, is_optional))
    }

    fn regex(&mut self, text: &str) -> Result<Arc<PatternRegex>, BadPattern> {
        if let Some(known) = self.regexes.get(text) {
            return Ok(Arc::clone(known));
        }
        if text.len() > REGEX_BYTES_MAX {
            return Err(BadPattern::Regex(format!("longer than {REGEX_BYTES_MAX} bytes")));
        }
        // the text must stand alone first, so that no parenthesis in it can undo the anchors
        let compile = |text: &str| {
            let built = RegexBuilder::new(text).size_limit(REGEX_COMPILED_BYTES_MAX).build();
            built.map_err(|err| BadPattern::Regex(last_line(&err.to_string())))
        };
        compile(text)?;
        let regex = compile(&format!("^(?:{text})$"))?;
        let text = self.text(text);
        let compiled = Arc::new(PatternRegex { text: Arc::clone(&text), regex });
        self.regexes.insert(text, Arc::clone(&compiled));
        Ok(compiled)
    }
}

/// The reason of a regex error is its last line; the lines above draw a picture that a diagnostic has already.
fn last_line(message: &str) -> String {
    let line = message.lines().last().unwrap_or(message).trim();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

impl PatternRegex {
    /// Whether the whole of `segment` matches.
    #[must_use]
    pub fn is_match(&self, segment: &str) -> bool {
        self.regex.is_match(segment)
    }
}

impl PartialEq for PatternRegex {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PatternRegex {}

impl PartialOrd for PatternRegex {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PatternRegex {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (idx, segment) in self.segments.iter().enumerate() {
            let mark = if self.last_is_optional() && idx + 1 == self.segments.len() { "?" } else { "" };
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Param { name, kind: ParamKind::Any } => write!(f, "/{{{name}{mark}}}")?,
                Segment::Param { name, kind: ParamKind::Uint } => write!(f, "/{{{name}{mark}:uint}}")?,
                Segment::Param { name, kind: ParamKind::Uuid } => write!(f, "/{{{name}{mark}:uuid}}")?,
                Segment::Param { name, kind: ParamKind::Regex(regex) } => {
                    write!(f, "/{{{name}{mark}:regex({})}}", regex.text)?;
                }
            }
        }
        if self.has_tail() { f.write_str("/**") } else { Ok(()) }
    }
}
