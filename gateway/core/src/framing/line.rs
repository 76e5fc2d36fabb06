//! Where a line ends, and that nothing in it could end it earlier for somebody else.
//!
//! Decides on CRLF, bare CR, bare LF and control bytes only; what a line says is read by `message` and `chunk`.

use crate::head::{Violation, is_plain_value_byte};

/// Bytes looked at together: the compiler turns one such block into a few vector instructions.
const BLOCK_BYTES: usize = 16;

/// What a search for the end of a line found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// No end yet; everything before `scanned` need not be looked at again.
    Open {
        /// Offset from which to go on.
        scanned: usize,
    },
    /// CR is at `end`, LF follows.
    Ends {
        /// Offset of the CR: the line without its CRLF is what lies before.
        end: usize,
    },
    /// A byte at `at` that no line may hold.
    Broken {
        /// Offset of the byte, so that a limit reached earlier can come first.
        at: usize,
        /// Which rule it breaks.
        violation: Violation,
    },
}

/// Looks for the end of a line in `bytes`, starting at `from`.
pub(super) fn find_end(bytes: &[u8], from: usize) -> Line {
    let Some(at) = first_control(bytes, from) else {
        return Line::Open { scanned: bytes.len() };
    };
    let broken = |reason| Line::Broken { at, violation: Violation::malformed(reason) };
    match (bytes.get(at), bytes.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => Line::Ends { end: at },
        (Some(b'\r'), None) => Line::Open { scanned: at },
        (Some(b'\r'), Some(_)) => broken("a carriage return without a line feed"),
        (Some(b'\n'), _) => broken("a line feed without a carriage return"),
        _ => broken("a control byte"),
    }
}

/// The offset of the first byte that is no plain value byte: CR, LF or another control.
fn first_control(bytes: &[u8], from: usize) -> Option<usize> {
    let mut offset = from;
    let rest = bytes.get(from..).unwrap_or_default();
    for block in rest.chunks(BLOCK_BYTES) {
        if !block.iter().fold(true, |plain, &byte| plain & is_plain_value_byte(byte)) {
            return block.iter().position(|&byte| !is_plain_value_byte(byte)).map(|idx| offset + idx);
        }
        offset += block.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_line_is_found_at_every_offset() {
        for length in 0..70 {
            let mut bytes = vec![b'a'; length];
            assert_eq!(find_end(&bytes, 0), Line::Open { scanned: length });
            bytes.push(b'\r');
            assert_eq!(find_end(&bytes, 0), Line::Open { scanned: length });
            bytes.push(b'\n');
            assert_eq!(find_end(&bytes, length / 2), Line::Ends { end: length });
        }
    }

    #[test]
    fn only_crlf_ends_a_line() {
        for (bytes, at) in [(&b"a\nb"[..], 1), (b"a\rb", 1), (b"\r\r\n", 0), (b"ab\0", 2), (b"\x7f", 0)] {
            assert!(matches!(find_end(bytes, 0), Line::Broken { at: seen, .. } if seen == at), "{bytes:?}");
        }
    }
}
