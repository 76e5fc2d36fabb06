//! The same rules for a head that came by HTTP/2 and is already parsed (RFC 9113 §8.2, §8.3).
//!
//! Decides 400 for what the HTTP/2 engine lets through but an HTTP/1 upstream would read in two ways.
//! Frame errors are the engine's to answer.

use http::{HeaderMap, Method};
use portcullis_plugin_sdk::Scheme;

use super::grammar::is_plain_value_byte;
use super::{
    BodyLength, FieldRules, HeadSummary, Version, Violation, ViolationKind, check_method, check_target,
};

/// The parsed parts of a request head.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// `:method`.
    pub method: &'a Method,
    /// `:scheme`.
    pub scheme: Option<&'a str>,
    /// `:authority`.
    pub authority: Option<&'a str>,
    /// `:path` with its query.
    pub path: &'a str,
    /// All other fields.
    pub fields: &'a HeaderMap,
    /// How the client is connected, which `:scheme` has to agree with.
    pub transport: Scheme,
    /// Whether the head ended the stream: then there is no body.
    pub stream: Stream,
}

/// Whether anything follows the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Data may follow.
    Open,
    /// The head had END_STREAM.
    Ended,
}

/// Checks a head under the house rule. The number of fields may not exceed `fields_max`.
///
/// # Errors
/// The first [`Violation`] found.
pub fn check(head: &Head<'_>, fields_max: usize) -> Result<HeadSummary, Violation> {
    let method = head.method.as_str().as_bytes();
    check_method(method)?;
    check_scheme(head)?;
    if head.fields.len() > fields_max {
        return Err(Violation { kind: ViolationKind::HeadTooLarge, reason: "there are too many fields" });
    }
    let (form, authority) = check_target(method, head.path.as_bytes())?;
    if authority.is_some() {
        return Err(Violation::malformed(":path is not a path"));
    }
    let mut rules = FieldRules::new(Version::Http2);
    for (name, value) in head.fields {
        let value = value.as_bytes();
        if starts_or_ends_with_space(value) {
            return Err(Violation::malformed("a field value begins or ends with a space"));
        }
        rules.field(name.as_str().as_bytes(), value)?;
    }
    let port_default = match head.transport {
        Scheme::Http => 80,
        Scheme::Https => 443,
    };
    let summary = rules.finish(method, form, head.authority.map(str::as_bytes), port_default)?;
    body_of(summary, head.stream)
}

/// `:scheme` has to say how the client is connected: it ends up in what upstreams are told.
fn check_scheme(head: &Head<'_>) -> Result<(), Violation> {
    match head.scheme {
        Some(scheme) if scheme.eq_ignore_ascii_case(head.transport.as_str()) => Ok(()),
        Some(_) => Err(Violation::malformed(":scheme is not that of the connection")),
        None => Err(Violation::malformed("there is no :scheme")),
    }
}

/// RFC 9113 §8.2.1: malformed, since an HTTP/1 hop would silently drop it.
fn starts_or_ends_with_space(value: &[u8]) -> bool {
    let is_space = |byte: Option<&u8>| byte.is_some_and(|&byte| byte <= b' ' && is_plain_value_byte(byte));
    is_space(value.first()) || is_space(value.last())
}

fn body_of(summary: HeadSummary, stream: Stream) -> Result<HeadSummary, Violation> {
    let body = match (stream, summary.body) {
        (Stream::Ended, BodyLength::Length(_)) => {
            return Err(Violation::malformed("Content-Length promises a body that does not come"));
        }
        (Stream::Ended, BodyLength::None | BodyLength::Chunked) => BodyLength::None,
        (Stream::Open, BodyLength::Length(bytes)) => BodyLength::Length(bytes),
        (Stream::Open, BodyLength::None | BodyLength::Chunked) => BodyLength::Chunked,
    };
    Ok(HeadSummary { body, ..summary })
}
