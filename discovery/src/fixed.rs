//! Hosts written in the configuration: addresses as they are, names asked of the system's resolver again and again.
//!
//! It decides what a name that cannot be resolved means: its last addresses stay, marked stale. It never probes.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_discovery_model::{Endpoint, EndpointId, EndpointSet, Freshness};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tracing::warn;

use crate::clock::wall;
use crate::{EndpointWatch, ServiceQuery, ServiceStatus, Source, Watched};

/// Distance between two resolutions of a name that resolves.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);
/// First pause after a name did not resolve; doubles up to [`RESOLVE_EVERY`].
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Bound on one resolution.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses taken from one name.
const ADDRESSES_MAX: usize = 256;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPort {
    /// An address, used as it is.
    Address(SocketAddr),
    /// A name, resolved while it is used.
    Name {
        /// The host name.
        host: Arc<str>,
        /// The port, 1..=65535.
        port: NonZeroU16,
    },
}

/// Why a text is not a [`HostPort`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostPortError {
    /// No `:port` at its end.
    #[error("`{0}` has no port; write `host:port`")]
    NoPort(String),
    /// The port is not 1..=65535.
    #[error("`{0}` is not a port from 1 to 65535")]
    Port(String),
    /// Neither an IP address nor a host name.
    #[error("`{0}` is neither an IP address nor a host name")]
    Host(String),
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = text.rsplit_once(':').ok_or_else(|| HostPortError::NoPort(text.to_owned()))?;
        if let Some(inner) = host.strip_prefix('[') {
            let ip = inner.strip_suffix(']').and_then(|inner| inner.parse::<IpAddr>().ok());
            let ip = ip.ok_or_else(|| HostPortError::Host(host.to_owned()))?;
            return Ok(Self::Address(SocketAddr::new(ip, parse_port(port)?.get())));
        }
        if host.contains(':') {
            // An IPv6 address without brackets: nobody can say which colon begins the port.
            return Err(HostPortError::Host(host.to_owned()));
        }
        let port = parse_port(port)?;
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(Self::Address(SocketAddr::new(ip, port.get())));
        }
        // The last label of a name is never a number (RFC 3696 section 2), so `10.0.0.999` is a typing error.
        let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or(host);
        let numeric = last.bytes().all(|byte| byte.is_ascii_digit());
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let named = host.len() <= 253 && host.strip_suffix('.').unwrap_or(host).split('.').all(label);
        if numeric || !named {
            return Err(HostPortError::Host(host.to_owned()));
        }
        Ok(Self::Name { host: Arc::from(host), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

fn parse_port(text: &str) -> Result<NonZeroU16, HostPortError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|_| digits);
    port.ok_or_else(|| HostPortError::Port(text.to_owned()))
}

/// One host of a fixed upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedHost {
    /// Where it is.
    pub host: HostPort,
    /// Its share of the traffic; every address of a name gets it.
    pub weight: NonZeroU16,
}

/// The hosts of one upstream as a [`Source`]; what is asked of it does not matter.
#[derive(Debug, Clone)]
pub struct FixedHosts {
    hosts: Arc<[FixedHost]>,
    runtime: Handle,
}

impl FixedHosts {
    /// The source of `hosts`; names are resolved on `runtime` for as long as a receiver is held.
    #[must_use]
    pub fn new(hosts: Vec<FixedHost>, runtime: Handle) -> Self {
        Self { hosts: hosts.into(), runtime }
    }

    /// Follows the hosts.
    #[must_use]
    pub fn follow(&self) -> EndpointWatch {
        let names = self.hosts.iter().any(|fixed| matches!(fixed.host, HostPort::Name { .. }));
        if !names {
            let set = self.hosts.iter().filter_map(of_address).collect();
            let watched = Watched { set, freshness: Freshness::Live };
            return EndpointWatch::new(watch::channel(Some(Arc::new(watched))).1);
        }
        let (sender, receiver) = watch::channel(None);
        let hosts = Arc::clone(&self.hosts);
        // Ends when the last receiver is dropped.
        self.runtime.spawn(async move { resolve_on(&hosts, &sender).await });
        EndpointWatch::new(receiver)
    }
}

impl Source for FixedHosts {
    fn watch(&self, _query: &ServiceQuery) -> EndpointWatch {
        self.follow()
    }

    /// Nothing: hosts that the configuration names have no registry to be out of contact with.
    fn status(&self) -> Vec<ServiceStatus> {
        Vec::new()
    }
}

fn of_address(fixed: &FixedHost) -> Option<Endpoint> {
    match fixed.host {
        HostPort::Address(address) => Some(Endpoint {
            id: EndpointId::of_address(address),
            weight: fixed.weight,
            ..Endpoint::at(address)
        }),
        HostPort::Name { .. } => None,
    }
}

/// What the resolver has said about the names so far.
#[derive(Debug, Default)]
struct Resolved {
    addresses: BTreeMap<HostPort, Vec<SocketAddr>>,
    failing_since: BTreeMap<HostPort, SystemTime>,
}

impl Resolved {
    /// Takes one answer; nothing and an error both mean that the last addresses stay.
    fn take(&mut self, name: &HostPort, found: Vec<SocketAddr>, now: SystemTime) {
        if found.is_empty() {
            self.failing_since.entry(name.clone()).or_insert(now);
        } else {
            self.failing_since.remove(name);
            self.addresses.insert(name.clone(), found);
        }
    }

