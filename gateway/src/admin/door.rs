//! Who may in, what they may do, and how often.
//!
//! The `Host` must name this machine by address or as `localhost`, so that a name rebound to loopback gets nowhere,
//! and a page of another origin is refused, so that no page can act for its reader. Then the token, the pace, the role
//! and the size of the body, in this order; handlers meet none of it.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Limited};
use portcullis_core::limit::{Limit, LimitBy, LimitKey, LimitSeed, LimitSettings};

use super::changes::ask::Author;
use super::docs;
use super::extract::is_text;
use super::problem::Problem;
use super::roles::{PREFIX, Role, required};
use super::tokens::{Caller, Tokens};
use crate::door_server::Peer;
use crate::{clock, entropy};

/// Requests of one caller in a second, and at once after a pause.
const ASKED_PER_SECOND: u32 = 100;
/// Wrong tokens of one address in a second. What comes beyond is told to wait, right tokens are never kept waiting
/// for them: on loopback everybody has one address, and an attacker there must not lock the operator out.
const FAILED_PER_SECOND: u32 = 5;
/// Callers and addresses that are told apart.
const KEYS_MAX: usize = 1_024;
/// Longest body of a request about the configuration.
const CONFIG_BYTES_MAX: usize = 16 << 20;
/// Longest body of any other request.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Longest wait for a body.
const BODY_WAIT: Duration = Duration::from_secs(30);

/// What opens the API.
pub(super) struct Door {
    tokens: Arc<Tokens>,
    /// The user that the gateway runs as.
    uid: u32,
    asked: Limit,
    failed: Limit,
}

impl Door {
    pub(super) fn new(tokens: Arc<Tokens>) -> Self {
        let seed = LimitSeed([entropy::number(), entropy::number()]);
        Self {
            tokens,
            uid: rustix::process::geteuid().as_raw(),
            asked: Limit::new(pace("admin", ASKED_PER_SECOND, LimitBy::Consumer), seed),
            failed: Limit::new(pace("admin-refused", FAILED_PER_SECOND, LimitBy::Ip), seed),
        }
    }

    /// Who asks, or why nobody is let in.
    fn caller(&self, headers: &HeaderMap, peer: Option<Peer>) -> Result<Caller, Box<Response>> {
        let now = clock::now();
        if let Some(caller) = bearer(headers).and_then(|token| self.tokens.holder(token, now)) {
            return Ok(caller);
        }
        let key = match peer {
            // Who says that it has a token must have one, on the socket too.
            Some(Peer::Local { uid }) if !headers.contains_key(header::AUTHORIZATION) => {
                return self.local(uid);
            }
            Some(Peer::Remote(address)) => LimitKey::Ip(address.ip()),
            Some(Peer::Local { .. }) | None => LimitKey::Whole,
        };
        let decision = self.failed.check(&key, now);
        if decision.refuses() {
            let detail = "too many requests without a right token; wait and send the right one";
            return Err(Box::new(slow_down(detail, decision.retry_after)));
        }
        let detail =
            "send `Authorization: Bearer TOKEN`; the first token is in `admin-token` in the state directory";
        let mut refused = Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail).into_response();
        refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        Err(Box::new(refused))
    }

    /// A user of this machine, as the kernel names it.
    fn local(&self, uid: u32) -> Result<Caller, Box<Response>> {
        if uid == 0 || uid == self.uid {
            return Ok(Caller { name: format!("uid:{uid}").into(), role: Role::Admin });
        }
        let detail = "the socket is for the user that the gateway runs as, and for root";
        Err(Box::new(Problem::new(StatusCode::FORBIDDEN, "foreign_user", detail).into_response()))
    }

    fn keep_pace(&self, caller: &Caller) -> Result<(), Box<Response>> {
        let decision = self.asked.check(&LimitKey::Text(caller.name.as_bytes()), clock::now());
        if decision.refuses() {
            let detail = format!("`{}` asks more than {ASKED_PER_SECOND} times a second", caller.name);
            return Err(Box::new(slow_down(&detail, decision.retry_after)));
        }
        Ok(())
    }
}

fn pace(name: &str, per_second: u32, by: LimitBy) -> LimitSettings {
    let permits = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
    LimitSettings {
        name: name.into(),
        permits,
        per: Duration::from_secs(1),
        burst: permits,
        by,
        dry_run: false,
        keys_max: KEYS_MAX,
    }
}

pub(super) async fn enter(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    if is_page(&request) && is_at_home(request.headers()) {
        return next.run(request).await;
    }
    match let_in(&door, request).await {
        Ok((request, caller)) => answer(request, &caller, next).await,
        Err(refused) => *refused,
    }
}

/// Everything that is asked of a request before its handler sees it; the body is whole then.
async fn let_in(door: &Door, request: Request) -> Result<(Request, Caller), Box<Response>> {
    let headers = request.headers();
    if !is_at_home(headers) {
        let detail = "the admin API answers to its address or localhost only, and to no other site's pages";
        return Err(Box::new(Problem::new(StatusCode::FORBIDDEN, "foreign_origin", detail).into_response()));
    }
    let caller = door.caller(headers, request.extensions().get().copied())?;
    door.keep_pace(&caller)?;
    // A path that no route has is told to anybody with a token.
    if let Some(matched) = request.extensions().get::<MatchedPath>() {
        let needed = required(request.method(), matched.as_str());
        if caller.role < needed {
            let detail = format!(
                "this needs the role {}, and the token `{}` has the role {}",
                needed.as_str(),
                caller.name,
                caller.role.as_str()
            );
            return Err(Box::new(Problem::new(StatusCode::FORBIDDEN, "role", detail).into_response()));
        }
    }
    if !request.uri().query().is_none_or(is_text) {
        let detail =
            "the query is not text: each `%` is followed by two hexadecimal digits, and all is UTF-8";
        return Err(Box::new(Problem::new(StatusCode::BAD_REQUEST, "bad_query", detail).into_response()));
    }
    let mut request = whole(request).await?;
    request.extensions_mut().insert(Author(caller.name.to_string()));
    request.extensions_mut().insert(caller.clone());
    Ok((request, caller))
}

