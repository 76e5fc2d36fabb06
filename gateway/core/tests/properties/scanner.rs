//! The scanner: one verdict, that of a slow second reading, however the bytes come in.

use portcullis_core::framing::{BodyLength, Connection, HeadSummary, Limits, Violation, ViolationKind};

use crate::http_drive::run;
use crate::http_reference::{self, Ending, Framing, Head};

/// The first byte says how often the connection is cut (low digit) and how tight the limits are (high digit, 0 for
/// those of the product); so many bytes of distances between the cuts follow, then the connection.
pub(crate) fn check(input: &[u8]) {
    let Some((&first, rest)) = input.split_first() else { return };
    let Some((distances, bytes)) = rest.split_at_checked(usize::from(first & 15)) else { return };
    let mut at = 0;
    let cuts: Vec<usize> = distances
        .iter()
        .map(|&distance| {
            at = bytes.len().min(at + usize::from(distance));
            at
        })
        .collect();
    let limits = limits(usize::from(first >> 4));
    is_the_same_however_cut(bytes, &cuts, limits);
    is_the_same_however_cut(bytes, &(1..bytes.len()).collect::<Vec<_>>(), limits);
    agrees_with_a_slow_reading(bytes);
}

fn limits(room: usize) -> Limits {
    match room {
        0 => Limits::default(),
        _ => Limits {
            request_line_bytes_max: room * 8,
            head_bytes_max: room * 16,
            fields_max: room / 2,
            chunk_line_bytes_max: room,
            trailer_bytes_max: room * 4,
        },
    }
}

/// Cut at `cuts` (ascending), the same passes and the same is refused as in one piece.
pub(crate) fn is_the_same_however_cut(bytes: &[u8], cuts: &[usize], limits: Limits) {
    assert_eq!(run(bytes, cuts, limits), run(bytes, &[], limits), "{:?}", String::from_utf8_lossy(bytes));
}

/// The scanner and the slow reading find the same heads, messages and end; but for limits, which only one has.
pub(crate) fn agrees_with_a_slow_reading(bytes: &[u8]) {
    let run = run(bytes, &[], Limits::default());
    if run.refused.is_some_and(is_a_limit) {
        return;
    }
    let reading = http_reference::read(bytes);
    let seen = match run.refused {
        Some(_) => Ending::Refused(""),
        None if run.waits => Ending::Open,
        None => Ending::Whole,
    };
    let expected = match reading.ending {
        Ending::Refused(_) => Ending::Refused(""),
        ending @ (Ending::Whole | Ending::Open) => ending,
    };
    let shown = String::from_utf8_lossy(bytes);
    assert_eq!((seen, run.ends), (expected, reading.ends), "{shown:?}\n{run:?}\n{reading:?}");
    assert_eq!(run.heads.len(), reading.heads.len(), "{shown:?}\n{run:?}\n{reading:?}");
    for (summary, head) in run.heads.iter().zip(&reading.heads) {
        assert!(says_the_same(summary, head), "{shown:?}\n{summary:?}\n{head:?}");
        is_read_the_same_by_the_next_parser(head);
    }
    assert!(run.passed.starts_with(&reading.whole), "{shown:?}");
    assert!(expected != Ending::Whole || run.passed == reading.whole, "{shown:?}");
}

fn is_a_limit(violation: Violation) -> bool {
    matches!(violation.kind, ViolationKind::UriTooLong | ViolationKind::HeadTooLarge)
        || violation.reason == "a chunk-size line is too long"
}

fn says_the_same(summary: &HeadSummary, head: &Head) -> bool {
    let framing = match summary.body {
        BodyLength::None => Framing::Length(0),
        BodyLength::Length(bytes) => Framing::Length(bytes),
        BodyLength::Chunked => Framing::Chunked,
    };
    let closes = summary.connection == Connection::Close;
    let [method, _, _] = &head.request_line;
    (framing, closes, summary.is_head) == (head.framing, head.closes, method == "HEAD")
}

/// What passes is parsed once more by the engine, with httparse: it must find the same request in the same bytes.
fn is_read_the_same_by_the_next_parser(head: &Head) {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut fields);
    let parsed = request.parse(&head.bytes);
    assert_eq!(parsed, Ok(httparse::Status::Complete(head.bytes.len())), "{head:?}");
    let [method, target, version] = &head.request_line;
    assert_eq!((request.method, request.path), (Some(method.as_str()), Some(target.as_str())));
    assert_eq!(request.version, Some(u8::from(version == "HTTP/1.1")));
    let seen: Vec<(String, String)> = request
        .headers
        .iter()
        .map(|field| {
            let value: String = field.value.iter().map(|&byte| char::from(byte)).collect();
            (field.name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned())
        })
        .collect();
    assert_eq!(seen, head.fields);
}
