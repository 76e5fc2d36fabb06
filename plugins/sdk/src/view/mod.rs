//! What a filter sees of one exchange, and the few things it may change.
//!
//! Views borrow: the gateway lends its own header type through [`HeaderStore`], so nothing is copied for a filter.
//! Framing and connection fields cannot be changed through a view, whatever a filter tries.

mod headers;
mod vars;

use std::net::IpAddr;

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Map, Value};

pub use headers::{HeaderRefused, HeaderStore, Headers, is_gateway_owned};
pub use vars::Vars;

/// How the client reached the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain text.
    Http,
    /// TLS, ended at the gateway or at a trusted proxy before it.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// Who the gates found the client to be.
#[derive(Debug, Clone, Copy)]
pub struct IdentityView<'a> {
    /// The token's `sub`, or the consumer's name for an API key; empty if the token has no subject.
    pub subject: &'a str,
    /// The configured consumer, if the credential belongs to one.
    pub consumer: Option<&'a str>,
    /// Every claim of a verified token; empty for an API key.
    pub claims: &'a Map<String, Value>,
}

/// What is known of a request and stays as it is.
#[derive(Debug, Clone, Copy)]
pub struct RequestFacts<'a> {
    /// The method.
    pub method: &'a Method,
    /// The normalised path the route was chosen by; starts with `/`.
    pub path: &'a str,
    /// The query without its `?`, as it was received.
    pub query: Option<&'a str>,
    /// The host in lower case, without a port.
    pub host: &'a str,
    /// Plain or TLS.
    pub scheme: Scheme,
    /// The client's address, after trusted proxies were taken into account.
    pub client_ip: IpAddr,
    /// The name of the route.
    pub route: &'a str,
    /// Who the client is, once a gate has found out; `None` on a preflight and on a route without such a gate.
    pub identity: Option<IdentityView<'a>>,
}

/// A request on its way in.
#[derive(Debug)]
pub struct RequestView<'a> {
    facts: RequestFacts<'a>,
    headers: Headers<'a>,
    vars: &'a mut Vars,
}

impl<'a> RequestView<'a> {
    /// A view of what the gateway lends.
    pub fn new(facts: RequestFacts<'a>, headers: &'a mut dyn HeaderStore, vars: &'a mut Vars) -> Self {
        Self { facts, headers: Headers::new(headers), vars }
    }

    /// What does not change: method, path, host, client, identity.
    #[must_use]
    pub const fn facts(&self) -> &RequestFacts<'a> {
        &self.facts
    }

    /// The header fields, to read.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.headers.map()
    }

    /// The header fields, to change: the upstream sees what is left here.
    pub fn headers_mut(&mut self) -> &mut Headers<'a> {
        &mut self.headers
    }

    /// Values earlier filters left for later ones.
    #[must_use]
    pub fn vars(&self) -> &Vars {
        self.vars
    }

    /// Values for later filters and hooks of the same exchange.
    pub fn vars_mut(&mut self) -> &mut Vars {
        self.vars
    }
}

/// The head of a reply on its way out.
#[derive(Debug)]
pub struct ResponseView<'a> {
    facts: RequestFacts<'a>,
    request_headers: &'a HeaderMap,
    status: StatusCode,
    headers: Headers<'a>,
    vars: &'a mut Vars,
}

impl<'a> ResponseView<'a> {
    /// A view of what the gateway lends. `request_headers` are those the client sent.
    pub fn new(
        facts: RequestFacts<'a>,
        request_headers: &'a HeaderMap,
        status: StatusCode,
        headers: &'a mut dyn HeaderStore,
        vars: &'a mut Vars,
    ) -> Self {
        Self { facts, request_headers, status, headers: Headers::new(headers), vars }
    }

    /// The request this reply answers.
    #[must_use]
    pub const fn facts(&self) -> &RequestFacts<'a> {
        &self.facts
    }

    /// The header fields of the request this reply answers, as the client sent them.
    #[must_use]
    pub const fn request_headers(&self) -> &'a HeaderMap {
        self.request_headers
    }

    /// The status of the reply. To change it, answer with `Flow::Respond`.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The header fields of the reply, to read.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.headers.map()
    }

    /// The header fields of the reply, to change.
    pub fn headers_mut(&mut self) -> &mut Headers<'a> {
        &mut self.headers
    }

    /// Values earlier filters and hooks left.
    #[must_use]
    pub fn vars(&self) -> &Vars {
        self.vars
    }

    /// Values for later filters of the same exchange.
    pub fn vars_mut(&mut self) -> &mut Vars {
        self.vars
    }
}

/// Whether a request is a CORS preflight: `OPTIONS` with `Origin` and `Access-Control-Request-Method`
/// (WHATWG Fetch, CORS-preflight request).
#[must_use]
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}
