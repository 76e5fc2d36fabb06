//! A whole head, its lines already known to be sound: request line, fields, verdict.
//!
//! Decides what a head says. Splits bytes; the rules themselves are those of `head`.

use crate::head::{
    FieldRules, HeadSummary, TargetForm, Version, Violation, ViolationKind, check_method, check_target,
    token_bytes,
};

const BAD_REQUEST_LINE: Violation =
    Violation::malformed("the request line is not a method, a target and a version with one space between");

/// Reads `head`: from the method to the empty line, CRLFs included.
pub(super) fn read_head(head: &[u8]) -> Result<HeadSummary, Violation> {
    let mut lines = lines(head);
    let request_line = lines.next().ok_or(BAD_REQUEST_LINE)?;
    let (method, target, version) = split_request_line(request_line)?;
    check_method(method)?;
    let (form, authority) = check_target(method, target)?;
    let mut rules = FieldRules::new(version);
    for line in lines {
        let (name, value) = split_field(line)?;
        rules.field(name, value)?;
    }
    let port_default = if form == (TargetForm::Absolute { https: true }) { 443 } else { 80 };
    rules.finish(method, form, authority, port_default)
}

/// The lines of a block that ends with an empty line, without CRLFs and without that line.
fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = block;
    std::iter::from_fn(move || {
        // Sound lines hold no CR but the one that ends them.
        let end = memchr::memchr(b'\r', rest)?;
        let line = rest.get(..end)?;
        rest = rest.get(end + 2..)?;
        (!line.is_empty()).then_some(line)
    })
}

fn split_request_line(line: &[u8]) -> Result<(&[u8], &[u8], Version), Violation> {
    let mut parts = line.split(|&byte| byte == b' ');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(method), Some(target), Some(version), None) if !target.is_empty() => {
            Ok((method, target, read_version(version)?))
        }
        _ => Err(BAD_REQUEST_LINE),
    }
}

fn read_version(text: &[u8]) -> Result<Version, Violation> {
    match text {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            let reason = "this version of HTTP is not spoken here";
            Err(Violation { kind: ViolationKind::Version, reason })
        }
        _ => Err(BAD_REQUEST_LINE),
    }
}

/// Name and value of a field line. A line that begins with a space is an obs-fold (RFC 9112 §5.2).
pub(super) fn split_field(line: &[u8]) -> Result<(&[u8], &[u8]), Violation> {
    let end = token_bytes(line);
    match line.get(end) {
        Some(b':') if end > 0 => {
            let (name, value) = line.split_at(end);
            Ok((name, value.get(1..).unwrap_or_default()))
        }
        Some(b' ' | b'\t') if end == 0 => Err(Violation::malformed("a field line is folded")),
        Some(_) => Err(Violation::malformed("a field name is not a token")),
        None => Err(Violation::malformed("a field line has no colon")),
    }
}
