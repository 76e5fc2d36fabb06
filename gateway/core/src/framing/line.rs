//! Where a line ends, and that nothing in it could end it earlier for somebody else.
//!
//! Decides on CRLF, bare CR, bare LF and control bytes only; what a line says is read by `message` and `chunk`.

use crate::head::{Violation, is_plain_value_byte};

/// Bytes looked at together while none of them ends anything.
const BLOCK_BYTES: usize = 32;

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
    let mut at = from;
    // Whole blocks of a long value, such as a token's. Written so that the compiler makes vector instructions of it.
    while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk::<BLOCK_BYTES>())
        && !block.iter().fold(false, |found, &byte| found | (byte < b' ') | (byte == 0x7f))
    {
        at += BLOCK_BYTES;
    }
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let found = controls(u64::from_le_bytes(*word));
        if found == 0 {
            at += 8;
            continue;
        }
        // The lowest mark is exact; marks above it may not be.
        at += found.trailing_zeros() as usize / 8;
        if bytes.get(at) != Some(&b'\t') {
            return Some(at);
        }
        at += 1;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    rest.iter().position(|&byte| !is_plain_value_byte(byte)).map(|idx| at + idx)
}

/// Marks the bytes of `word` that are below 0x20 or 0x7f, eight at a time and without a branch.
///
/// "Determine if a word has a byte less than n", S. E. Anderson, Bit Twiddling Hacks. HTAB is marked too: it is
/// rare enough in heads to be told apart afterwards.
const fn controls(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES * 0x80;
    let below_space = word.wrapping_sub(ONES * 0x20) & !word;
    let from_del = word ^ (ONES * 0x7f);
    let is_del = from_del.wrapping_sub(ONES) & !from_del;
    (below_space | is_del) & HIGH
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
    fn each_byte_is_told_apart_at_each_place_of_a_word() {
        for byte in 0..=u8::MAX {
            for place in 0..19 {
                let mut bytes = *b"a\x80\tb~ \xff\xfec a\x80\tb~ \xff\xfec";
                bytes[place] = byte;
                let expected = (!is_plain_value_byte(byte)).then_some(place);
                assert_eq!(first_control(&bytes, 0), expected, "{byte:#x} at {place}");
            }
        }
    }

    #[test]
    fn only_crlf_ends_a_line() {
        for (bytes, at) in [(&b"a\nb"[..], 1), (b"a\rb", 1), (b"\r\r\n", 0), (b"ab\0", 2), (b"\x7f", 0)] {
            assert!(matches!(find_end(bytes, 0), Line::Broken { at: seen, .. } if seen == at), "{bytes:?}");
        }
    }
}
