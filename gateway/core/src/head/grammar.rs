//! The character classes of RFC 9110 §5.6 and of request targets, as tables.
//!
//! Decides which bytes may stand where; knows no field and no message.

/// `tchar` of RFC 9110 §5.6.2.
const TOKEN: [bool; 256] = class(b"!#$%&'*+-.^_`|~");

/// What may stand in a request target. RFC 3986 less what two parsers have been seen to read differently:
/// controls, space, `"`, `#`, `<`, `>`, `\`, `^`, `{`, `|`, `}`, DEL and everything above.
const TARGET: [bool; 256] = class(b"-._~:/?[]@!$&'()*+,;=%`");

/// What may stand in a path and is never another spelling of something else: no `%`, `;` or `?`.
const PLAIN_PATH: [bool; 256] = class(b"-._~:/[]@!$&'()*+,=`");

const fn class(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0_usize;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut idx = 0;
    while idx < others.len() {
        table[others[idx] as usize] = true;
        idx += 1;
    }
    table
}

/// How many leading bytes are of a token.
pub(crate) fn token_bytes(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| !TOKEN[usize::from(byte)]).unwrap_or(bytes.len())
}

/// Whether `bytes` is a non-empty token: a method, a field name, a connection option.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && token_bytes(bytes) == bytes.len()
}

/// Whether every byte may stand in a request target.
pub(crate) fn is_target_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| TARGET[usize::from(byte)])
}

/// Whether a byte of a path stands for itself alone.
pub(crate) fn is_plain_path_byte(byte: u8) -> bool {
    PLAIN_PATH[usize::from(byte)]
}

/// Whether a byte may stand in a field value: HTAB, SP, visible ASCII and obs-text (RFC 9110 §5.5).
pub(crate) const fn is_plain_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// `value` without the optional whitespace around it (RFC 9110 §5.6.3): SP and HTAB only.
pub(crate) fn trim_ows(value: &[u8]) -> &[u8] {
    let is_ows = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_ows(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_ows(byte)).map_or(start, |last| last + 1);
    value.get(start..end).unwrap_or_default()
}

/// The members of a comma-separated list, trimmed, empty ones left out (RFC 9110 §5.6.1.2).
pub(crate) fn list_members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim_ows).filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_class_holds_nothing_the_house_rule_refuses() {
        for byte in 0..=u8::MAX {
            let refused = byte <= b' ' || byte >= 0x7f || b"#\\\"<>^{|}".contains(&byte);
            assert_eq!(is_target_text(&[byte]), !refused, "{byte:#x}");
        }
    }

    #[test]
    fn the_token_class_is_that_of_rfc_9110() {
        for byte in 0..=u8::MAX {
            let delimiter = b"\"(),/:;<=>?@[\\]{}".contains(&byte);
            assert_eq!(is_token(&[byte]), byte.is_ascii_graphic() && !delimiter, "{byte:#x}");
        }
        assert!(!is_token(b""));
    }

    #[test]
    fn only_space_and_tab_are_optional_whitespace() {
        assert_eq!(trim_ows(b" \t a b\t "), b"a b");
        assert_eq!(trim_ows(b"\x0ca"), b"\x0ca");
        assert_eq!(trim_ows(b" \t"), b"");
    }
}
