//! The rules of method and request target (RFC 9110 §9, RFC 9112 §3.2 under the house rule).
//!
//! Decides the form of a target and which authority it names; normalises nothing.

use super::grammar::{is_target_text, is_token};
use super::{TargetForm, Violation, ViolationKind};

const BAD_BYTE: Violation =
    Violation::malformed("the request target has a byte that must be percent-encoded");
const BAD_FORM: Violation = Violation::malformed("the request target is neither a path nor an http address");

/// Refuses what is no method, and the two that are never passed on.
pub(crate) fn check_method(method: &[u8]) -> Result<(), Violation> {
    match method {
        b"CONNECT" => {
            Err(Violation { kind: ViolationKind::Connect, reason: "this gateway opens no tunnels" })
        }
        b"TRACE" => Err(Violation { kind: ViolationKind::Trace, reason: "TRACE is not answered here" }),
        _ if is_token(method) => Ok(()),
        _ => Err(Violation::malformed("the method is not a token")),
    }
}

/// The form of `target`, and the authority it carries if it is absolute.
pub(crate) fn check_target<'a>(
    method: &[u8],
    target: &'a [u8],
) -> Result<(TargetForm, Option<&'a [u8]>), Violation> {
    if !is_target_text(target) {
        return Err(BAD_BYTE);
    }
    match target {
        [b'/', ..] => Ok((TargetForm::Origin, None)),
        b"*" if method == b"OPTIONS" => Ok((TargetForm::Asterisk, None)),
        _ => absolute(target).map(|(https, authority)| (TargetForm::Absolute { https }, Some(authority))),
    }
}

/// Whether the scheme is https, and the authority. Only the two schemes of HTTP are ours to serve.
fn absolute(target: &[u8]) -> Result<(bool, &[u8]), Violation> {
    let colon = target.iter().position(|&byte| byte == b':').ok_or(BAD_FORM)?;
    let (scheme, rest) = target.split_at_checked(colon).ok_or(BAD_FORM)?;
    let https = scheme.eq_ignore_ascii_case(b"https");
    if !https && !scheme.eq_ignore_ascii_case(b"http") {
        return Err(BAD_FORM);
    }
    let rest = rest.strip_prefix(b"://").ok_or(BAD_FORM)?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    Ok((https, rest.get(..end).unwrap_or_default()))
}
