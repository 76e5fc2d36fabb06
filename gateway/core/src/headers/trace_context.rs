//! W3C Trace Context: the trace a request belongs to, continued or started.
//!
//! Decides whether a `traceparent` is sound (level 2, §3.2) and what ours says to the upstream. The random bits
//! of new ids are handed in. Writes no span anywhere.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::HeadEdit;

/// `traceparent`.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// `tracestate`.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Bytes of a `traceparent` of version 00: `00-<32>-<16>-<2>`.
const PARENT_BYTES: usize = 55;
/// The flag that asks everybody on the way to record.
const SAMPLED: u8 = 1;

/// Whether a trace that starts here is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampling {
    /// It is.
    Recorded,
    /// It is not.
    Skipped,
}

/// Our place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; never 0.
    pub trace_id: u128,
    /// Our own span; never 0.
    pub span_id: u64,
    /// The caller's span, if the trace came with the request.
    pub parent_id: Option<u64>,
    /// Flags to pass on: of a continued trace `sampled` and `random`, of a new one `sampled` by choice.
    pub flags: u8,
}

impl TraceContext {
    /// Continues the trace in `fields`, or starts one out of `trace_bits` if there is none or it is not sound.
    #[must_use]
    pub fn receive(fields: &HeaderMap, trace_bits: u128, span_bits: u64, sampling: Sampling) -> Self {
        // Zero means "none" in both ids; one in 2^64 draws must not look invalid.
        let span_id = span_bits.max(1);
        match received(fields) {
            Some((trace_id, parent_id, flags)) => {
                Self { trace_id, span_id, parent_id: Some(parent_id), flags }
            }
            None => {
                let flags = match sampling {
                    Sampling::Recorded => SAMPLED,
                    Sampling::Skipped => 0,
                };
                Self { trace_id: trace_bits.max(1), span_id, parent_id: None, flags }
            }
        }
    }

    /// Whether the trace is to be recorded.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The value of `traceparent` for the next hop.
    #[must_use]
    pub fn traceparent(&self) -> [u8; PARENT_BYTES] {
        let mut text = [b'-'; PARENT_BYTES];
        fill_hex(text.get_mut(0..2), &[0]);
        fill_hex(text.get_mut(3..35), &self.trace_id.to_be_bytes());
        fill_hex(text.get_mut(36..52), &self.span_id.to_be_bytes());
        fill_hex(text.get_mut(53..55), &[self.flags]);
        text
    }

    /// Writes `traceparent`. `tracestate` stays with a continued trace and goes with one that was not (§3.3.1.3).
    pub fn write(&self, head: &mut impl HeadEdit) {
        if self.parent_id.is_none() {
            head.remove(&TRACESTATE);
        }
        if let Ok(value) = HeaderValue::from_bytes(&self.traceparent()) {
            head.set(TRACEPARENT, value);
        }
    }
}

/// Trace id, parent id and flags of the one `traceparent`, if it is sound.
fn received(fields: &HeaderMap) -> Option<(u128, u64, u8)> {
    let mut values = fields.get_all(TRACEPARENT).iter();
    let (Some(only), None) = (values.next(), values.next()) else { return None };
    let bytes = only.as_bytes();
    let version = hex(bytes.get(0..2)?)?;
    // Version ff is forbidden; 00 has a fixed length; a later one may go on behind a dash (§3.2.4).
    let fits = match (version, bytes.get(PARENT_BYTES)) {
        (0xff, _) | (0, Some(_)) => false,
        (_, next) => matches!(next, None | Some(b'-')),
    };
    let dashes = [2, 35, 52].iter().all(|&idx| bytes.get(idx) == Some(&b'-'));
    if !fits || !dashes {
        return None;
    }
    let trace_id = hex(bytes.get(3..35)?)?;
    let parent_id = u64::try_from(hex(bytes.get(36..52)?)?).ok()?;
    let flags = u8::try_from(hex(bytes.get(53..55)?)?).ok()?;
    // Level 2 knows two flags; unknown ones are not passed on (§3.2.2.5).
    (trace_id != 0 && parent_id != 0).then_some((trace_id, parent_id, flags & 0b11))
}

/// At most 32 digits, lower case only, as the specification has it.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |sum, digit| match digit {
        b'0'..=b'9' => Some((sum << 4) | u128::from(digit - b'0')),
        b'a'..=b'f' => Some((sum << 4) | u128::from(digit - b'a' + 10)),
        _ => None,
    })
}

/// Writes the lower-case digits of `bytes` to the beginning of `target`, as far as it reaches.
pub(super) fn fill_hex(target: Option<&mut [u8]>, bytes: &[u8]) {
    for (pair, &byte) in target.unwrap_or_default().chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&hex_pair(byte));
    }
}

/// Two lower-case digits.
const fn hex_pair(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[(byte >> 4) as usize], DIGITS[(byte & 15) as usize]]
}
