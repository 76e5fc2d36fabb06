//! References to whatever answers: `consul://name?tag=…`, `http://10.0.0.9:8080`, or the name of an upstream.

use std::net::SocketAddr;
use std::sync::Arc;

use super::address::Url;
use super::name::{NAME_BYTES_MAX, Name};

/// A service in Consul, written `consul://name?tag=v2&dc=eu&passing=true`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceRef {
    /// Its name in the catalog: 1 to 128 of `A-Z a-z 0-9 - _ .`.
    pub name: Arc<str>,
    /// Only instances with this tag.
    pub tag: Option<Arc<str>>,
    /// In this datacenter, instead of the agent's own.
    pub dc: Option<Arc<str>>,
    /// Ask Consul for passing instances only. When unset the gateway asks for all and picks by health.
    pub passing: Option<bool>,
}

/// Where a route sends a request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// The upstream of this name, to be found under `upstreams`.
    Upstream(Name),
    /// A service named directly; an upstream with all defaults.
    Service(ServiceRef),
    /// One address named directly, written `http://10.0.0.9:8080`.
    Address(SocketAddr),
}

/// Where the keys that verify tokens are fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksSource {
    /// A URL.
    Url(Url),
    /// A path on any endpoint of a service: `consul://user-service/.well-known/jwks.json`.
    Service {
        /// The service.
        service: ServiceRef,
        /// The path, starting with `/`.
        path: Arc<str>,
    },
}

impl ServiceRef {
    /// Reads `consul://name?tag=&dc=&passing=`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (service, path) = Self::parse_with_path(text)?;
        if path.is_empty() || path == "/" {
            Ok(service)
        } else {
            Err("a service reference has no path; `rewrite` changes paths".to_owned())
        }
    }

    fn parse_with_path(text: &str) -> Result<(Self, &str), String> {
        let Some(rest) = text.strip_prefix("consul://") else {
            return Err("a service is written `consul://name`".to_owned());
        };
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (name, path) = before.split_at(before.find('/').unwrap_or(before.len()));
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_service_byte) {
            return Err("the name of a service is 1 to 128 letters, digits, `-`, `_` or `.`".to_owned());
        }
        let mut service = Self { name: name.into(), tag: None, dc: None, passing: None };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            service.set(pair)?;
        }
        Ok((service, path))
    }

    fn set(&mut self, pair: &str) -> Result<(), String> {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if value.is_empty() || !value.bytes().all(|b| is_service_byte(b) || matches!(b, b':' | b'/' | b'+')) {
            return Err(format!("`{key}=` needs a value of letters, digits, `-`, `_` or `.`"));
        }
        match key {
            "tag" => self.tag = Some(value.into()),
            "dc" => self.dc = Some(value.into()),
            "passing" => match value {
                "true" => self.passing = Some(true),
                "false" => self.passing = Some(false),
                _ => return Err("`passing` is `true` or `false`".to_owned()),
            },
            _ => return Err(format!("`{key}` is not known here; a service takes `tag`, `dc` and `passing`")),
        }
        Ok(())
    }
}

impl Target {
    /// Reads a name, `consul://…` or `http://ip:port`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("consul://") {
            return ServiceRef::parse(text).map(Self::Service);
        }
        if let Some(authority) = text.strip_prefix("http://") {
            return parse_host(authority.trim_end_matches('/')).map(Self::Address);
        }
        if text.contains("://") {
            return Err("a target is the name of an upstream, `consul://name` or `http://ip:port`".to_owned());
        }
        Name::parse(text).map(Self::Upstream).map_err(str::to_owned)
    }
}

impl JwksSource {
    /// Reads a URL or `consul://service/path`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with("consul://") {
            return Url::parse(text).map(Self::Url).map_err(|why| format!("{why}, or with `consul://`"));
        }
        let (service, path) = ServiceRef::parse_with_path(text)?;
        if path.len() < 2 {
            return Err(
                "say where on the service the keys are: `consul://name/.well-known/jwks.json`".to_owned()
            );
        }
        Ok(Self::Service { service, path: path.into() })
    }
}

/// Reads `10.0.0.9:8080`, `[::1]:8080` or `localhost:8080`.
pub(crate) fn parse_host(text: &str) -> Result<SocketAddr, String> {
    let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    local.as_deref().unwrap_or(text).parse::<SocketAddr>().map_err(|_| {
        "an address is an IP and a port, such as `10.0.0.9:8080`; names are found through Consul: `consul://name`"
            .to_owned()
    })
}

fn is_service_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')
}
