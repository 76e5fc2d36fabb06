//! The text of a path as a document may write it, brought into the form that requests are matched in.
//!
//! Decides which characters a path in the document may have. Never sees a request: `core::head` normalises those.

use std::fmt::Write as _;

use super::BadPattern;

/// A literal in the form of a normalised path: unreserved characters decoded, escapes in upper case, text that is
/// not ASCII encoded as UTF-8 (RFC 3986 §6.2.2).
pub(crate) fn normal_literal(part: &str) -> Result<String, BadPattern> {
    let mut out = String::with_capacity(part.len());
    let mut rest = part.chars();
    while let Some(char) = rest.next() {
        match char {
            '*' => return Err(BadPattern::Star),
            '%' => {
                let escape: String = rest.by_ref().take(2).collect();
                push_escape(&mut out, &escape)?;
            }
            _ if is_path_char(char) => out.push(char),
            _ if !char.is_ascii() => {
                let mut buffer = [0; 4];
                for byte in char.encode_utf8(&mut buffer).bytes() {
                    let _ = write!(out, "%{byte:02X}");
                }
            }
            _ => return Err(BadPattern::Character(char)),
        }
    }
    if out == "." || out == ".." { Err(BadPattern::DotSegment) } else { Ok(out) }
}

fn push_escape(out: &mut String, digits: &str) -> Result<(), BadPattern> {
    let bad = || BadPattern::Escape(format!("%{digits}"));
    if digits.len() != 2 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(bad());
    }
    let byte = u8::from_str_radix(digits, 16).map_err(|_| bad())?;
    match byte {
        b'/' | b'\\' | 0..=0x1f | 0x7f => Err(bad()),
        byte if is_unreserved(byte) => {
            out.push(char::from(byte));
            Ok(())
        }
        byte => write!(out, "%{byte:02X}").map_err(|_| bad()),
    }
}

/// `pchar` of RFC 3986 §3.3 without escapes, without `*`, which patterns keep for themselves, and without `;`, which no
/// normalised path has.
fn is_path_char(char: char) -> bool {
    char.is_ascii_alphanumeric() || "-._~!$&'()+,=:@".contains(char)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}
