//! Request id, trace context and `Via`: taken over only when sound, and written so that the next hop finds them so.

use http::HeaderMap;
use portcullis_core::head::Version;
use portcullis_core::headers::Trust;
use portcullis_core::headers::request_id::{RequestId, X_REQUEST_ID};
use portcullis_core::headers::trace_context::{Sampling, TRACEPARENT, TraceContext};
use portcullis_core::headers::via::Via;

pub(super) fn check(fields: &HeaderMap) {
    a_trace_goes_on(fields);
    an_id_is_safe(fields);
    we_know_our_own_hop(fields);
}

fn a_trace_goes_on(fields: &HeaderMap) {
    let ours = TraceContext::receive(fields, 7, 9, Sampling::Recorded);
    let values: Vec<&[u8]> = fields.get_all(TRACEPARENT).iter().map(|value| value.as_bytes()).collect();
    let expected = match values[..] {
        [only] => by_hand(only),
        _ => None,
    };
    let seen = ours.parent_id.map(|parent| (ours.trace_id, parent, ours.flags));
    assert_eq!(seen, expected, "{fields:?}");
    let mut head = fields.clone();
    ours.write(&mut head);
    let next = TraceContext::receive(&head, 1, 2, Sampling::Skipped);
    assert_eq!(
        (next.trace_id, next.parent_id, next.flags),
        (ours.trace_id, Some(9), ours.flags),
        "{fields:?}"
    );
}

/// `version-trace-parent-flags`, more behind a further dash only in later versions.
fn by_hand(value: &[u8]) -> Option<(u128, u64, u8)> {
    // What a later version has behind its flags may be anything.
    let text: String = value.iter().map(|&byte| char::from(byte)).collect();
    let mut parts = text.splitn(5, '-');
    let mut part = |digits: usize| {
        let part = parts.next().filter(|part| part.len() == digits)?;
        let is_hex = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_hex { u128::from_str_radix(part, 16).ok() } else { None }
    };
    let (version, trace, parent, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    let is_known = version != 0xff && (version != 0 || parts.next().is_none());
    let parent = u64::try_from(parent).ok()?;
    let flags = u8::try_from(flags & 3).ok()?;
    (is_known && trace != 0 && parent != 0).then_some((trace, parent, flags))
}

fn an_id_is_safe(fields: &HeaderMap) {
    assert_eq!(RequestId::received(fields, Trust::Untrusted), None);
    let Some(id) = RequestId::received(fields, Trust::Trusted) else { return };
    assert!((1..=128).contains(&id.as_str().len()), "{id}");
    assert!(id.as_str().chars().all(|c| c.is_ascii_graphic() && !"\"',;<>\\{}".contains(c)), "{id}");
    let mut head = fields.clone();
    id.write(&mut head);
    let values: Vec<&[u8]> = head.get_all(X_REQUEST_ID).iter().map(|value| value.as_bytes()).collect();
    assert_eq!(values, [id.as_str().as_bytes()]);
}

fn we_know_our_own_hop(fields: &HeaderMap) {
    let Some(us) = Via::new("node-1") else { return };
    let mut head = fields.clone();
    us.append(&mut head, Version::Http11);
    assert!(us.check(&head).is_err(), "{head:?}");
}
