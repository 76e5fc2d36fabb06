//! Step 6: the head as the upstream sees it.
//!
//! What the client said about itself is gone since `accept`; here the gateway says what it knows:
//! the way of the request, its id and trace, who the client is, and what the route adds.

use std::borrow::Cow;

use http::HeaderValue;
use http::header::HOST;
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};
use pingora_core::{Error, ErrorType, OrErr, Result};
use pingora_http::RequestHeader;
use portcullis_core::headers::forwarded::{self, ForwardedField};
use portcullis_core::headers::hop_by_hop::{Onward, strip_request};

use super::Gateway;
use super::exchange::{Arrival, Exchange, Routed};
use super::fields::{self, apply};

/// Fields that the gateway itself says, at most: room for them is made once.
const OWN_FIELDS_MAX: usize = 8;

/// Rewrites the head of one attempt. Runs again for a retry, on a fresh copy.
pub(super) fn forward(head: &mut RequestHeader, exchange: &Exchange, gateway: &Gateway) -> Result<()> {
    let Some(routed) = exchange.routed() else {
        return Error::e_explain(ErrorType::InternalError, "forwarded before it was routed");
    };
    fields::edit(head, |head| {
        let host = host(head);
        target(head, routed)?;
        let Routed { arrival, route, identity, .. } = routed;
        let fields = &mut head.headers;
        fields.reserve(OWN_FIELDS_MAX);
        match arrival.onward() {
            // Stripped on arrival, and Pingora has added nothing since.
            Onward::Plain => {}
            // Pingora drops from its copy what was said anew: it is said once more.
            onward @ (Onward::WebSocket | Onward::Grpc) => {
                strip_request(fields, onward, &exchange.live.snapshot.identity_names);
            }
        }
        forwarded::write(fields, &wire_arrival(arrival, host.as_ref()), ForwardedField::Omitted);
        gateway.via.append(fields, arrival.version);
        exchange.id.write(fields);
        arrival.trace.write(fields);
        if let Some(gate) = &route.settings.api_key {
            fields.remove(gate.header());
        }
        for (name, value) in identity.iter().flat_map(|identity| &identity.headers) {
            fields.insert(name.clone(), value.clone());
        }
        apply(&route.settings.request_headers, fields);
        Ok(())
    })
}

/// The path that was matched, rewritten if the route says so, and the client's query as it came.
///
/// HTTP/2 keeps its authority, which Pingora turns into `Host`.
fn target(head: &mut Parts, routed: &Routed) -> Result<()> {
    let matched: &str = &routed.arrival.path;
    let path = match &routed.route.rewrite {
        Some(rewrite) => rewrite.apply(matched, &routed.params),
        None => Cow::Borrowed(matched),
    };
    if head.uri.path() == &*path {
        return Ok(());
    }
    let whole = match head.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.into_owned(),
    };
    let mut parts = head.uri.clone().into_parts();
    let target =
        PathAndQuery::try_from(whole).or_err(ErrorType::InternalError, "rewritten path is no target")?;
    parts.path_and_query = Some(target);
    head.uri = Uri::from_parts(parts).or_err(ErrorType::InternalError, "rewritten path is no target")?;
    Ok(())
}

/// The host as the client wrote it.
fn host(head: &Parts) -> Option<HeaderValue> {
    match head.uri.authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None => head.headers.get(HOST).cloned(),
    }
}

fn wire_arrival<'a>(arrival: &'a Arrival, host: Option<&'a HeaderValue>) -> forwarded::Arrival<'a> {
    forwarded::Arrival { ends: &arrival.connection.ends, trust: arrival.trust, scheme: arrival.scheme, host }
}
