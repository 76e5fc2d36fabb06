//! Hosts a route answers for.
//!
//! Decides what a host in the document may be. Never parses a `Host` header: `core::head` does.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// Longest host name accepted (RFC 1035 §2.3.4).
const HOST_BYTES_MAX: usize = 253;
/// Longest label of a host name accepted (RFC 1035 §2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// A host as a route states it, lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// Exactly this host.
    Exact(Arc<str>),
    /// One label or more in front of this name: `*.example.com` is kept as `example.com`.
    Below(Arc<str>),
}

/// Why a host in the document is not one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadHost {
    /// Nothing there.
    #[error("a host is not empty; leave `host` out to match any")]
    Empty,
    /// `*` somewhere else than as the whole first label.
    #[error("`*` may stand only as the whole first label, as in `*.example.com`")]
    Star,
    /// A port or a scheme was written.
    #[error("a host has no port, scheme or path")]
    NotOnlyHost,
    /// A character or a label no host has.
    #[error("not a host name or IP address")]
    Malformed,
}

impl HostPattern {
    /// Reads `shop.example.com`, `*.shop.example.com` or an IP address (version 6 in brackets).
    ///
    /// # Errors
    /// [`BadHost`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, BadHost> {
        let host = text.trim_end_matches('.').to_ascii_lowercase();
        if host.is_empty() {
            return Err(BadHost::Empty);
        }
        if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return match inner.parse::<std::net::Ipv6Addr>() {
                Ok(address) => Ok(Self::Exact(format!("[{address}]").into())),
                Err(_) => Err(BadHost::Malformed),
            };
        }
        if host.contains([':', '/', '@']) {
            return Err(BadHost::NotOnlyHost);
        }
        match host.strip_prefix("*.") {
            Some(suffix) => names_a_host(suffix).map(|()| Self::Below(suffix.into())),
            None => names_a_host(&host).map(|()| Self::Exact(host.into())),
        }
    }

    /// Whether `host` (lower case, no port, no trailing dot) is one of these.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *host,
            Self::Below(suffix) => {
                host.strip_suffix(&**suffix).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
            }
        }
    }
}

fn names_a_host(host: &str) -> Result<(), BadHost> {
    if host.contains('*') {
        return Err(BadHost::Star);
    }
    let label_is_sound = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host.len() <= HOST_BYTES_MAX && host.split('.').all(label_is_sound) {
        Ok(())
    } else {
        Err(BadHost::Malformed)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Below(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, BadHost>) {
        let got = HostPattern::parse(text).map(|host| host.to_string());
        assert_eq!(got, expected.map(str::to_owned), "{text}");
    }

    #[test]
    fn a_host_is_read_in_lower_case_and_without_its_last_dot() {
        check("Shop.Example.com.", Ok("shop.example.com"));
        check("*.Shop.example.com", Ok("*.shop.example.com"));
        check("[2001:DB8:0::1]", Ok("[2001:db8::1]"));
        check("127.0.0.1", Ok("127.0.0.1"));
    }

    #[test]
    fn what_is_not_a_host_is_refused_with_the_reason() {
        check("", Err(BadHost::Empty));
        check("shop.example.com:8080", Err(BadHost::NotOnlyHost));
        check("https://shop", Err(BadHost::NotOnlyHost));
        check("shop.*.com", Err(BadHost::Star));
        check("*shop.com", Err(BadHost::Star));
        check("*", Err(BadHost::Star));
        check("sh op", Err(BadHost::Malformed));
        check("a..b", Err(BadHost::Malformed));
        check("-a.b", Err(BadHost::Malformed));
    }

    #[test]
    fn a_wildcard_takes_one_label_or_more_but_not_the_name_itself() {
        let host = HostPattern::parse("*.example.com").unwrap();
        assert!(host.matches("a.example.com"));
        assert!(host.matches("a.b.example.com"));
        assert!(!host.matches("example.com"));
        assert!(!host.matches(".example.com"));
        assert!(!host.matches("notexample.com"));
    }
}
