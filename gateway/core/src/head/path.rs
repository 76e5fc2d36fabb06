//! One form of a path: the form that is matched is the form that is forwarded.
//!
//! Decides which spellings are the same path (RFC 3986 §6.2.2) and refuses those that servers are known to read
//! differently: encoded slashes and backslashes, encoded controls, path parameters. Never decodes twice, so
//! `%252e` stays what it is. A rewritten path is not normalised again; it must already pass [`is_normal`].

use std::borrow::Cow;

use super::Violation;
use super::grammar::{is_plain_path_byte, is_target_text};

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PathRefusal {
    /// It does not begin with `/`.
    NotAbsolute,
    /// A byte that has to be percent-encoded, or one that ends a path (`?`, `#`).
    ForbiddenByte,
    /// `%` without two hexadecimal digits.
    BadEncoding,
    /// `%2F` or `%5C`: a separator to some servers and a letter to others.
    EncodedSeparator,
    /// `%00`–`%1F` or `%7F`.
    EncodedControl,
    /// `;` starts parameters for some servers, which match without them (`/admin;x/` as `/admin/`), and is a
    /// letter to others. Written `%3B` it is a letter to all, save after `.`, `..` or nothing.
    PathParameters,
}

impl PathRefusal {
    /// The rule, for the log and the detail.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotAbsolute => "the path does not begin with a slash",
            Self::ForbiddenByte => "the path has a byte that must be percent-encoded",
            Self::BadEncoding => "the path has a percent sign without two hexadecimal digits",
            Self::EncodedSeparator => "the path has an encoded slash or backslash",
            Self::EncodedControl => "the path has an encoded control character",
            Self::PathParameters => "the path has parameters after a semicolon",
        }
    }
}

impl From<PathRefusal> for Violation {
    fn from(refusal: PathRefusal) -> Self {
        Violation::malformed(refusal.reason())
    }
}

/// The one form of `raw_path` (no query): dot segments resolved, also when encoded; repeated slashes merged;
/// encodings of unreserved characters decoded; the digits of other encodings in upper case.
///
/// Borrowed when `raw_path` already is in that form. `normalize(normalize(x)) == normalize(x)`.
/// A path that climbs above the root stays at the root (RFC 3986 §5.2.4).
///
/// # Errors
/// A [`PathRefusal`] for what cannot be given one form safely.
pub fn normalize(raw_path: &str) -> Result<Cow<'_, str>, PathRefusal> {
    match survey(raw_path)? {
        Form::Normal => Ok(Cow::Borrowed(raw_path)),
        Form::Other => rewrite(raw_path).map(Cow::Owned),
    }
}

/// Whether `path` may be forwarded as it is: the check for what a rewrite has put together.
#[must_use]
pub fn is_normal(path: &str) -> bool {
    matches!(survey(path), Ok(Form::Normal))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Normal,
    Other,
}

/// Refuses what has no safe form, and says whether anything is left to do.
fn survey(path: &str) -> Result<Form, PathRefusal> {
    if is_plain(path) {
        return Ok(Form::Normal);
    }
    let rest = path.strip_prefix('/').ok_or(PathRefusal::NotAbsolute)?;
    if !is_target_text(path.as_bytes()) || path.contains('?') {
        return Err(PathRefusal::ForbiddenByte);
    }
    let mut form = Form::Normal;
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        let seen = survey_segment(segment)?;
        if seen == Form::Other || matches!(segment, "." | "..") || (segment.is_empty() && !is_last) {
            form = Form::Other;
        }
    }
    Ok(form)
}

/// Whether one look is enough, as for nearly every path: nothing encoded, no `;`, no segment that is empty or
/// begins with a dot.
fn is_plain(path: &str) -> bool {
    let mut after_slash = false;
    path.starts_with('/')
        && path.bytes().all(|byte| {
            let fits = if after_slash { !matches!(byte, b'/' | b'.') } else { true };
            after_slash = byte == b'/';
            fits && is_plain_path_byte(byte)
        })
}

fn survey_segment(segment: &str) -> Result<Form, PathRefusal> {
    if segment.contains(';') {
        return Err(PathRefusal::PathParameters);
    }
    let mut form = Form::Normal;
    let mut rest = segment;
    while let Some(percent) = rest.find('%') {
        let (byte, spelling) = encoded_byte(rest, percent)?;
        if is_unreserved(byte) || spelling.bytes().any(|digit| digit.is_ascii_lowercase()) {
            form = Form::Other;
        }
        rest = rest.get(percent + 3..).unwrap_or_default();
    }
    if form == Form::Normal && hides_dots(segment) {
        return Err(PathRefusal::PathParameters);
    }
    Ok(form)
}

/// The byte behind the `%` at `percent`, and its two digits as written.
fn encoded_byte(text: &str, percent: usize) -> Result<(u8, &str), PathRefusal> {
    let digits = text.get(percent + 1..percent + 3).ok_or(PathRefusal::BadEncoding)?;
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(PathRefusal::BadEncoding);
    }
    let byte = u8::from_str_radix(digits, 16).map_err(|_| PathRefusal::BadEncoding)?;
    match byte {
        b'/' | b'\\' => Err(PathRefusal::EncodedSeparator),
        0..=0x1f | 0x7f => Err(PathRefusal::EncodedControl),
        _ => Ok((byte, digits)),
    }
}

/// RFC 3986 §2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Builds the one form. Decoding comes before the dot segments, so that `%2e%2e` is one (RFC 3986 §6.2.2.3),
/// and slashes are merged first, so that `/a//..` is `/`, as every server that merges has it.
fn rewrite(path: &str) -> Result<String, PathRefusal> {
    let mut built = String::with_capacity(path.len());
    let mut ends_in_directory = true;
    for raw in path.split('/').skip(1) {
        let start = built.len();
        built.push('/');
        push_decoded(&mut built, raw)?;
        ends_in_directory = false;
        match built.get(start + 1..).unwrap_or_default() {
            "" | "." => {
                built.truncate(start);
                ends_in_directory = true;
            }
            ".." => {
                built.truncate(start);
                let parent = built.rfind('/').unwrap_or(0);
                built.truncate(parent);
                ends_in_directory = true;
            }
            segment if hides_dots(segment) => return Err(PathRefusal::PathParameters),
            _ => {}
        }
    }
    if ends_in_directory {
        built.push('/');
    }
    Ok(built)
}

fn push_decoded(built: &mut String, raw: &str) -> Result<(), PathRefusal> {
    let mut rest = raw;
    while let Some(percent) = rest.find('%') {
        let (byte, digits) = encoded_byte(rest, percent)?;
        built.push_str(rest.get(..percent).unwrap_or_default());
        if is_unreserved(byte) {
            built.push(char::from(byte));
        } else {
            built.push('%');
            built.extend(digits.chars().map(|digit| digit.to_ascii_uppercase()));
        }
        rest = rest.get(percent + 3..).unwrap_or_default();
    }
    built.push_str(rest);
    Ok(())
}

/// `..%3B`, `.%3B` and `%3B` in front: a dot segment to a server that decodes before it cuts parameters off.
fn hides_dots(segment: &str) -> bool {
    segment.split_once("%3B").is_some_and(|(name, _)| matches!(name, "" | "." | ".."))
}
