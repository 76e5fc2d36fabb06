//! Plays the guard: feeds a scanner in pieces and keeps what came of it.

use portcullis_core::framing::{HeadSummary, Limits, Scanner, Step, Violation};

/// What came of feeding one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// Every byte that was passed on.
    pub(crate) passed: Vec<u8>,
    /// The heads, in order.
    pub(crate) heads: Vec<HeadSummary>,
    /// How many messages ended.
    pub(crate) ends: usize,
    /// The refusal, if any.
    pub(crate) refused: Option<Violation>,
    /// The connection ended inside a message, or before the first.
    pub(crate) waits: bool,
}

/// Feeds `bytes` cut at `cuts` (ascending).
pub(crate) fn run(bytes: &[u8], cuts: &[usize], limits: Limits) -> Run {
    let mut scanner = Scanner::new(limits);
    let mut run = Run { passed: Vec::new(), heads: Vec::new(), ends: 0, refused: None, waits: true };
    let mut pending = Vec::new();
    let mut from = 0;
    for &to in cuts.iter().chain(std::iter::once(&bytes.len())) {
        pending.extend_from_slice(&bytes[from..to]);
        from = to;
        feed(&mut scanner, &mut pending, &mut run);
        assert!(
            run.refused.is_some() || pending.len() <= kept_max(limits),
            "{} bytes are kept",
            pending.len()
        );
        if run.refused.is_some() {
            return run;
        }
    }
    run.waits = run.ends == 0 || !scanner.is_between_messages() || !pending.is_empty();
    run
}

/// Most bytes that a scanner may ask to be kept: the longest unit that is still within its limit, and a CR.
fn kept_max(limits: Limits) -> usize {
    limits.head_bytes_max.max(limits.chunk_line_bytes_max).max(limits.trailer_bytes_max) + 1
}

fn feed(scanner: &mut Scanner, pending: &mut Vec<u8>, run: &mut Run) {
    loop {
        match scanner.push(pending) {
            Ok(Step::NeedMore) => return,
            Ok(Step::Skip { len }) => drop(pending.drain(..len)),
            Ok(Step::Head { len, summary }) => {
                run.heads.push(summary);
                run.passed.extend(pending.drain(..len));
            }
            Ok(Step::Body { len }) => run.passed.extend(pending.drain(..len)),
            Ok(Step::MessageEnd) => run.ends += 1,
            Ok(Step::Tunnel { len }) => {
                run.passed.extend(pending.drain(..len));
                return;
            }
            Err(violation) => {
                run.refused = Some(violation);
                return;
            }
        }
    }
}
