//! The lines of the chunked coding (RFC 9112 §7.1): sizes, extensions, trailers.
//!
//! Decides what a line says; where it ends is found by `line`. Whitespace around `;` and `=` ("bad" in the RFC's
//! own grammar, BWS) is refused, for parsers disagree about it.

use super::message::split_field;
use crate::head::{Violation, token_bytes};

/// Most hexadecimal digits of a size: 64 bits.
const SIZE_DIGITS_MAX: usize = 16;

const BAD_SIZE: Violation = Violation::malformed("a chunk size is not 1 to 16 hexadecimal digits");
const BAD_EXTENSION: Violation = Violation::malformed("a chunk extension is not `;name` or `;name=value`");

/// The size on a chunk line; 0 for the last chunk.
pub(super) fn read_size(line: &[u8]) -> Result<u64, Violation> {
    let end = line.iter().position(|&byte| byte == b';').unwrap_or(line.len());
    let (digits, extensions) = line.split_at(end);
    if digits.is_empty() || digits.len() > SIZE_DIGITS_MAX {
        return Err(BAD_SIZE);
    }
    let mut size = 0_u64;
    for &digit in digits {
        let value = char::from(digit).to_digit(16).ok_or(BAD_SIZE)?;
        // At most 16 digits: nothing is shifted out.
        size = (size << 4) | u64::from(value);
    }
    check_extensions(extensions)?;
    Ok(size)
}

/// `*( ";" name [ "=" ( token / quoted-string ) ] )`
fn check_extensions(extensions: &[u8]) -> Result<(), Violation> {
    let mut rest = extensions;
    while let Some(after) = rest.strip_prefix(b";") {
        let tail = after_token(after).ok_or(BAD_EXTENSION)?;
        rest = match tail.strip_prefix(b"=") {
            None => tail,
            Some(value) if value.first() == Some(&b'"') => after_quoted(value).ok_or(BAD_EXTENSION)?,
            Some(value) => after_token(value).ok_or(BAD_EXTENSION)?,
        };
    }
    if rest.is_empty() { Ok(()) } else { Err(BAD_EXTENSION) }
}

/// What follows the token in front, which may not be empty.
fn after_token(bytes: &[u8]) -> Option<&[u8]> {
    match token_bytes(bytes) {
        0 => None,
        end => bytes.get(end..),
    }
}

/// What follows the quoted string in front (RFC 9110 §5.6.4). Controls were refused with the line.
fn after_quoted(bytes: &[u8]) -> Option<&[u8]> {
    let mut idx = 1;
    loop {
        match bytes.get(idx)? {
            b'"' => return bytes.get(idx + 1..),
            b'\\' => idx += 2,
            _ => idx += 1,
        }
    }
}

/// Whether a trailer line is a field. Trailers are never merged into the head, so their names have no power.
pub(super) fn check_trailer(line: &[u8]) -> Result<(), Violation> {
    split_field(line).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_plain_hexadecimal() {
        assert_eq!(read_size(b"0"), Ok(0));
        assert_eq!(read_size(b"aF"), Ok(0xaf));
        assert_eq!(read_size(b"000000000000001A"), Ok(0x1a));
        assert_eq!(read_size(b"FFFFFFFFFFFFFFFF"), Ok(u64::MAX));
        for bad in
            [&b""[..], b"00000000000000001", b"0x1", b"1_0", b"+1", b"-1", b" 1", b"1 ", b"1\t", b"g", b"1,2"]
        {
            assert!(read_size(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn extensions_are_names_with_or_without_a_value() {
        for good in [&b"1;a"[..], b"1;a=b", b"1;a=\"b c;=\"", b"1;a;b=c", b"1;a=\"\\\"\"", b"1;a=\"\""] {
            assert_eq!(read_size(good), Ok(1), "{good:?}");
        }
        for bad in [
            &b"1;"[..],
            b"1;;a",
            b"1;a=",
            b"1;=b",
            b"1;a=\"b",
            b"1;a=\"b\"c",
            b"1 ;a",
            b"1; a",
            b"1;a =b",
            b"1;a= b",
            b"1;a=\"\\",
        ] {
            assert!(read_size(bad).is_err(), "{bad:?}");
        }
    }
}
