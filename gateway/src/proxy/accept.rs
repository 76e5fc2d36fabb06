//! Step 1: one interpretation of the head, one client, one id, one form of the path.
//!
//! HTTP/1 heads were already scanned byte by byte by the listener's guard; HTTP/2 heads are checked
//! here, by the same rules. After this step nothing the client sent about itself is left in the head.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::Version as HttpVersion;
use http::header::{CONNECTION, COOKIE, HOST, UPGRADE};
use http::{HeaderMap, HeaderValue, Method};
use pingora_core::protocols::http::ServerSession;
use pingora_proxy::Session;
use portcullis_core::head::{Authority, Version, http2, normalize};
use portcullis_core::headers::TrustedProxies;
use portcullis_core::headers::forwarded::{Ends, client_address};
use portcullis_core::headers::hop_by_hop::strip_request;
use portcullis_core::headers::identity::remove_spoofable;
use portcullis_core::headers::request_id::RequestId;
use portcullis_core::headers::trace_context::{Sampling, TraceContext};
use portcullis_core::outcome::Rejection;
use portcullis_core::snapshot::{ListenerLimits, Snapshot};
use portcullis_plugin_sdk::Scheme;

use super::exchange::{Arrival, Exchange, Stage};
use super::{Gateway, fields};
use crate::listener::{Afterwards, ConnectionInfo, connection_info};
use crate::{clock, entropy};

/// Longest silence while a body is received.
const BODY_READ_WAIT: Duration = Duration::from_secs(30);
/// Longest wait for the client to take bytes.
const WRITE_WAIT: Duration = Duration::from_secs(60);
/// Slowest client that is still served, in bytes a second.
const SEND_RATE_MIN: usize = 512;
/// Pingora's word for a connection that it keeps until somebody else ends it.
const KEEPALIVE_UNBOUNDED: u64 = 0;
/// Longest time spent reading a body nobody wants, so that the connection can be reused.
const DRAIN_WAIT: Duration = Duration::from_secs(5);

/// Accepts the head, or says what is wrong with it.
pub(super) fn accept(
    session: &mut Session,
    exchange: &mut Exchange,
    gateway: &Gateway,
) -> Result<(), Rejection> {
    let connection = connection(session);
    let snapshot = &exchange.live.snapshot;
    bound(session);
    let arrival = read(session, connection, snapshot, gateway)?;
    snapshot.router.expect_routes(&arrival.host);
    if let Some(id) = RequestId::received(&session.req_header().headers, arrival.trust) {
        exchange.id = id;
    }
    fields::edit(session.req_header_mut(), |head| {
        // Pingora would answer a nominated `Host` with a 5xx of its own; here such a nomination is just dropped.
        strip_request(&mut head.headers, arrival.onward(), &snapshot.identity_names);
        remove_spoofable(&mut head.headers, arrival.trust, &snapshot.identity_names);
        if arrival.version == Version::Http2 {
            join_cookies(&mut head.headers);
        }
    });
    exchange.stage = Stage::Accepted(arrival);
    Ok(())
}

/// HTTP/2 clients may send a cookie in crumbs; whatever is not HTTP/2 must get it whole (RFC 9113 §8.2.3).
fn join_cookies(fields: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = fields.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() < 2 {
        return;
    }
    if let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        fields.insert(COOKIE, whole);
    }
}

/// Sets every bound that Pingora leaves open on a session.
fn bound(session: &mut Session) {
    let session: &mut ServerSession = session;
    // Only where the client wants the connection kept. How long it may idle is the guard's to say: Pingora's
    // own bound would arm and drop a timer for every request.
    if session.get_keepalive().is_some() {
        session.set_keepalive(Some(KEEPALIVE_UNBOUNDED));
    }
    session.set_read_timeout(Some(BODY_READ_WAIT));
    session.set_write_timeout(Some(WRITE_WAIT));
    session.set_min_send_rate(Some(SEND_RATE_MIN));
    session.set_total_drain_timeout(Some(DRAIN_WAIT));
}

/// The connection, as the listener described it; a stream no listener made is nobody's.
fn connection(session: &Session) -> Arc<ConnectionInfo> {
    let described = session.digest().and_then(connection_info).cloned();
    described.unwrap_or_else(|| {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Arc::new(ConnectionInfo {
            listener: Arc::from(""),
            client: nowhere,
            tls: false,
            server_name: None,
            ends: Ends::new(nowhere.ip(), 0),
            afterwards: Afterwards::default(),
        })
    })
}

