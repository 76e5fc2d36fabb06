//! `GET` on a Consul HTTP API: one request, one whole answer or one named trouble.
//!
//! It decides what counts as an answer: status 200, JSON, whole, in time, within the size bound.
//! It never retries, never caches and never reads an answer's meaning.

use std::path::PathBuf;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use portcullis_consul_wire::headers;
use reqwest::{Certificate, Response, Url};

use super::query::{AnswerHead, Ask, Consistency, Trouble};
use super::token::Token;

/// Where the ACL token comes from.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum TokenSource {
    /// No token is sent.
    #[default]
    None,
    /// This one.
    Value(String),
    /// The content of a file, without white space around it; read again when it changes and after a 403.
    File(PathBuf),
}

impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Value(_) => f.write_str("Value(***)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// How to reach Consul.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// `http://host:port`, `https://host:port` or `host:port`; a path is a prefix of every request.
    pub address: String,
    /// The ACL token.
    pub token: TokenSource,
    /// The datacenter to ask when a query names none.
    pub datacenter: Option<String>,
    /// PEM certificates that alone are trusted; the system's when `None`.
    pub ca_pem: Option<Vec<u8>>,
    /// A client certificate and its private key, in PEM, one after the other; none is shown when `None`.
    pub identity_pem: Option<Vec<u8>>,
    /// Bound on connecting, TLS included.
    pub connect_timeout: Duration,
    /// What a whole answer may take beyond the time the server was allowed to hold it.
    pub margin: Duration,
    /// Bound on the body of an answer.
    pub body_bytes_max: usize,
}

impl ClientSettings {
    /// The defaults for a Consul at `address`.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            token: TokenSource::None,
            datacenter: None,
            ca_pem: None,
            identity_pem: None,
            connect_timeout: Duration::from_secs(2),
            margin: Duration::from_secs(10),
            body_bytes_max: 64 << 20,
        }
    }
}

/// Why a client cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientBuildError {
    /// The address is not an HTTP URL.
    #[error("`{address}` is not the address of an HTTP API: {reason}")]
    Address {
        /// As it was given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The CA file holds no certificate that can be used.
    #[error("the Consul CA holds no usable PEM certificate: {0}")]
    Ca(String),
    /// The client certificate or its key cannot be used.
    #[error("the client certificate for Consul cannot be used: {0}")]
    Identity(String),
    /// The token is empty or cannot be sent in a header.
    #[error("the Consul token is empty or holds characters that no header may carry")]
    Token,
    /// The HTTP stack cannot start.
    #[error("the HTTP client for Consul cannot start")]
    Http(#[source] reqwest::Error),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection, or it broke.
    #[error("no whole answer from consul: {0}")]
    Unreachable(String),
    /// Too slow.
    #[error("consul did not answer within {0:?}")]
    Timeout(Duration),
    /// The token cannot be read.
    #[error("the consul token cannot be used: {0}")]
    Token(String),
    /// A status other than 200.
    #[error("consul answered {status}: {excerpt}")]
    Status {
        /// The status.
        status: u16,
        /// The beginning of the body.
        excerpt: String,
        /// `Retry-After`, when it is in seconds.
        retry_after: Option<Duration>,
    },
    /// Not what was asked for.
    #[error("consul's answer is not the expected JSON: {0}")]
    Malformed(String),
    /// More than the bound.
    #[error("consul's answer is larger than {0} bytes")]
    TooLarge(usize),
}

impl ClientError {
    /// The kind, as the state machine and the metrics know it.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Unreachable(_) => Trouble::Unreachable,
            Self::Timeout(_) => Trouble::Timeout,
            Self::Token(_) => Trouble::Token,
            Self::Status { status: 401 | 403, .. } => Trouble::Denied,
            Self::Status { status: 429, retry_after, .. } => Trouble::Throttled(*retry_after),
            Self::Status { status, .. } => Trouble::Status(*status),
            Self::Malformed(_) => Trouble::Malformed,
            Self::TooLarge(_) => Trouble::TooLarge,
        }
    }
}

/// A whole answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) head: AnswerHead,
    pub(crate) body: Bytes,
}

/// What to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    /// The segments of the path, not encoded.
    pub(crate) path: &'a [&'a str],
    pub(crate) tag: Option<&'a str>,
    pub(crate) datacenter: Option<&'a str>,
}

