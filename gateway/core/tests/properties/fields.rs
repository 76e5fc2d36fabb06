//! Parsed heads: the two protocols agree, and what upstreams are told is ours, single and true.

mod told;
mod traces;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use portcullis_core::framing::{BodyLength, HeadSummary, Limits, Scanner, Step};
use portcullis_core::head::http2::{self, Stream};
use portcullis_core::head::{Authority, TargetForm};
use portcullis_plugin_sdk::Scheme;

use crate::http_reference::host_and_port;

/// Most fields of a head in this test; in HTTP/1 `Host` is one more.
const FIELDS_MAX: usize = 99;

/// The first line is method, path, authority (`-` for none), scheme and peer; every further one is a field.
pub(crate) fn check(input: &[u8]) {
    let mut lines = input.split(|&byte| byte == b'\n');
    let Some(first) = lines.next().and_then(|line| std::str::from_utf8(line).ok()) else { return };
    let mut words = first.split(' ');
    let mut word = || words.next().unwrap_or_default();
    let Ok(method) = Method::from_bytes(word().as_bytes()) else { return };
    let (path, authority, scheme, peer) = (word(), word(), word(), word());
    let authority = (authority != "-").then_some(authority);
    let fields: HeaderMap = lines.filter_map(field).collect();
    if let Some(authority) = authority {
        an_authority_has_one_spelling(authority);
    }
    let scheme = if scheme == "http" { Scheme::Http } else { Scheme::Https };
    both_protocols_agree(&method, path, authority, scheme, &fields);
    told::check(authority.unwrap_or("h"), scheme, peer, &fields);
    traces::check(&fields);
}

fn field(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let name = HeaderName::from_bytes(line.get(..colon)?).ok()?;
    Some((name, HeaderValue::from_bytes(line.get(colon + 1..)?).ok()?))
}

fn an_authority_has_one_spelling(text: &str) {
    let read = Authority::parse(text.as_bytes()).ok();
    let seen = read.as_ref().map(|authority| (authority.host.to_string(), authority.port));
    assert_eq!(seen, host_and_port(text), "{text:?}");
    if let Some(authority) = read {
        let again = Authority::parse(authority.host.as_str().as_bytes());
        assert_eq!(again.map(|again| again.host.to_string()), Ok(authority.host.to_string()), "{text:?}");
    }
}

/// A head that HTTP/2 brought is sound if and only if the scanner takes it as HTTP/1, but for what RFC 9113 §8.2
/// refuses on top.
fn both_protocols_agree(
    method: &Method,
    path: &str,
    authority: Option<&str>,
    scheme: Scheme,
    fields: &HeaderMap,
) {
    let head = http2::Head {
        method,
        scheme: Some(scheme.as_str()),
        authority,
        path,
        fields,
        transport: scheme,
        stream: Stream::Open,
    };
    let seen = http2::check(&head, FIELDS_MAX);
    let ended = http2::check(&http2::Head { stream: Stream::Ended, ..head }, FIELDS_MAX);
    if let Ok(ended) = ended {
        assert!(seen.is_ok() && ended.body == BodyLength::None, "{head:?}");
    }
    // Host and authority are told apart in HTTP/2 only; that they agree has tests of its own.
    if authority.is_some() && fields.contains_key(http::header::HOST) {
        return;
    }
    let Some(as_http1) = scanned(method, path, authority, fields) else { return };
    let is_sound = as_http1.is_ok() && obeys_http2(fields);
    assert_eq!(seen.is_ok(), is_sound, "{head:?}\n{seen:?}\n{as_http1:?}");
    if let (Ok(ours), Ok(theirs)) = (seen, as_http1) {
        assert_eq!((ours.is_head, ours.is_grpc), (theirs.is_head, theirs.is_grpc), "{head:?}");
        assert_eq!(ours.expects_continue, theirs.expects_continue, "{head:?}");
        if let BodyLength::Length(_) = theirs.body {
            assert_eq!(ours.body, theirs.body, "{head:?}");
        }
    }
}

/// The verdict on the same head in HTTP/1.1; `None` if it cannot be written there, or has another form.
fn scanned(
    method: &Method,
    path: &str,
    authority: Option<&str>,
    fields: &HeaderMap,
) -> Option<Result<HeadSummary, ()>> {
    if authority.is_some_and(|authority| authority.trim_matches('\t') != authority) {
        return None;
    }
    let mut bytes = format!("{method} {path} HTTP/1.1\r\n").into_bytes();
    if let Some(authority) = authority {
        bytes.extend(format!("host: {authority}\r\n").into_bytes());
    }
    for (name, value) in fields {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    bytes.extend(b"\r\n");
    let limits = Limits { head_bytes_max: 1 << 20, request_line_bytes_max: 1 << 20, ..Limits::default() };
    match Scanner::new(limits).push(&bytes) {
        Ok(Step::Head { summary, .. }) if summary.target == TargetForm::Origin || path == "*" => {
            Some(Ok(summary))
        }
        Ok(Step::Head { .. } | Step::Skip { .. }) => None,
        Ok(_) | Err(_) => Some(Err(())),
    }
}

/// RFC 9113 §8.2.1 and §8.2.2: no connection fields, no space around a value.
fn obeys_http2(fields: &HeaderMap) -> bool {
    fields.iter().all(|(name, value)| {
        let value = value.as_bytes();
        let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        !is_space(value.first())
            && !is_space(value.last())
            && match name.as_str() {
                "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade" => false,
                "te" => value.eq_ignore_ascii_case(b"trailers"),
                _ => true,
            }
    })
}
