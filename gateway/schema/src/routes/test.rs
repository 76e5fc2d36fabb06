//! `tests` of a route: what a request must lead to, checked without a network.

use serde_json::{Value, json};

use crate::decode::{Decode, Decoder, Definitions, OneOrMany, decode_text, keys};
use crate::merge::{Merge, Setting};
use crate::outline::Outline;
use crate::span::{At, Map};
use crate::value::{HeaderName, Method, Name, Raw};
use crate::yaml::Node;

keys! {
    /// A request and what it must lead to.
    pub struct RouteTest is "a test" {
        /// The request: `METHOD host/path?query`, or `METHOD /path` for any host.
        required request: Option<At<TestRequest>>,
        /// Headers of the request.
        key headers: Map<HeaderName, At<String>>,
        /// Who is asking, as if their token or key had been checked. Without it nobody is.
        key identity = "as": Option<At<TestIdentity>>,
        /// What must come of it.
        required expect: Option<At<Expect>>,
    }
    later {
        "response": "tests with an upstream's answer come later",
    }
    instead {
        "body": "tests look at the head of a request only",
    }
}

keys! {
    /// Somebody whose token or key has been checked.
    pub struct TestIdentity is "an identity" {
        /// The token's subject.
        key sub: Option<At<String>>,
        /// The token's scopes.
        key scope: Option<OneOrMany<At<String>>>,
        /// The consumer whose key was shown.
        key consumer: Option<At<Name>>,
        /// Other claims of the token.
        key claims: Option<At<Raw>>,
    }
}

keys! {
    /// What must come of a request. Everything written must hold.
    pub struct Expect is "an expectation" {
        /// The gateway itself answers with this status.
        key status: Option<At<u16>>,
        /// This route is chosen.
        key route: Option<At<Name>>,
        /// The request goes to this upstream, as written in `to`.
        key upstream: Option<At<String>>,
        /// The upstream sees this path.
        key path: Option<At<String>>,
        /// The upstream sees these headers; `none` means that it does not.
        key headers: Map<HeaderName, At<Setting<String>>>,
    }
}

/// The first line of a test: `GET shop.example.com/api/orders/42?full=1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestRequest {
    /// The method.
    pub method: Method,
    /// `http` or `https` when it was written, as in `GET https://shop.example.com/`.
    pub scheme: Option<&'static str>,
    /// The host, in lower case; `None` when the line has only a path.
    pub host: Option<String>,
    /// Path and query, starting with `/`.
    pub path_and_query: String,
}

impl TestRequest {
    /// Reads `METHOD [scheme://]host/path?query` or `METHOD /path`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let usage = "a request is written `GET shop.example.com/path` or `GET /path`";
        let Some((method, target)) = text.trim().split_once(' ') else { return Err(usage.to_owned()) };
        let method = Method::parse(method).map_err(str::to_owned)?;
        let target = target.trim();
        let (scheme, rest) = match (target.strip_prefix("http://"), target.strip_prefix("https://")) {
            (Some(rest), _) => (Some("http"), rest),
            (None, Some(rest)) => (Some("https"), rest),
            (None, None) => (None, target),
        };
        if rest.is_empty() || rest.contains(char::is_whitespace) {
            return Err(usage.to_owned());
        }
        let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let path_and_query = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let host = Some(host.to_ascii_lowercase()).filter(|host| !host.is_empty());
        Ok(Self { method, scheme, host, path_and_query })
    }
}

impl Merge for TestRequest {}
impl Outline for TestRequest {}

impl Decode for TestRequest {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        decode_text(node, decoder, "a request", Self::parse)
    }

    fn describe(_: &mut Definitions) -> Value {
        json!({ "title": "request", "type": "string", "examples": ["GET shop.example.com/api/orders/42"] })
    }
}