/// A client of one Consul HTTP API.
#[derive(Debug)]
pub struct ConsulClient {
    http: reqwest::Client,
    base: Url,
    token: Token,
    settings: ClientSettings,
}

impl ConsulClient {
    /// Builds the client. A process-wide rustls provider must be installed.
    ///
    /// # Errors
    /// Names the setting that cannot be used.
    pub fn new(settings: ClientSettings) -> Result<Self, ClientBuildError> {
        let base = base(&settings.address)?;
        let token = Token::new(&settings.token)?;
        let builder = reqwest::Client::builder()
            .user_agent("portcullis")
            .no_proxy()
            // One query, one connection: a stuck one holds up no other.
            .http1_only()
            .tcp_nodelay(true)
            .pool_idle_timeout(Duration::from_secs(15))
            .tcp_keepalive(Duration::from_secs(15))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(settings.connect_timeout);
        let builder = match (&settings.ca_pem, base.scheme()) {
            (Some(pem), _) => builder.tls_certs_only(certificates(pem)?),
            // A machine without system certificates can still use a Consul without TLS.
            (None, "http") => builder.tls_certs_only([]),
            (None, _) => builder,
        };
        let builder = match &settings.identity_pem {
            Some(pem) => builder.identity(identity(pem)?),
            None => builder,
        };
        let http = builder.build().map_err(ClientBuildError::Http)?;
        Ok(Self { http, base, token, settings })
    }

    /// Reads `target` as `ask` wants it.
    pub(crate) async fn get(&self, target: Target<'_>, ask: Ask) -> Result<Reply, ClientError> {
        // Consul adds up to a sixteenth of the wait as jitter.
        let held = if ask.index > 0 { ask.wait + ask.wait / 16 } else { Duration::ZERO };
        let limit = held + self.settings.margin;
        let answer = tokio::time::timeout(limit, self.send(target, ask)).await;
        let answer = answer.unwrap_or(Err(ClientError::Timeout(limit)));
        if matches!(answer, Err(ClientError::Status { status: 401 | 403, .. })) {
            self.token.forget();
        }
        answer
    }

    async fn send(&self, target: Target<'_>, ask: Ask) -> Result<Reply, ClientError> {
        let mut request = self.http.get(self.url(target, ask)?).header(ACCEPT, "application/json");
        if let Some(token) = self.token.current().await? {
            request = request.header(headers::TOKEN, token);
        }
        let mut response = request.send().await.map_err(|error| broken(&error))?;
        if response.status() != StatusCode::OK {
            return Err(refused(response).await);
        }
        is_json(response.headers())?;
        let head = head(response.headers());
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
            if body.len() + chunk.len() > self.settings.body_bytes_max {
                return Err(ClientError::TooLarge(self.settings.body_bytes_max));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { head, body: body.freeze() })
    }

    fn url(&self, target: Target<'_>, ask: Ask) -> Result<Url, ClientError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| ClientError::Unreachable("the address has no path".into()))?
            .pop_if_empty()
            .extend(target.path);
        {
            let mut pairs = url.query_pairs_mut();
            if let Some(datacenter) = target.datacenter.or(self.settings.datacenter.as_deref()) {
                pairs.append_pair("dc", datacenter);
            }
            if let Some(tag) = target.tag {
                pairs.append_pair("tag", tag);
            }
            match ask.consistency {
                Consistency::Default => {}
                Consistency::Stale => drop(pairs.append_key_only("stale")),
                Consistency::Consistent => drop(pairs.append_key_only("consistent")),
            }
            if ask.index > 0 {
                pairs.append_pair("index", &ask.index.to_string());
                pairs.append_pair("wait", &format!("{}ms", ask.wait.as_millis()));
            }
        }
        if url.query() == Some("") {
            url.set_query(None);
        }
        Ok(url)
    }
}

