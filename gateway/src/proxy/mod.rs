//! One request, a straight line: accept → route → admit → balance → forward → respond → record,
//! and recover wherever an attempt fails.
//!
//! This file is the table of contents: Pingora's callbacks in their order, each handing on to the
//! file of its step. Decisions are asked of `portcullis-core`; sockets are Pingora's.

mod accept;
mod admit;
mod balance;
mod exchange;
mod fields;
mod forward;
mod record;
mod recover;
mod reply;
mod respond;
mod route;
mod shown;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use pingora_core::modules::http::HttpModules;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use portcullis_core::chain::{Incident, IncidentKind};
use portcullis_core::headers::via::Via;
use portcullis_core::outcome::Rejection;

pub(crate) use accept::fresh_id;
pub use exchange::Exchange;

use crate::clock;
use crate::live::Live;
use crate::store::jwks::JwksKeeper;
use crate::telemetry::access_log::SampledLog;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::recent::Recent;
use admit::Stopped;
use recover::give_up;

/// Our name in `Proxy-Status`; the node's own id is in `Via` only.
pub(crate) const GATEWAY_NAME: &str = "portcullis";

/// Whether replies say how they came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reveal {
    /// They do not.
    Nothing,
    /// `X-Gateway-Route`, `-Upstream` and `-Attempts` are set; for debugging only.
    Workings,
}

/// What every request needs; one for the process.
#[derive(Debug)]
pub struct Gateway {
    /// The snapshot in use.
    pub live: Arc<ArcSwap<Live>>,
    /// This node, in `Via`.
    pub via: Via,
    /// Counters that are looked up seldom.
    pub metrics: Arc<Metrics>,
    /// The access log, if it is on.
    pub access_log: Option<Arc<SampledLog>>,
    /// Recent requests, while somebody looks.
    pub recent: Arc<Recent>,
    /// Fetches issuers' keys.
    pub jwks: JwksKeeper,
    /// Whether replies say how they came about.
    pub reveal: Reveal,
}

impl Gateway {
    fn count_incidents(&self, incidents: &[Incident]) {
        for Incident { plugin, hook, kind, message } in incidents {
            let kind = match kind {
                IncidentKind::Fault => "error",
                IncidentKind::Panic => "panic",
            };
            self.metrics.plugin_fault(plugin, kind);
            tracing::warn!(%plugin, hook = hook.as_str(), kind, %message, "plugin failed");
        }
    }
}

/// The gateway as Pingora calls it.
#[derive(Debug)]
pub struct Proxy(pub Arc<Gateway>);

#[async_trait]
impl ProxyHttp for Proxy {
    /// Boxed: Pingora's future of a request holds it, and is moved as a whole.
    type CTX = Box<Exchange>;

    fn new_ctx(&self) -> Box<Exchange> {
        Box::new(Exchange::new(fresh_id(), self.0.live.load_full(), clock::now()))
    }

    /// None: Pingora's default would compress, which no route has asked for.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, exchange: &mut Box<Exchange>) -> Result<()> {
        accept::accept(session, exchange, &self.0).map_err(|rejection| refuse(exchange, rejection))
    }

    async fn request_filter(&self, session: &mut Session, exchange: &mut Box<Exchange>) -> Result<bool> {
        let stopped = match route::route(session.req_header(), exchange) {
            Ok(()) => admit::admit(session.req_header_mut(), exchange, &self.0).await.err(),
            Err(rejection) => Some(Stopped::Rejected(rejection)),
        };
        match stopped {
            None => Ok(false),
            Some(stopped) => reply::stop(session, exchange, &self.0, stopped).await,
        }
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        exchange: &mut Box<Exchange>,
    ) -> Result<Box<HttpPeer>> {
        balance::balance(session, exchange).await
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        _: bool,
        _: &HttpPeer,
        _: std::os::fd::RawFd,
        digest: Option<&Digest>,
        exchange: &mut Box<Exchange>,
    ) -> Result<()> {
        wait::connected(digest, exchange)
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        head: &mut RequestHeader,
        exchange: &mut Box<Exchange>,
    ) -> Result<()> {
        forward::forward(head, exchange, &self.0)
    }

    async fn request_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        ends: bool,
        exchange: &mut Box<Exchange>,
    ) -> Result<()> {
        let counted = exchange.count_body(body.as_ref().map_or(0, Bytes::len));
        counted.map_err(|rejection| refuse(exchange, rejection))?;
        if ends {
            wait::request_ends(exchange);
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        exchange: &mut Box<Exchange>,
    ) -> Result<()> {
        respond::judge(session, head, exchange)
    }

    fn upstream_response_body_filter(
        &self,
        _: &mut Session,
        _: &mut Option<Bytes>,
        ends: bool,
        exchange: &mut Box<Exchange>,
    ) -> Result<Option<Duration>> {
        wait::piece_came(exchange, ends).map(|()| None)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        exchange: &mut Box<Exchange>,
    ) -> Result<()> {
        respond::respond(session, head, exchange, &self.0)
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        _: &HttpPeer,
        exchange: &mut Box<Exchange>,
        error: Box<Error>,
    ) -> Box<Error> {
        recover::after_connect(session, exchange, error)
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        exchange: &mut Box<Exchange>,
        client_reused: bool,
    ) -> Box<Error> {
        recover::after_exchange(session, exchange, error, client_reused)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        exchange: &mut Box<Exchange>,
    ) -> FailToProxy {
        give_up(session, error, exchange, &self.0).await
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Box<Exchange>) {
        record::record(session, error, exchange, &self.0);
    }

    /// The access log says it better.
    fn suppress_error_log(&self, _: &Session, _: &Box<Exchange>, _: &Error) -> bool {
        true
    }

    /// As above: each attempt is in the line of its request.
    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Box<Exchange>,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

/// Carries a rejection through Pingora to `fail_to_proxy`, which answers it.
fn refuse(exchange: &mut Exchange, rejection: Rejection) -> Box<Error> {
    let status = rejection.status().as_u16();
    exchange.trail.rejection = Some(rejection);
    Error::new(ErrorType::HTTPStatus(status))
}
