//! Where a load may go: a loopback address, and nowhere else.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use http::Uri;
use http::uri::{Authority, PathAndQuery};

use crate::plan::PlanError;

/// A checked target.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// What is connected to.
    pub(crate) address: SocketAddr,
    /// What goes into `Host`, as written in the URL.
    pub(crate) authority: Authority,
    /// What is asked for, unless a variant says otherwise.
    pub(crate) path_and_query: PathAndQuery,
}

impl Target {
    /// Reads `http://IP[:PORT]/path` or `http://localhost…`.
    pub(crate) fn parse(url: &str) -> Result<Self, PlanError> {
        let uri: Uri =
            url.parse().map_err(|error| PlanError::Url { url: url.to_owned(), why: format!("{error}") })?;
        if uri.scheme_str() != Some("http") {
            let why = "the driver speaks plain http:// only".to_owned();
            return Err(PlanError::Url { url: url.to_owned(), why });
        }
        let Some(authority) = uri.authority().cloned() else {
            return Err(PlanError::Url { url: url.to_owned(), why: "it names no host".to_owned() });
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let address = resolve(host, authority.port_u16().unwrap_or(80))?;
        let path_and_query = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        Ok(Self { address, authority, path_and_query })
    }
}

/// Only `localhost` is looked up: another name could mean anything, and something else tomorrow.
fn resolve(host: &str, port: u16) -> Result<SocketAddr, PlanError> {
    let refused = |what: String| PlanError::NotLoopback { host: host.to_owned(), what };
    if let Ok(ip) = host.parse::<IpAddr>() {
        let folded = ip.to_canonical();
        return if folded.is_loopback() {
            Ok(SocketAddr::new(folded, port))
        } else {
            Err(refused("is not a loopback address".to_owned()))
        };
    }
    if !host.eq_ignore_ascii_case("localhost") {
        return Err(refused("is a name, and only localhost is looked up".to_owned()));
    }
    let found =
        (host, port).to_socket_addrs().map_err(|error| refused(format!("cannot be looked up: {error}")))?;
    let mut found: Vec<SocketAddr> = found.filter(|address| address.ip().is_loopback()).collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    found.first().copied().ok_or_else(|| refused("does not mean this machine here".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_are_accepted() {
        for (url, address) in [
            ("http://127.0.0.1:8080/a?b=c", "127.0.0.1:8080"),
            ("http://127.9.9.9/", "127.9.9.9:80"),
            ("http://[::1]:81", "[::1]:81"),
            ("http://[::ffff:127.0.0.1]:82/", "127.0.0.1:82"),
        ] {
            assert_eq!(Target::parse(url).unwrap().address.to_string(), address);
        }
    }

    #[test]
    fn any_other_address_is_refused_and_named() {
        for url in [
            "http://10.0.0.1/",
            "http://192.168.1.5:8080/",
            "http://0.0.0.0:80/",
            "http://[2001:db8::1]/",
            "http://[::ffff:10.0.0.1]/",
            "http://shop.example.com/",
        ] {
            let error = Target::parse(url).unwrap_err();
            assert!(matches!(error, PlanError::NotLoopback { .. }), "{url}: {error:?}");
            assert!(error.to_string().contains("loopback"), "{error}");
        }
    }

    #[test]
    fn what_is_no_plain_http_url_is_refused() {
        for url in ["https://127.0.0.1/", "127.0.0.1:80", "ftp://127.0.0.1/", "", "http://"] {
            assert!(matches!(Target::parse(url), Err(PlanError::Url { .. })), "{url}");
        }
    }
}