    /// What traffic is told; `None` while not a single host is known.
    fn watched(&self, hosts: &[FixedHost]) -> Option<Watched> {
        let set: EndpointSet = hosts.iter().flat_map(|fixed| self.endpoints(fixed)).collect();
        let since = self.failing_since.values().min().copied();
        let freshness = since.map_or(Freshness::Live, |since| Freshness::Stale { since });
        (!set.is_empty()).then_some(Watched { set, freshness })
    }

    fn endpoints(&self, fixed: &FixedHost) -> Vec<Endpoint> {
        if let Some(endpoint) = of_address(fixed) {
            return vec![endpoint];
        }
        let found = self.addresses.get(&fixed.host).map(Vec::as_slice).unwrap_or_default();
        let endpoint = |address: &SocketAddr| Endpoint {
            id: EndpointId::new(&fixed.host.to_string())
                .unwrap_or_else(|_refused| EndpointId::of_address(*address)),
            weight: fixed.weight,
            ..Endpoint::at(*address)
        };
        found.iter().map(endpoint).collect()
    }
}

async fn resolve_on(hosts: &[FixedHost], sender: &watch::Sender<Option<Arc<Watched>>>) {
    let mut resolved = Resolved::default();
    let mut pause = RETRY_AFTER;
    loop {
        for fixed in hosts {
            if let HostPort::Name { host, port } = &fixed.host {
                let found = resolve(host, *port).await;
                resolved.take(&fixed.host, found, wall());
            }
        }
        let watched = resolved.watched(hosts).map(Arc::new);
        sender.send_if_modified(|told| {
            let news = watched.is_some() && *told != watched;
            if news {
                told.clone_from(&watched);
            }
            news
        });
        let failing = !resolved.failing_since.is_empty();
        pause = if failing { (pause * 2).min(RESOLVE_EVERY) } else { RETRY_AFTER };
        let wait = if failing { pause } else { RESOLVE_EVERY };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = sender.closed() => return,
        }
    }
}

async fn resolve(host: &str, port: NonZeroU16) -> Vec<SocketAddr> {
    let lookup = tokio::net::lookup_host((host, port.get()));
    match tokio::time::timeout(RESOLVE_TIMEOUT, lookup).await {
        Ok(Ok(found)) => found.take(ADDRESSES_MAX).collect(),
        Ok(Err(error)) => {
            warn!(host, %error, "a host name cannot be resolved, its last addresses stay");
            Vec::new()
        }
        Err(_elapsed) => {
            warn!(host, timeout = ?RESOLVE_TIMEOUT, "a host name is not resolved in time, its last addresses stay");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> FixedHost {
        FixedHost { host: text.parse().expect(text), weight: NonZeroU16::new(3).expect("3") }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn hosts_are_addresses_or_names_with_a_port() {
        for text in ["10.0.0.1:80", "[::1]:80", "web:80", "a.b-c.example.com:65535", "localhost:1"] {
            assert_eq!(text.parse::<HostPort>().map(|host| host.to_string()), Ok(text.to_owned()));
        }
        let error = |text: &str| text.parse::<HostPort>().expect_err(text);
        assert!(matches!(error("web"), HostPortError::NoPort(_)));
        for text in ["web:0", "web:70000", "web:", "web:+80", "10.0.0.1:x"] {
            assert!(matches!(error(text), HostPortError::Port(_)), "{text}");
        }
        for text in
            ["::1:80", "[::1:80", "[x]:80", "a b:80", "10.0.0.999:80", "-a:80", ":80", "a..b:80", "a\r:80"]
        {
            assert!(matches!(error(text), HostPortError::Host(_)), "{text}");
        }
    }

    #[tokio::test]
    async fn addresses_are_there_at_once_with_their_weights_and_never_change() {
        let hosts = FixedHosts::new(vec![host("10.0.0.1:80"), host("[::1]:80")], Handle::current());
        let mut watch = hosts.follow();
        let watched = watch.current().expect("at once");
        assert_eq!(watched.freshness, Freshness::Live);
        assert!(watched.set.iter().all(|endpoint| endpoint.weight.get() == 3));
        assert_eq!(watched.set.len(), 2);
        assert_eq!(watch.changed().await, None);
    }

    #[tokio::test]
    async fn a_name_is_resolved() {
        let hosts = FixedHosts::new(vec![host("localhost:81")], Handle::current());
        let watched = hosts.follow().first().await.expect("localhost resolves everywhere");
        assert!(watched.set.iter().all(|e| e.address.ip().is_loopback() && e.address.port() == 81));
    }

    #[test]
    fn a_name_that_stops_resolving_keeps_its_addresses_and_says_since_when() {
        let hosts = [host("web:80"), host("10.0.0.9:80")];
        let name = &hosts[0].host;
        let mut resolved = Resolved::default();
        resolved.take(name, vec![SocketAddr::from(([10, 0, 0, 1], 80))], at(1));
        assert_eq!(resolved.watched(&hosts).map(|w| (w.set.len(), w.freshness)), Some((2, Freshness::Live)));
        resolved.take(name, vec![], at(2));
        resolved.take(name, vec![], at(3));
        let stale = Freshness::Stale { since: at(2) };
        assert_eq!(resolved.watched(&hosts).map(|w| (w.set.len(), w.freshness)), Some((2, stale)));
        resolved.take(name, vec![SocketAddr::from(([10, 0, 0, 2], 80))], at(4));
        assert_eq!(resolved.watched(&hosts).map(|w| (w.set.len(), w.freshness)), Some((2, Freshness::Live)));
    }

    #[test]
    fn nothing_is_told_before_any_host_is_known() {
        let mut resolved = Resolved::default();
        resolved.take(&host("web:80").host, vec![], at(1));
        assert_eq!(resolved.watched(&[host("web:80")]), None);
    }
}