fn base(address: &str) -> Result<Url, ClientBuildError> {
    let refuse =
        |reason: &str| ClientBuildError::Address { address: address.to_owned(), reason: reason.to_owned() };
    // `CONSUL_HTTP_ADDR` is commonly written without a scheme.
    let whole = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let url = Url::parse(&whole).map_err(|error| refuse(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("the scheme must be http or https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("credentials belong in `token`, not in the address"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("it ends at the path"));
    }
    Ok(url)
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, ClientBuildError> {
    let found = Certificate::from_pem_bundle(pem).map_err(|error| ClientBuildError::Ca(error.to_string()))?;
    if found.is_empty() {
        return Err(ClientBuildError::Ca("no BEGIN CERTIFICATE in it".into()));
    }
    Ok(found)
}

fn identity(pem: &[u8]) -> Result<reqwest::Identity, ClientBuildError> {
    reqwest::Identity::from_pem(pem).map_err(|error| ClientBuildError::Identity(error.to_string()))
}

fn is_json(headers: &HeaderMap) -> Result<(), ClientError> {
    if let Some(encoding) = headers.get(CONTENT_ENCODING) {
        // None was asked for, and a small compressed body can be a very large one.
        return Err(ClientError::Malformed(format!("content-encoding {encoding:?}")));
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("nothing");
    let essence = kind.split(';').next().unwrap_or(kind).trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(ClientError::Malformed(format!("content-type is {}", excerpt(kind.as_bytes()))))
}

fn head(headers: &HeaderMap) -> AnswerHead {
    let text = |name: &HeaderName| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let leader_answered = text(&headers::EFFECTIVE_CONSISTENCY).is_some_and(|found| found != "stale");
    AnswerHead {
        index: text(&headers::INDEX).map(str::to_owned),
        known_leader: text(&headers::KNOWN_LEADER).and_then(|value| value.parse().ok()),
        last_contact: text(&headers::LAST_CONTACT)
            .and_then(|value| value.parse().ok())
            .map(Duration::from_millis)
            .filter(|_| !leader_answered),
        from_cache: headers.contains_key(headers::CACHE)
            || text(&headers::QUERY_BACKEND) == Some("streaming"),
    }
}

async fn refused(mut response: Response) -> ClientError {
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map(Duration::from_secs);
    let first = response.chunk().await.ok().flatten().unwrap_or_default();
    ClientError::Status { status, excerpt: excerpt(&first), retry_after }
}

/// The beginning of what a server said, on one line.
fn excerpt(bytes: &[u8]) -> String {
    const CHARS_MAX: usize = 120;
    String::from_utf8_lossy(bytes)
        .chars()
        .take(CHARS_MAX)
        .map(|found| if found.is_control() { ' ' } else { found })
        .collect::<String>()
        .trim()
        .to_owned()
}

/// The innermost cause: reqwest's own text only says that something went wrong with a URL.
fn broken(error: &reqwest::Error) -> ClientError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    ClientError::Unreachable(excerpt(cause.to_string().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASK: Ask = Ask { index: 0, wait: Duration::from_secs(30), consistency: Consistency::Default };

    fn url(address: &str, target: Target<'_>, ask: Ask) -> String {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = ConsulClient::new(ClientSettings::new(address)).expect("a client");
        client.url(target, ask).expect("a url").to_string()
    }

    #[test]
    fn names_and_tags_are_encoded_and_a_prefix_stays_in_front() {
        let plain = Target { path: &["v1", "health", "service", "web"], tag: None, datacenter: None };
        assert_eq!(url("127.0.0.1:8500", plain, ASK), "http://127.0.0.1:8500/v1/health/service/web");
        let odd = Target { path: &["v1", "x/y?z"], tag: Some("a b&c"), datacenter: Some("dc2") };
        let ask = Ask { index: 26, consistency: Consistency::Stale, ..ASK };
        assert_eq!(
            url("https://consul.example.com/prefix/", odd, ask),
            "https://consul.example.com/prefix/v1/x%2Fy%3Fz?dc=dc2&tag=a+b%26c&stale&index=26&wait=30000ms"
        );
    }

    #[test]
    fn addresses_that_are_no_http_api_are_refused_with_the_reason() {
        for (address, reason) in [
            ("ftp://x", "scheme"),
            ("http://user:pw@x:8500", "credentials"),
            ("http://", "host"),
            ("http://x?y", "path"),
        ] {
            let error = base(address).expect_err(address).to_string();
            assert!(error.contains(reason), "{address}: {error}");
        }
    }

    #[test]
    fn a_ca_without_a_certificate_is_refused() {
        let settings =
            ClientSettings { ca_pem: Some(b"not pem".to_vec()), ..ClientSettings::new("https://x") };
        assert!(matches!(ConsulClient::new(settings), Err(ClientBuildError::Ca(_))));
    }

    #[test]
    fn a_token_is_never_shown() {
        let settings =
            ClientSettings { token: TokenSource::Value("hunter2".into()), ..ClientSettings::new("x") };
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