/// Runs the handler; what may have changed something is written down with who did it.
async fn answer(request: Request, caller: &Caller, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let asked = (!reads).then(|| (request.method().clone(), request.uri().path().to_owned()));
    let response = next.run(request).await;
    if let Some((method, path)) = asked {
        let status = response.status().as_u16();
        tracing::info!(caller = %caller.name, role = caller.role.as_str(), %method, path, status, "admin request");
    }
    response
}

/// The request with its whole body, within its bound and in time.
async fn whole(request: Request) -> Result<Request, Box<Response>> {
    let bytes_max = match request.uri().path().strip_prefix(PREFIX) {
        Some(path) if path.starts_with("/config") => CONFIG_BYTES_MAX,
        _ => BODY_BYTES_MAX,
    };
    let (head, body) = request.into_parts();
    let refuse = |status, code, detail: String| Box::new(Problem::new(status, code, detail).into_response());
    let read = tokio::time::timeout(BODY_WAIT, Limited::new(body, bytes_max).collect()).await;
    let bytes: Bytes = match read {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let detail = format!("the body is longer than {bytes_max} bytes");
            return Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail));
        }
        Ok(Err(_)) => {
            let detail = "the body ended before it was whole".to_owned();
            return Err(refuse(StatusCode::BAD_REQUEST, "malformed_body", detail));
        }
        Err(_) => {
            let detail = format!("the body did not come within {} s", BODY_WAIT.as_secs());
            return Err(refuse(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail));
        }
    };
    Ok(Request::from_parts(head, Body::from(bytes)))
}

/// The page about the API says nothing of this gateway, and no browser would send a token for it.
fn is_page(request: &Request) -> bool {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    is_read && [docs::PAGE, docs::STYLE].contains(&request.uri().path())
}

fn slow_down(detail: &str, wait: Duration) -> Response {
    let mut refused = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).into_response();
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    refused.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    refused
}

/// The one bearer token of a request.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then_some(token)
}

/// Whether the request names us, and comes from no page but ours.
fn is_at_home(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Ok(host) = host.to_str() else { return false };
    names_us(host) && is_from(headers, host) && is_same_site(headers)
}

/// A browser that sends `Origin` must be on a page of this very host and port.
fn is_from(headers: &HeaderMap, host: &str) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, of_page)| of_page.eq_ignore_ascii_case(host))
}

/// What a browser says of where a request comes from, which a page cannot forge (Fetch Metadata).
fn is_same_site(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none")
}

/// `localhost` or an address, with or without a port.
fn names_us(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (name.parse::<axum::http::HeaderName>().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_name_that_could_be_rebound_is_not_ours() {
        for ours in ["localhost:9901", "127.0.0.1:9901", "[::1]:9901", "LOCALHOST", "10.0.0.4"] {
            assert!(names_us(ours), "{ours}");
        }
        for theirs in ["evil.example:9901", "localhost.evil.example", "", "127.0.0.1.evil.example"] {
            assert!(!names_us(theirs), "{theirs}");
        }
    }

    #[test]
    fn only_a_page_of_this_host_and_port_may_ask() {
        let ask = |fields: &[(&'static str, &str)]| {
            let mut all = vec![("host", "localhost:9901")];
            all.extend_from_slice(fields);
            is_at_home(&headers(&all))
        };
        for ours in [
            &[][..],
            &[("origin", "http://localhost:9901")],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "same-origin"), ("origin", "http://localhost:9901")],
        ] {
            assert!(ask(ours), "{ours:?}");
        }
        for theirs in [
            &[("origin", "http://localhost:3000")][..],
            &[("origin", "http://127.0.0.1:9901")],
            &[("origin", "null")],
            &[("origin", "https://evil.example")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("host", "localhost:9901")],
        ] {
            assert!(!ask(theirs), "{theirs:?}");
        }
        assert!(!is_at_home(&HeaderMap::new()));
    }

    #[test]
    fn a_request_has_one_bearer_token_or_none() {
        assert_eq!(bearer(&headers(&[("authorization", "Bearer abc")])), Some("abc"));
        for wrong in [
            &[("authorization", "Basic abc")][..],
            &[("authorization", "Bearer abc"), ("authorization", "Bearer abc")],
            &[],
        ] {
            assert_eq!(bearer(&headers(wrong)), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_socket_is_for_our_user_and_root() {
        let folder = tempfile::tempdir().unwrap();
        let none = std::collections::BTreeMap::new();
        let tokens = Tokens::open("0123456789abcdef0123456789abcdef", &none, folder.path(), folder.path());
        let door = Door { uid: 1_000, ..Door::new(Arc::new(tokens.unwrap())) };
        let ask = |uid, fields: &[(&'static str, &str)]| {
            door.caller(&headers(fields), Some(Peer::Local { uid })).map_err(|refused| refused.status())
        };
        for ours in [0, 1_000] {
            assert_eq!(ask(ours, &[]).map(|caller| caller.role), Ok(Role::Admin), "{ours}");
            assert_eq!(ask(ours, &[("authorization", "Bearer x")]), Err(StatusCode::UNAUTHORIZED), "{ours}");
        }
        assert_eq!(ask(1_001, &[]), Err(StatusCode::FORBIDDEN));
        assert_eq!(
            door.caller(&headers(&[]), None).map_err(|refused| refused.status()),
            Err(StatusCode::UNAUTHORIZED)
        );
    }
}
