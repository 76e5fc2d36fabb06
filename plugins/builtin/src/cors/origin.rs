//! Origins as a browser writes them (RFC 6454 §6.2), and patterns over their subdomains.
//!
//! Compares bytes: a browser serialises an origin in one way only, so anything else is no browser's.

use portcullis_plugin_sdk::BuildError;

/// The origins that may read replies.
#[derive(Debug)]
pub(super) enum Origins {
    /// All of them; never together with credentials.
    All,
    /// Those that match one of these.
    Listed(Vec<Pattern>),
}

/// One origin, or all subdomains of one.
#[derive(Debug)]
pub(super) enum Pattern {
    Exact(Box<str>),
    Subdomains {
        /// `https://`
        prefix: Box<str>,
        /// `.example.com`, with the port if there is one.
        suffix: Box<str>,
    },
}

impl Origins {
    /// Reads the setting.
    pub(super) fn parse(texts: &[String]) -> Result<Self, BuildError> {
        if texts.is_empty() {
            return Err(BuildError::new("/origins", "list at least one origin, or `*`"));
        }
        if let Some(idx) = texts.iter().position(|text| text == "*") {
            if texts.len() > 1 {
                return Err(BuildError::new(
                    format!("/origins/{idx}"),
                    "`*` allows all; leave out the other origins",
                ));
            }
            return Ok(Origins::All);
        }
        let patterns = texts.iter().enumerate().map(|(idx, text)| {
            Pattern::parse(text)
                .map_err(|why| BuildError::new(format!("/origins/{idx}"), format!("`{text}`: {why}")))
        });
        patterns.collect::<Result<_, _>>().map(Origins::Listed)
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, authority) =
            text.split_once("://").ok_or("an origin starts with its scheme, such as https://")?;
        if scheme != "http" && scheme != "https" {
            return Err("the scheme of an origin is http or https, in lower case");
        }
        if authority.contains('/') {
            return Err("an origin has no path and no slash at its end");
        }
        let (host, port) = split_port(authority)?;
        if port == Some(if scheme == "https" { 443 } else { 80 }) {
            return Err("browsers leave out the default port; leave it out too");
        }
        match host.strip_prefix("*.") {
            None if is_host(host) => Ok(Pattern::Exact(text.into())),
            Some(parent) if is_host(parent) && !parent.starts_with('[') => {
                if !parent.contains('.') {
                    return Err("a wildcard needs a domain of two labels at least");
                }
                let suffix = authority.strip_prefix('*').unwrap_or(authority);
                Ok(Pattern::Subdomains { prefix: format!("{scheme}://").into(), suffix: suffix.into() })
            }
            None | Some(_) => {
                Err("the host is a lower-case name or an address; `*` may only stand for subdomains")
            }
        }
    }

    /// Whether an `Origin` field names this.
    pub(super) fn matches(&self, origin: &[u8]) -> bool {
        match self {
            Pattern::Exact(exact) => exact.as_bytes() == origin,
            Pattern::Subdomains { prefix, suffix } => origin
                .strip_prefix(prefix.as_bytes())
                .and_then(|rest| rest.strip_suffix(suffix.as_bytes()))
                .and_then(|subdomain| std::str::from_utf8(subdomain).ok())
                .is_some_and(|subdomain| subdomain.split('.').all(is_label)),
        }
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    let after_bracket = authority.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = authority.get(after_bracket..).and_then(|rest| rest.find(':')) else {
        return Ok((authority, None));
    };
    let (host, port) = authority.split_at(after_bracket + colon);
    let port = port.trim_start_matches(':');
    let is_plain = port.bytes().all(|b| b.is_ascii_digit()) && !port.starts_with('0');
    match port.parse() {
        Ok(number) if is_plain => Ok((host, Some(number))),
        Ok(_) | Err(_) => Err("the port is a number from 1 to 65535"),
    }
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok_and(|parsed| parsed.to_string() == address);
    }
    host.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    fn check(pattern: &str, origin: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(origin.as_bytes())
    }

    #[test]
    fn an_exact_origin_matches_itself_and_nothing_like_it() {
        assert!(check("https://shop.example.com", "https://shop.example.com"));
        for other in [
            "http://shop.example.com",
            "https://shop.example.com:8443",
            "https://shop.example.com.evil.example",
            "https://evilshop.example.com",
            "https://shop.example.com/",
            "https://SHOP.example.com",
            "https://shopXexample.com",
            "null",
            "",
        ] {
            assert!(!check("https://shop.example.com", other), "{other}");
        }
    }

    #[test]
    fn a_wildcard_stands_for_subdomains_of_any_depth_and_not_for_the_domain() {
        let pattern = "https://*.example.com:8443";
        assert!(check(pattern, "https://a.example.com:8443"));
        assert!(check(pattern, "https://a.b.example.com:8443"));
        for other in [
            "https://example.com:8443",
            "https://.example.com:8443",
            "https://a..example.com:8443",
            "https://a.example.com",
            "https://evilexample.com:8443",
            "https://evil.example/.example.com:8443",
            "https://user@a.example.com:8443",
            "https://evil.example?.example.com:8443",
            "http://a.example.com:8443",
        ] {
            assert!(!check(pattern, other), "{other}");
        }
    }

    #[test]
    fn addresses_and_ports_are_origins_too() {
        assert!(check("http://127.0.0.1:3000", "http://127.0.0.1:3000"));
        assert!(check("http://[::1]:3000", "http://[::1]:3000"));
        assert!(check("http://localhost", "http://localhost"));
    }

    #[test]
    fn what_no_browser_would_send_is_refused() {
        for bad in [
            "shop.example.com",
            "ftp://shop.example.com",
            "HTTPS://shop.example.com",
            "https://Shop.example.com",
            "https://shop.example.com/",
            "https://shop.example.com/path",
            "https://shop.example.com:443",
            "http://shop.example.com:80",
            "https://shop.example.com:",
            "https://shop.example.com:0",
            "https://shop.example.com:+1",
            "https://shop.example.com:65536",
            "https://user@shop.example.com",
            "https://",
            "https://a..b",
            "https://*",
            "https://*.com",
            "https://shop.*.com",
            "https://*.*.example.com",
            "https://*shop.example.com",
            "https://[::1",
            "https://[0:0::1]",
            "null",
        ] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}
