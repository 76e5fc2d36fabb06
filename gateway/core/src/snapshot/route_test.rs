//! The routes' inline `tests`, run without a network.
//!
//! Decides what a request would lead to by asking the same nouns as the data path, in its order: path, route, gates,
//! filters, rewrite, edits. Stops where an upstream would be asked. Limits and breakers are not asked: they depend on
//! what came before.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use portcullis_plugin_sdk::{RequestFacts, RequestView, Scheme, Vars};
use portcullis_schema as schema;
use portcullis_schema::{Code, Diagnostic, Document, Setting, Span};
use serde_json::{Map, Value};

use super::{Route, Snapshot};
use crate::auth::{Credential, Identity};
use crate::chain::{ChainFlow, ChainReport, Hook};
use crate::head::normalize;
use crate::headers::Trust;
use crate::headers::identity::remove_spoofable;
use crate::router::{Found, Params, RouteAsk};

/// The address a test's request comes from.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What came of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteTestResult {
    /// The route the test is written under.
    pub route: Arc<str>,
    /// The request, as a line.
    pub request: String,
    /// Where the test is written.
    pub at: Span,
    /// What does not hold; empty if the test passed.
    pub failures: Vec<TestFailure>,
}

/// An expectation that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestFailure {
    /// Where the expectation is written.
    pub at: Span,
    /// What was expected.
    pub expected: String,
    /// What is the case.
    pub found: String,
}

impl RouteTestResult {
    /// Whether everything expected holds.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }

    /// One finding for each expectation that does not hold.
    pub fn diagnostics(&self) -> impl Iterator<Item = Diagnostic> + '_ {
        self.failures.iter().map(|failure| {
            let message = format!("test `{}` of route `{}` failed", self.request, self.route);
            Diagnostic::new(Code::TestFailed, message)
                .label(failure.at, format!("found {}", failure.found))
                .help(format!("expected {}", failure.expected))
        })
    }
}

/// Runs all inline tests of `document` on the snapshot compiled from it, in the order of the routes.
#[must_use]
pub fn run_route_tests(document: &Document, snapshot: &Snapshot) -> Vec<RouteTestResult> {
    let mut results = Vec::new();
    for (name, entry) in &document.routes {
        for test in entry.value.tests.iter().flatten() {
            let (Some(request), Some(expect)) = (&test.value.request, &test.value.expect) else { continue };
            let sent = Sent::new(&request.value, &test.value);
            let outcome = outcome(snapshot, &sent);
            results.push(RouteTestResult {
                route: name.shared(),
                request: sent.line(),
                at: test.at,
                failures: judge(&expect.value, &outcome),
            });
        }
    }
    results
}

/// The request of a test.
struct Sent {
    method: Method,
    scheme: Scheme,
    host: String,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
    /// The claims of a token, if one is shown.
    claims: Option<Map<String, Value>>,
    consumer: Option<Arc<str>>,
}

/// What a request leads to.
#[derive(Debug, Default)]
struct Outcome {
    route: Option<Arc<str>>,
    /// The gateway's own answer, with the reason in words.
    answer: Option<(u16, String)>,
    upstreams: Vec<Arc<str>>,
    path: Option<String>,
    headers: HeaderMap,
}

impl Sent {
    fn new(request: &schema::TestRequest, test: &schema::RouteTest) -> Self {
        let (path, query) = match request.path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (request.path_and_query.as_str(), None),
        };
        let host = request.host.as_deref().unwrap_or("");
        let host = host
            .rsplit_once(':')
            .filter(|(_, port)| port.parse::<u16>().is_ok())
            .map_or(host, |(host, _)| host);
        let headers = test.headers.iter().filter_map(|(name, entry)| {
            let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(&entry.value.value).ok()?))
        });
        let identity = test.identity.as_ref().map(|identity| &identity.value);
        Self {
            method: Method::from_bytes(request.method.as_str().as_bytes()).unwrap_or(Method::GET),
            scheme: if request.scheme == Some("https") { Scheme::Https } else { Scheme::Http },
            host: host.trim_end_matches('.').to_owned(),
            path: path.to_owned(),
            query,
            headers: headers.collect(),
            claims: identity.and_then(claims),
            consumer: identity
                .and_then(|identity| identity.consumer.as_ref())
                .map(|name| name.value.shared()),
        }
    }

    fn line(&self) -> String {
        let query = self.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{} {}{}{query}", self.method, self.host, self.path)
    }
}

