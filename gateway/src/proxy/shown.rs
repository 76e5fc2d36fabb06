//! A request for people who look: the line of the access log, and those of its headers that are nobody's secret.

use std::time::Duration;

use http::HeaderMap;
use pingora_proxy::Session;
use serde_json::value::RawValue;

use super::exchange::Exchange;
use super::record::write_line;
use crate::telemetry::access_log::escape;
use crate::telemetry::recent::Seen;

/// The headers whose values are shown. A list of what may be shown, never of what may not: a secret can be anywhere.
const HEADERS_SHOWN: [&str; 4] = ["accept", "content-type", "content-length", "user-agent"];
/// Longest value that is shown.
const VALUE_CHARS_MAX: usize = 256;
/// Room for a usual request.
const SHOWN_BYTES: usize = 1_024;

/// The request as it is shown; `None` if it cannot be, which would be a fault of the log's line.
pub(super) fn seen(session: &Session, exchange: &Exchange, status: u16, took: Duration) -> Option<Seen> {
    let head = session.req_header();
    let mut text = Vec::with_capacity(SHOWN_BYTES);
    write_line(&mut text, session, exchange, status, took);
    // Into the object, before its end.
    text.pop();
    text.extend_from_slice(b",\"headers\":{");
    write_headers(&mut text, &head.headers);
    text.extend_from_slice(b"}}");
    let shown = String::from_utf8(text).ok().and_then(|text| RawValue::from_string(text).ok())?;
    Some(Seen {
        shown,
        id: Some(exchange.id.as_str().into()),
        route: exchange.routed().map(|routed| routed.route.name.clone()),
        method: Some(head.method.as_str().into()),
        status,
        took,
    })
}

fn write_headers(out: &mut Vec<u8>, headers: &HeaderMap) {
    let shown = HEADERS_SHOWN.iter().filter_map(|name| Some((name, headers.get(*name)?.to_str().ok()?)));
    for (n, (name, value)) in shown.enumerate() {
        if n > 0 {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":\"");
        escape(out, value.get(..VALUE_CHARS_MAX).unwrap_or(value));
        out.push(b'"');
    }
}
