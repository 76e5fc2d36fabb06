//! The scanner against anything: no panic, one verdict however cut, that of a slow second reading.

mod http_cases;
mod http_drive;
mod http_reference;
#[path = "properties/scanner.rs"]
mod scanner;

use portcullis_core::framing::Limits;
use proptest::prelude::*;

/// Bytes at which parsers differ, and pieces that make a mutation a likely request.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: [&[u8]; 30] = [
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b" ",
        b"\t",
        b"\0",
        b"\x0b",
        b"\x7f",
        b"\x80",
        b":",
        b";",
        b",",
        b"=",
        b"\"",
        b"0",
        b"5",
        b"a",
        b"/",
        b"#",
        b"\\",
        b"@",
        b"Host: h\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"chunked",
        b"HTTP/1.0",
        b"Connection: close\r\n",
        b"0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    ];
    prop_oneof![
        4 => proptest::sample::select(PIECES.to_vec()).prop_map(<[u8]>::to_vec),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ]
}

/// A case of the table with a few places replaced, or cases one behind the other.
fn mutant() -> impl Strategy<Value = Vec<u8>> {
    let bases: Vec<&'static [u8]> = http_cases::all().map(|(_, bytes, _)| *bytes).collect();
    let base =
        proptest::collection::vec(proptest::sample::select(bases), 1..3).prop_map(|parts| parts.concat());
    let edits = proptest::collection::vec((any::<proptest::sample::Index>(), 0..4_usize, piece()), 0..4);
    (base, edits).prop_map(|(mut bytes, edits)| {
        for (place, removed, piece) in edits {
            let at = place.index(bytes.len() + 1);
            let end = (at + removed).min(bytes.len());
            bytes.splice(at..end, piece);
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_comes_to_the_same_as_a_slow_second_reading(bytes in mutant()) {
        scanner::agrees_with_a_slow_reading(&bytes);
    }

    #[test]
    fn the_verdict_does_not_depend_on_the_cuts(
        bytes in mutant(),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let limits = Limits { request_line_bytes_max: 60, head_bytes_max: 120, fields_max: 4, ..Limits::default() };
        for limits in [Limits::default(), limits] {
            scanner::is_the_same_however_cut(&bytes, &cuts, limits);
        }
    }

    #[test]
    fn nothing_makes_it_panic_or_loop(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        scanner::check(&bytes);
    }
}
