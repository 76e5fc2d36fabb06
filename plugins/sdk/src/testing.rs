//! A gateway with one filter and no socket, for the tests of a plugin.
//!
//! The filter is built through the same door as in the gateway ([`Catalog::build`]) and its hooks run in the same
//! order. Panics and faults are not settled here: a fault is handed to the test, a panic fails it.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Map, Value};

use crate::view::is_preflight;
use crate::{
    BuildError, Catalog, Fault, Filter, Flow, Hooks, IdentityView, Plugin, Reply, RequestFacts, RequestView,
    ResponseView, Scheme, Vars,
};

/// One filter, ready to be sent requests.
pub struct Harness {
    catalog: Catalog,
    name: &'static str,
    filter: Box<dyn Filter>,
}

impl Harness {
    /// A gateway whose only route runs one filter of plugin `P`, built from these settings.
    ///
    /// # Errors
    /// What the plugin said against the settings.
    pub fn with<P: Plugin>(settings: Value) -> Result<Self, BuildError> {
        let catalog = Catalog::new().with::<P>().map_err(|error| BuildError::new("", error.to_string()))?;
        let filter = catalog.build(P::NAME, &settings)?;
        Ok(Self { catalog, name: P::NAME, filter })
    }

    /// What the plugin says against these settings: pointer and message.
    ///
    /// # Panics
    /// If the settings are accepted.
    #[must_use]
    #[expect(clippy::panic, reason = "a test harness reports what it did not expect by panicking")]
    pub fn config_error(&self, settings: Value) -> String {
        match self.catalog.build(self.name, &settings) {
            Ok(_) => panic!("plugin `{}` accepted {settings}", self.name),
            Err(error) => error.to_string(),
        }
    }

    /// The hooks the filter declared.
    #[must_use]
    pub fn hooks(&self) -> Hooks {
        self.filter.hooks()
    }

    /// A `GET` for this path, with its query if it has one.
    pub fn get(&self, target: &str) -> Ask<'_> {
        self.request(Method::GET, target)
    }

    /// A request for this path, with its query if it has one. It comes from `192.0.2.1` over TLS to `test.example`
    /// and the upstream would answer 200 unless the test says otherwise.
    pub fn request(&self, method: Method, target: &str) -> Ask<'_> {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        Ask {
            harness: self,
            method,
            path: path.to_owned(),
            query: query.map(str::to_owned),
            host: "test.example".to_owned(),
            scheme: Scheme::Https,
            client_ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            identity: None,
            headers: HeaderMap::new(),
            upstream: Reply::new(StatusCode::OK),
        }
    }
}

impl std::fmt::Debug for Harness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Harness").field("plugin", &self.name).finish_non_exhaustive()
    }
}

/// A request in the making.
#[derive(Debug)]
#[must_use = "nothing happens until it is sent"]
pub struct Ask<'h> {
    harness: &'h Harness,
    method: Method,
    path: String,
    query: Option<String>,
    host: String,
    scheme: Scheme,
    client_ip: IpAddr,
    identity: Option<(String, Map<String, Value>)>,
    headers: HeaderMap,
    upstream: Reply,
}

impl Ask<'_> {
    /// Adds a header field.
    ///
    /// # Panics
    /// If name or value cannot be a header field.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let (name, value) = field(name, value);
        self.headers.append(name, value);
        self
    }

    /// The client's address.
    ///
    /// # Panics
    /// If the text is no address.
    #[expect(clippy::expect_used, reason = "a test harness reports what it did not expect by panicking")]
    pub fn from_ip(mut self, ip: &str) -> Self {
        self.client_ip = ip.parse().expect("an IP address");
        self
    }

    /// The host the client asked for.
    pub fn to_host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// Plain text instead of TLS.
    pub fn over_plain_http(mut self) -> Self {
        self.scheme = Scheme::Http;
        self
    }

    /// As somebody whom a gate has recognised.
    pub fn as_subject(mut self, subject: &str, claims: Map<String, Value>) -> Self {
        self.identity = Some((subject.to_owned(), claims));
        self
    }

    /// What the upstream answers if it is reached.
    pub fn upstream_answers(mut self, reply: Reply) -> Self {
        self.upstream = reply;
        self
    }

    /// Runs the hooks and says what upstream and client would have seen.
    ///
    /// # Errors
    /// The fault of the first hook that failed, or of a reply the gateway could not have sent.
    pub fn send(self) -> Result<Seen, Fault> {
        let identity =
            self.identity.as_ref().map(|(subject, claims)| IdentityView { subject, consumer: None, claims });
        let facts = RequestFacts {
            method: &self.method,
            path: &self.path,
            query: self.query.as_deref(),
            host: &self.host,
            scheme: self.scheme,
            client_ip: self.client_ip,
            route: "test",
            identity,
        };
        let mut vars = Vars::new();
        let mut forwarded = self.headers.clone();
        let answered = self.run_request(facts, &mut forwarded, &mut vars)?;
        let (upstream_saw, mut reply) = match answered {
            Some(reply) => (None, reply),
            None => (Some(forwarded), self.upstream.clone()),
        };
        if self.harness.hooks().contains(Hooks::RESPONSE) {
            let status = reply.status;
            let mut view = ResponseView::new(facts, &self.headers, status, &mut reply.headers, &mut vars);
            if let Flow::Respond(other) = self.harness.filter.on_response(&mut view)? {
                other.check()?;
                reply = other;
            }
        }
        Ok(Seen { upstream_saw, reply })
    }

    fn run_request(
        &self,
        facts: RequestFacts<'_>,
        headers: &mut HeaderMap,
        vars: &mut Vars,
    ) -> Result<Option<Reply>, Fault> {
        let (hooks, filter) = (self.harness.hooks(), &self.harness.filter);
        let mut flow = Flow::Continue;
        if hooks.contains(Hooks::PREFLIGHT) && is_preflight(&self.method, &self.headers) {
            let before_gates = RequestFacts { identity: None, ..facts };
            flow = filter.on_preflight(&mut RequestView::new(before_gates, headers, vars))?;
        }
        if flow == Flow::Continue && hooks.contains(Hooks::REQUEST) {
            flow = filter.on_request(&mut RequestView::new(facts, headers, vars))?;
        }
        match flow {
            Flow::Continue => Ok(None),
            Flow::Respond(reply) => reply.check().map(|()| Some(reply)),
        }
    }
}

/// What upstream and client saw of one request.
#[derive(Debug)]
pub struct Seen {
    upstream_saw: Option<HeaderMap>,
    reply: Reply,
}

impl Seen {
    /// Whether the request got as far as the upstream.
    #[must_use]
    pub const fn reached_upstream(&self) -> bool {
        self.upstream_saw.is_some()
    }

    /// The values of a header field as the upstream saw them.
    ///
    /// # Panics
    /// If the request never got there.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test harness reports what it did not expect by panicking")]
    pub fn upstream_header(&self, name: &str) -> Vec<&str> {
        values(self.upstream_saw.as_ref().expect("the request reaches the upstream"), name)
    }

    /// The status the client saw.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.reply.status
    }

    /// The values of a header field as the client saw them.
    #[must_use]
    pub fn header(&self, name: &str) -> Vec<&str> {
        values(&self.reply.headers, name)
    }

    /// The body the client saw.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.reply.body
    }
}

fn values<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("(not text)")).collect()
}

#[expect(clippy::expect_used, reason = "a test harness reports what it did not expect by panicking")]
fn field(name: &str, value: &str) -> (HeaderName, HeaderValue) {
    (name.parse().expect("a header name"), value.parse().expect("a header value"))
}