/// The claims of the token that `as` stands for; `None` if it shows none.
fn claims(identity: &schema::TestIdentity) -> Option<Map<String, Value>> {
    let schema::TestIdentity { sub, scope, consumer: _, claims } = identity;
    if sub.is_none() && scope.is_none() && claims.is_none() {
        return None;
    }
    let mut all = match claims.as_ref().map(|claims| &claims.value.value) {
        Some(Value::Object(claims)) => claims.clone(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) | None => {
            Map::new()
        }
    };
    if let Some(sub) = sub {
        all.insert("sub".to_owned(), Value::String(sub.value.clone()));
    }
    if let Some(scope) = scope {
        let scopes: Vec<&str> = scope.0.iter().map(|scope| scope.value.as_str()).collect();
        all.insert("scope".to_owned(), Value::String(scopes.join(" ")));
    }
    Some(all)
}

/// What `sent` leads to on `snapshot`.
fn outcome(snapshot: &Snapshot, sent: &Sent) -> Outcome {
    let path = match normalize(&sent.path) {
        Ok(path) => path,
        Err(why) => return Outcome::answered(None, StatusCode::BAD_REQUEST, why.reason()),
    };
    let ask = RouteAsk {
        listener: None,
        host: &sent.host,
        path: &path,
        method: &sent.method,
        headers: &sent.headers,
        query: sent.query.as_deref(),
    };
    match snapshot.router.find(&ask) {
        Found::NoRoute => Outcome::answered(None, StatusCode::NOT_FOUND, "no route matches"),
        Found::MethodNotAllowed { .. } => {
            Outcome::answered(None, StatusCode::METHOD_NOT_ALLOWED, "no route takes the method")
        }
        Found::Route { route, params, .. } => on_route(snapshot, sent, route, &path, &params),
    }
}

impl Outcome {
    fn answered(route: Option<&Route>, status: StatusCode, why: impl Into<String>) -> Self {
        let route = route.map(|route| Arc::clone(&route.name));
        Self { route, answer: Some((status.as_u16(), why.into())), ..Self::default() }
    }
}

fn on_route(snapshot: &Snapshot, sent: &Sent, route: &Route, path: &str, params: &Params) -> Outcome {
    let mut headers = sent.headers.clone();
    remove_spoofable(&mut headers, Trust::Untrusted, &snapshot.identity_names);
    let mut facts = RequestFacts {
        method: &sent.method,
        path,
        query: sent.query.as_deref(),
        host: &sent.host,
        scheme: sent.scheme,
        client_ip: CLIENT,
        route: &route.name,
        identity: None,
    };
    let mut vars = Vars::new();
    let mut view = RequestView::new(facts, &mut headers, &mut vars);
    let is_preflight = sent.method == Method::OPTIONS
        && sent.headers.contains_key(http::header::ORIGIN)
        && sent.headers.contains_key(http::header::ACCESS_CONTROL_REQUEST_METHOD);
    if is_preflight
        && route.settings.chain.wants(Hook::Preflight)
        && let Some(outcome) = stopped(route, route.settings.chain.on_preflight(&mut view))
    {
        return outcome;
    }
    let identity = match identify(route, sent) {
        Ok(identity) => identity,
        Err((status, why)) => return Outcome::answered(Some(route), status, why),
    };
    for (name, value) in identity.iter().flat_map(|identity| &identity.headers) {
        headers.insert(name, value.clone());
    }
    facts.identity = identity.as_ref().map(Identity::view);
    let mut view = RequestView::new(facts, &mut headers, &mut vars);
    if route.settings.chain.wants(Hook::Request)
        && let Some(outcome) = stopped(route, route.settings.chain.on_request(&mut view))
    {
        return outcome;
    }
    route.settings.request_headers.apply(&mut headers);
    let rewritten = route.rewrite.as_ref().map(|rewrite| rewrite.apply(path, params).into_owned());
    Outcome {
        route: Some(Arc::clone(&route.name)),
        answer: None,
        upstreams: route
            .settings
            .target
            .all()
            .map(|destination| Arc::clone(&destination.upstream.name))
            .collect(),
        path: Some(rewritten.unwrap_or_else(|| path.to_owned())),
        headers,
    }
}

