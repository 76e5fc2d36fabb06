//! Step 6: the head as the upstream sees it.
//!
//! What the client said about itself is gone since `accept`; here the gateway says what it knows:
//! the way of the request, its id and trace, who the client is, and what the route adds.

use std::borrow::Cow;

use http::uri::{PathAndQuery, Uri};
use pingora_core::{Error, ErrorType, OrErr, Result};
use pingora_http::RequestHeader;
use portcullis_core::head::Version;
use portcullis_core::headers::HeadEdit;
use portcullis_core::headers::forwarded::{self, ForwardedField};
use portcullis_core::headers::hop_by_hop::strip_request;

use super::Gateway;
use super::exchange::{Arrival, Exchange, Routed};
use super::fields::{RequestFields, apply};

/// Rewrites the head of one attempt. Runs again for a retry, on a fresh copy.
pub(super) fn forward(head: &mut RequestHeader, exchange: &Exchange, gateway: &Gateway) -> Result<()> {
    let Some(routed) = exchange.routed() else {
        return Error::e_explain(ErrorType::InternalError, "forwarded before it was routed");
    };
    target(head, routed)?;
    let authority = head.uri.authority().map(ToString::to_string);
    let Routed { arrival, route, identity, .. } = routed;
    let mut fields = RequestFields(head);
    strip_request(&mut fields, arrival.onward(), &exchange.live.snapshot.identity_names);
    let host = authority.or_else(|| host_field(&fields)).unwrap_or_default();
    forwarded::write(&mut fields, &wire_arrival(arrival, &host), ForwardedField::Omitted);
    gateway.via.append(&mut fields, arrival.version);
    exchange.id.write(&mut fields);
    arrival.trace.write(&mut fields);
    if let Some(gate) = &route.api_key {
        HeadEdit::remove(&mut fields, gate.header());
    }
    for (name, value) in identity.iter().flat_map(|identity| &identity.headers) {
        HeadEdit::set(&mut fields, name.clone(), value.clone());
    }
    apply(&route.request_headers, &mut fields);
    Ok(())
}

/// The path that was matched, rewritten if the route says so, and the client's query as it came.
///
/// An absolute-form target goes on in origin-form (RFC 9112 §3.2.1): its authority equals `Host`,
/// the guard has made sure. HTTP/2 keeps its authority, which Pingora turns into `Host`.
fn target(head: &mut RequestHeader, routed: &Routed) -> Result<()> {
    let matched: &str = &routed.arrival.path;
    let path = match &routed.route.rewrite {
        Some(rewrite) => rewrite.apply(matched, &routed.params),
        None => Cow::Borrowed(matched),
    };
    let is_absolute = routed.arrival.version != Version::Http2 && head.uri.authority().is_some();
    if head.uri.path() == &*path && !is_absolute {
        return Ok(());
    }
    let whole = match head.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.into_owned(),
    };
    let mut parts = head.uri.clone().into_parts();
    if is_absolute {
        (parts.scheme, parts.authority) = (None, None);
    }
    let target =
        PathAndQuery::try_from(whole).or_err(ErrorType::InternalError, "rewritten path is no target")?;
    parts.path_and_query = Some(target);
    head.set_uri(Uri::from_parts(parts).or_err(ErrorType::InternalError, "rewritten path is no target")?);
    Ok(())
}

fn host_field(fields: &RequestFields<'_>) -> Option<String> {
    fields.fields().get(http::header::HOST).and_then(|host| host.to_str().ok()).map(str::to_owned)
}

fn wire_arrival<'a>(arrival: &Arrival, host: &'a str) -> forwarded::Arrival<'a> {
    forwarded::Arrival {
        peer: arrival.peer.ip(),
        trust: arrival.trust,
        scheme: arrival.scheme,
        host,
        port: arrival.port,
    }
}
