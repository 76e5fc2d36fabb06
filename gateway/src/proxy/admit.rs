//! Step 3: the gates, in their fixed order, for every request: limits by address, credentials,
//! limits by consumer, the size of the body, then the plugins.
//!
//! A CORS preflight carries no credential by definition, so plugins that answer preflights are
//! asked before the credentials; what they do not answer meets every gate like anything else.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora_http::RequestHeader;
use portcullis_core::auth::{AuthRefusal, Credential, Identity, JwtGate};
use portcullis_core::chain::{ChainFlow, ChainReport, Hook};
use portcullis_core::limit::{Limit, LimitBy, LimitDecision, LimitKey};
use portcullis_core::outcome::Rejection;
use portcullis_core::snapshot::Route;
use portcullis_plugin_sdk::view::is_preflight;
use portcullis_plugin_sdk::{Reply, RequestView};

use super::Gateway;
use super::exchange::{Admitted, Exchange, Plan, Routed, Stage, Trail, facts};
use super::fields::RequestFields;
use crate::{clock, entropy};

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Why a request goes no further.
pub(super) enum Stopped {
    /// We say no.
    Rejected(Rejection),
    /// A plugin answers.
    Answered {
        /// Its reply; boxed, since most refusals are not a plugin's.
        reply: Box<Reply>,
        /// Its name.
        plugin: Arc<str>,
    },
}

impl From<Rejection> for Stopped {
    fn from(rejection: Rejection) -> Self {
        Stopped::Rejected(rejection)
    }
}

/// Asks every gate; a request that comes out is [`Stage::Admitted`].
pub(super) async fn admit(
    head: &mut RequestHeader,
    exchange: &mut Exchange,
    gateway: &Gateway,
) -> Result<(), Stopped> {
    let Some(route) = exchange.routed().map(|routed| routed.route.clone()) else {
        return Err(Rejection::NoRoute.into());
    };
    if route.settings.chain.wants(Hook::Preflight) && is_preflight(&head.method, &head.headers) {
        run_chain(Hook::Preflight, &route, head, exchange, gateway)?;
    }
    limits(&route, Moments::BeforeIdentity, &head.headers, exchange, gateway)?;
    let identity = identify(&route, &head.headers, gateway).await?;
    if let Some(routed) = exchange.routed_mut() {
        routed.identity = identity;
    }
    limits(&route, Moments::AfterIdentity, &head.headers, exchange, gateway)?;
    announced_body(&route, &head.headers)?;
    run_chain(Hook::Request, &route, head, exchange, gateway)?;
    plan(exchange)
}

/// When a limit is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moments {
    BeforeIdentity,
    AfterIdentity,
}

/// Asks the limits whose time it is. The first that refuses ends the request.
fn limits(
    route: &Route,
    moment: Moments,
    headers: &HeaderMap,
    exchange: &mut Exchange,
    gateway: &Gateway,
) -> Result<(), Rejection> {
    let Exchange { stage: Stage::Routed(routed), trail, live, .. } = exchange else { return Ok(()) };
    let consumer = routed.identity.as_ref().and_then(|identity| identity.consumer.as_deref());
    for limit in live.snapshot.limits_for(route, consumer) {
        let is_early = limit.settings().by != LimitBy::Consumer;
        if is_early == (moment == Moments::BeforeIdentity) {
            ask(limit, headers, routed, trail, gateway)?;
        }
    }
    Ok(())
}

fn ask(
    limit: &Limit,
    headers: &HeaderMap,
    routed: &Routed,
    trail: &mut Trail,
    gateway: &Gateway,
) -> Result<(), Rejection> {
    let key = key(&limit.settings().by, headers, routed.arrival.client, routed.identity.as_deref());
    let decision = limit.check(&key, clock::now());
    if !decision.allowed {
        gateway.metrics.limited(&limit.settings().name, !decision.enforced);
    }
    if decision.enforced {
        announce(limit, &decision, trail);
    }
    if decision.refuses() {
        let policy = limit.settings().name.clone();
        return Err(Rejection::Limited { policy, retry_after: decision.retry_after });
    }
    Ok(())
}

/// What a request is counted under. A request without a consumer, or without the header, counts by address:
/// leaving something out must not buy a fresh allowance.
fn key<'a>(
    by: &LimitBy,
    headers: &'a HeaderMap,
    client: IpAddr,
    identity: Option<&'a Identity>,
) -> LimitKey<'a> {
    let text = match by {
        LimitBy::Ip => None,
        LimitBy::Route => return LimitKey::Whole,
        LimitBy::Consumer => identity.map(|identity| identity.limit_key.as_bytes()),
        LimitBy::Header(name) => headers.get(name).map(HeaderValue::as_bytes),
    };
    text.map_or(LimitKey::Ip(client), LimitKey::Text)
}