/// The outcome if the chain answers itself.
fn stopped(route: &Route, report: ChainReport) -> Option<Outcome> {
    match report.flow {
        ChainFlow::Continue => None,
        ChainFlow::Respond { reply, plugin } => {
            Some(Outcome::answered(Some(route), reply.status, format!("plugin `{plugin}` answers")))
        }
        ChainFlow::Deny { plugin } => {
            let why = format!("plugin `{plugin}` failed");
            Some(Outcome::answered(Some(route), StatusCode::INTERNAL_SERVER_ERROR, why))
        }
    }
}

/// Who the gates of `route` find `sent` to be from.
fn identify(route: &Route, sent: &Sent) -> Result<Option<Identity>, (StatusCode, String)> {
    let mut identity = None;
    if let Some(gate) = &route.settings.jwt {
        let claims = sent.claims.clone().ok_or((StatusCode::UNAUTHORIZED, "no token is shown".to_owned()))?;
        let found = gate.identify(claims).map_err(|refusal| (refusal.status(), refusal.to_string()))?;
        identity = Some(found);
    }
    if route.settings.api_key.is_some() {
        let consumer =
            sent.consumer.clone().ok_or((StatusCode::UNAUTHORIZED, "no API key is shown".to_owned()))?;
        match &mut identity {
            Some(identity) => identity.consumer = Some(consumer),
            None => identity = Some(consumer_identity(consumer)),
        }
    }
    Ok(identity)
}

fn consumer_identity(consumer: Arc<str>) -> Identity {
    Identity {
        subject: Arc::clone(&consumer),
        limit_key: Arc::clone(&consumer),
        consumer: Some(consumer),
        credential: Credential::ApiKey,
        claims: Arc::default(),
        headers: Vec::new(),
    }
}

/// The expectations that do not hold.
fn judge(expect: &schema::Expect, outcome: &Outcome) -> Vec<TestFailure> {
    let mut failures = Vec::new();
    let mut fail = |at, expected: String, found: String| failures.push(TestFailure { at, expected, found });
    let upstream_is_asked = match &outcome.answer {
        Some((status, why)) => format!("status {status}: {why}"),
        None => format!("upstream {}", quoted(&outcome.upstreams)),
    };
    if let Some(status) = &expect.status
        && outcome.answer.as_ref().map(|(status, _)| *status) != Some(status.value)
    {
        fail(status.at, format!("status {}", status.value), upstream_is_asked.clone());
    }
    if let Some(route) = &expect.route
        && outcome.route.as_deref() != Some(route.value.as_str())
    {
        let found =
            outcome.route.as_ref().map_or(upstream_is_asked.clone(), |route| format!("route `{route}`"));
        fail(route.at, format!("route `{}`", route.value), found);
    }
    if let Some(upstream) = &expect.upstream
        && !outcome.upstreams.iter().any(|name| **name == *upstream.value)
    {
        fail(upstream.at, format!("upstream `{}`", upstream.value), upstream_is_asked.clone());
    }
    if let Some(path) = &expect.path
        && outcome.path.as_ref() != Some(&path.value)
    {
        let found = outcome.path.as_ref().map_or(upstream_is_asked.clone(), |path| format!("path `{path}`"));
        fail(path.at, format!("path `{}`", path.value), found);
    }
    for (name, entry) in &expect.headers {
        if let Some(found) = header_differs(outcome, name.as_str(), &entry.value.value) {
            let expected = match entry.value.value.on() {
                Some(value) => format!("header `{name}: {value}`"),
                None => format!("no header `{name}`"),
            };
            let found = if outcome.answer.is_some() { upstream_is_asked.clone() } else { found };
            fail(entry.value.at, expected, found);
        }
    }
    failures
}

/// What is found instead, if the header is not as expected.
fn header_differs(outcome: &Outcome, name: &str, expected: &Setting<String>) -> Option<String> {
    let values: Vec<&[u8]> = outcome.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    let holds = outcome.answer.is_none()
        && match expected {
            Setting::On(text) => values.contains(&text.as_bytes()),
            Setting::Off => values.is_empty(),
        };
    if holds {
        return None;
    }
    let shown: Vec<String> = values.iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect();
    Some(if shown.is_empty() {
        format!("no header `{name}`")
    } else {
        format!("`{name}: {}`", shown.join(", "))
    })
}

fn quoted(names: &[Arc<str>]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(" or ")
}
