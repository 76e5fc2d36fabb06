//! The scanner against anything: no panic, one verdict however cut, nothing that a slow second reading refuses.

mod http_cases;
mod http_drive;
mod http_reference;

use http_drive::run;
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
    fn what_passes_is_sound_to_a_second_reading(bytes in mutant()) {
        let run = run(&bytes, &[], Limits::default());
        if run.refused.is_none() && !run.waits {
            let seen = http_reference::messages(&run.passed);
            prop_assert_eq!(seen, Ok(run.ends), "{:?}", String::from_utf8_lossy(&bytes));
        }
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
            prop_assert_eq!(run(&bytes, &cuts, limits), run(&bytes, &[], limits));
        }
    }

    #[test]
    fn nothing_makes_it_panic_or_loop(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let run = run(&bytes, &[], Limits::default());
        prop_assert!(run.passed.len() <= bytes.len());
    }
}