/// The quota and what is left of it (draft-ietf-httpapi-ratelimit-headers-10, §3 and §4).
fn announce(limit: &Limit, decision: &LimitDecision, trail: &mut Trail) {
    let name = &limit.settings().name;
    let seconds = |span: std::time::Duration| span.as_secs() + u64::from(span.subsec_nanos() > 0);
    let policy = format!("\"{name}\";q={};w={}", decision.limit, seconds(decision.window).max(1));
    // With nothing left, `t` is when there is something again, and so never later than `Retry-After`.
    let until = if decision.remaining == 0 { decision.retry_after } else { decision.reset };
    let state = format!("\"{name}\";r={};t={}", decision.remaining, seconds(until));
    for (field, value) in [(RATELIMIT_POLICY, policy), (RATELIMIT, state)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            trail.reply_fields.push((field, value));
        }
    }
}

/// Asks the route's credential gates; with both, both must pass and the token names the client.
async fn identify(
    route: &Route,
    headers: &HeaderMap,
    gateway: &Gateway,
) -> Result<Option<Arc<Identity>>, Rejection> {
    let mut identity = None;
    if let Some(gate) = &route.settings.api_key {
        let checked = gate.check(headers);
        gateway.metrics.authenticated(Credential::ApiKey, checked.as_ref().err().map(AuthRefusal::reason));
        identity = Some(checked.map_err(|refusal| Rejection::from(&refusal))?);
    }
    if let Some(gate) = &route.settings.jwt {
        let checked = token(gate, headers, gateway).await;
        gateway.metrics.authenticated(Credential::Jwt, checked.as_ref().err().map(AuthRefusal::reason));
        identity = Some(checked.map_err(|refusal| Rejection::from(&refusal))?);
    }
    Ok(identity)
}

/// Checks the token; a key that is not known yet is fetched once, within bounds, and asked for again.
async fn token(gate: &JwtGate, headers: &HeaderMap, gateway: &Gateway) -> Result<Arc<Identity>, AuthRefusal> {
    let checked = gate.check(headers, clock::wall());
    let Err(AuthRefusal::UnknownKid | AuthRefusal::KeysUnavailable) = checked else { return checked };
    if gateway.jwks.refresh(gate.keys()).await { gate.check(headers, clock::wall()) } else { checked }
}

/// A body that announces itself as too long is refused before an upstream hears of it; one that
/// does not is counted on the way.
fn announced_body(route: &Route, headers: &HeaderMap) -> Result<(), Rejection> {
    let Some(max) = route.settings.body_bytes_max else { return Ok(()) };
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > max) { Err(Rejection::BodyTooLarge) } else { Ok(()) }
}

fn run_chain(
    hook: Hook,
    route: &Route,
    head: &mut RequestHeader,
    exchange: &mut Exchange,
    gateway: &Gateway,
) -> Result<(), Stopped> {
    let Some(routed) = exchange.routed_mut().filter(|_| route.settings.chain.wants(hook)) else {
        return Ok(());
    };
    let (method, uri) = (head.method.clone(), head.uri.clone());
    let facts = facts(&routed.arrival, route, routed.identity.as_deref(), &method, uri.query());
    let mut fields = RequestFields(head);
    let mut view = RequestView::new(facts, &mut fields, &mut routed.vars);
    let report = match hook {
        Hook::Preflight => route.settings.chain.on_preflight(&mut view),
        Hook::Request | Hook::Response => route.settings.chain.on_request(&mut view),
    };
    settle(report, gateway)
}

fn settle(report: ChainReport, gateway: &Gateway) -> Result<(), Stopped> {
    gateway.count_incidents(&report.incidents);
    match report.flow {
        ChainFlow::Continue => Ok(()),
        ChainFlow::Respond { reply, plugin } => Err(Stopped::Answered { reply: Box::new(reply), plugin }),
        ChainFlow::Deny { plugin } => Err(Rejection::PluginFault { plugin }.into()),
    }
}

/// Chooses where the request goes and moves it on.
fn plan(exchange: &mut Exchange) -> Result<(), Stopped> {
    let stage = exchange.take_stage();
    let Stage::Routed(routed) = stage else {
        exchange.stage = stage;
        return Err(Rejection::NoRoute.into());
    };
    let Some(destination) = routed.route.settings.target.pick(&mut entropy::number).cloned() else {
        exchange.stage = Stage::Routed(routed);
        return Err(Rejection::NoRoute.into());
    };
    if let Some(retry) = &routed.route.settings.retry {
        retry.on_request(clock::now());
    }
    exchange.stage = Stage::Admitted(Admitted { routed, plan: Plan::first(destination, exchange.started) });
    Ok(())
}