fn read(
    session: &mut Session,
    connection: Arc<ConnectionInfo>,
    snapshot: &Snapshot,
    gateway: &Gateway,
) -> Result<Arrival, Rejection> {
    let listener = snapshot.listeners.get(&connection.listener);
    let fields_max =
        listener.map_or(ListenerLimits::default().fields_max, |listener| listener.limits.fields_max);
    let (version, is_grpc) = check(session, &connection, fields_max)?;
    let is_upgrade = version == Version::Http11 && asks_for_websocket(session.req_header());
    let nobody = TrustedProxies::default();
    let trusted = listener.map_or(&nobody, |listener| &listener.trusted_proxies);
    let head = session.req_header();
    let host = host(head)?;
    snapshot.router.expect_host(&host);
    if connection.server_name.as_deref().is_some_and(|name| name != &*host) {
        return Err(Rejection::Misdirected);
    }
    gateway.via.check(&head.headers)?;
    let peer = connection.ends.peer();
    let trust = trusted.trust(peer);
    let trace_bits = (u128::from(entropy::number()) << 64) | u128::from(entropy::number());
    Ok(Arrival {
        client: client_address(&head.headers, peer, trusted),
        trust,
        scheme: if connection.tls { Scheme::Https } else { Scheme::Http },
        connection,
        host,
        path: path(head)?,
        trace: TraceContext::receive(&head.headers, trace_bits, entropy::number(), Sampling::Skipped),
        version,
        is_grpc,
        is_upgrade,
    })
}

/// A fresh id.
pub(crate) fn fresh_id() -> RequestId {
    let unix_ms = u64::try_from(clock::since_epoch().as_millis()).unwrap_or(u64::MAX);
    RequestId::fresh(unix_ms, [entropy::number(), entropy::number()])
}

/// The version, and whether a gRPC client waits; an HTTP/2 head must hold to the house rule.
fn check(
    session: &mut Session,
    connection: &ConnectionInfo,
    fields_max: u32,
) -> Result<(Version, bool), Rejection> {
    if !session.is_http2() {
        let version = session.req_header().version;
        return Ok((if version == HttpVersion::HTTP_10 { Version::Http10 } else { Version::Http11 }, false));
    }
    let ended = session.is_body_empty();
    let head = session.req_header();
    let uri = &head.uri;
    let checked = http2::check(
        &http2::Head {
            method: &head.method,
            scheme: uri.scheme_str(),
            authority: uri.authority().map(http::uri::Authority::as_str),
            path: uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str),
            fields: &head.headers,
            transport: if connection.tls { Scheme::Https } else { Scheme::Http },
            stream: if ended { http2::Stream::Ended } else { http2::Stream::Open },
        },
        fields_max as usize,
    );
    let summary = checked.map_err(|violation| violation.rejection())?;
    Ok((Version::Http2, summary.is_grpc))
}

/// Whether this is a WebSocket handshake (RFC 6455 §4.1). Any other `Upgrade` is dropped like the hop-by-hop
/// field it is: to ask the upstream for a WebSocket in its place would put words into the client's mouth.
fn asks_for_websocket(head: &pingora_http::RequestHeader) -> bool {
    let mut protocols = head.headers.get_all(UPGRADE).iter();
    let only = protocols.next().filter(|_| protocols.next().is_none());
    let is_websocket = only.is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let names_upgrade = |value: &HeaderValue| {
        value
            .as_bytes()
            .split(|&byte| byte == b',')
            .any(|member| member.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    };
    is_websocket && head.method == Method::GET && head.headers.get_all(CONNECTION).iter().any(names_upgrade)
}

fn host(head: &pingora_http::RequestHeader) -> Result<Box<str>, Rejection> {
    let named = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    let named = named.or_else(|| head.headers.get(HOST).map(http::HeaderValue::as_bytes));
    let missing = Rejection::Malformed { reason: "the host is missing" };
    let authority = Authority::parse(named.ok_or(missing)?).map_err(|violation| violation.rejection())?;
    Ok(Box::from(authority.host.as_str()))
}

/// The one form of the path that is matched and forwarded. `OPTIONS *` concerns the gateway as a
/// whole and has no route.
fn path(head: &pingora_http::RequestHeader) -> Result<Box<str>, Rejection> {
    let raw = head.uri.path();
    if raw == "*" {
        return Err(Rejection::NoRoute);
    }
    match normalize(raw) {
        Ok(path) => Ok(Box::from(path.as_ref())),
        Err(refusal) => Err(Rejection::Malformed { reason: refusal.reason() }),
    }
}
