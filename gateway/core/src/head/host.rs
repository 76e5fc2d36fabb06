//! Who a request is addressed to: host and port out of `Host`, `:authority` or an absolute target.
//!
//! Decides the one spelling of a host that routes are matched on: lower case, no port, no trailing dot, IPv6 in
//! its shortest form in brackets. Never resolves a name and never says which hosts are served.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

use super::Violation;

/// Longest host name (RFC 1035 §2.3.4), without a trailing dot.
const HOST_BYTES_MAX: usize = 253;
/// Longest label of a host name (RFC 1035 §2.3.4).
const LABEL_BYTES_MAX: usize = 63;

const BAD_HOST: Violation = Violation::malformed("the host is not a host name or address");
const BAD_PORT: Violation = Violation::malformed("the port of the host is not between 1 and 65535");

/// A host in the one spelling that is compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostName<'a>(Cow<'a, str>);

/// A host and the port written after it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authority<'a> {
    /// The host.
    pub host: HostName<'a>,
    /// The port, if one was written.
    pub port: Option<u16>,
}

impl HostName<'_> {
    /// The host: `shop.example.com`, `10.0.0.1` or `[2001:db8::1]`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'a> Authority<'a> {
    /// Reads `host`, `host:port`, `[v6]` or `[v6]:port`. Allocates only if the host is not yet in lower case
    /// or is an IPv6 address in another than its shortest form.
    ///
    /// Stricter than RFC 3986 §3.2.2, which lets a name hold percent-encodings and `!$&'()*+,;=`: none of them
    /// is in a name that can be served, and each is read differently by somebody.
    ///
    /// # Errors
    /// A [`Violation`] if it is empty, has user information, a list, a path, a space, or a port out of range.
    pub fn parse(raw: &'a [u8]) -> Result<Self, Violation> {
        let (host, port) = match raw.first() {
            None => return Err(Violation::malformed("the host is empty")),
            Some(b'[') => {
                let end = raw.iter().position(|&byte| byte == b']').ok_or(BAD_HOST)?;
                let (literal, port) = raw.split_at_checked(end + 1).ok_or(BAD_HOST)?;
                (ip_literal(literal)?, port)
            }
            Some(_) => {
                let end = raw.iter().position(|&byte| byte == b':').unwrap_or(raw.len());
                let (name, port) = raw.split_at_checked(end).ok_or(BAD_HOST)?;
                (registered_name(name)?, port)
            }
        };
        let port = if port.is_empty() { None } else { Some(parse_port(port)?) };
        Ok(Self { host: HostName(host), port })
    }

    /// Whether both name the same place when a missing port means `port_default`.
    #[must_use]
    pub fn is_same(&self, other: &Authority<'_>, port_default: u16) -> bool {
        self.host.0 == other.host.0 && self.port.unwrap_or(port_default) == other.port.unwrap_or(port_default)
    }
}

fn ip_literal(literal: &[u8]) -> Result<Cow<'_, str>, Violation> {
    let literal = std::str::from_utf8(literal).map_err(|_| BAD_HOST)?;
    let inner = literal.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or(BAD_HOST)?;
    let address: Ipv6Addr = inner.parse().map_err(|_| BAD_HOST)?;
    let shortest = format!("[{address}]");
    Ok(if shortest == literal { Cow::Borrowed(literal) } else { Cow::Owned(shortest) })
}

fn registered_name(raw: &[u8]) -> Result<Cow<'_, str>, Violation> {
    let name = raw.strip_suffix(b".").unwrap_or(raw);
    if name.len() > HOST_BYTES_MAX {
        return Err(BAD_HOST);
    }
    let mut label_bytes = 0_usize;
    let mut has_upper = false;
    for byte in name {
        match byte {
            b'.' if label_bytes > 0 => label_bytes = 0,
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => label_bytes += 1,
            b'A'..=b'Z' => {
                label_bytes += 1;
                has_upper = true;
            }
            _ => return Err(BAD_HOST),
        }
        if label_bytes > LABEL_BYTES_MAX {
            return Err(BAD_HOST);
        }
    }
    if label_bytes == 0 {
        return Err(BAD_HOST);
    }
    let name = std::str::from_utf8(name).map_err(|_| BAD_HOST)?;
    Ok(if has_upper { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) })
}

/// `:8080`. A leading zero is refused: it is a second spelling of the same port.
fn parse_port(text: &[u8]) -> Result<u16, Violation> {
    let digits = text.strip_prefix(b":").ok_or(BAD_HOST)?;
    if digits.starts_with(b"0") || !digits.iter().all(u8::is_ascii_digit) {
        return Err(BAD_PORT);
    }
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or(BAD_PORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, expected: Option<(&str, Option<u16>)>) {
        let read = Authority::parse(raw.as_bytes()).ok();
        let seen = read.as_ref().map(|authority| (authority.host.as_str(), authority.port));
        assert_eq!(seen, expected, "{raw:?}");
    }

    #[test]
    fn a_host_has_one_spelling() {
        check("shop.example.com", Some(("shop.example.com", None)));
        check("Shop.Example.COM.:8080", Some(("shop.example.com", Some(8080))));
        check("10.0.0.1:1", Some(("10.0.0.1", Some(1))));
        check("my_service", Some(("my_service", None)));
        check("[2001:DB8:0:0::1]:65535", Some(("[2001:db8::1]", Some(65535))));
        check("[::1]", Some(("[::1]", None)));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for raw in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a b",
            "a/b",
            "a@b",
            "u:p@h",
            "a,b",
            "h:",
            "h:0",
            "h:080",
            "h:99999",
            "h:+1",
            "h:1:2",
            "h:x",
            "[::1",
            "[::1]x",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "::1",
            "a%62",
            "caf\u{e9}",
            "h#",
            "h?",
            "h\\",
            "*",
            "[]",
            " h",
            "h ",
            "h\t",
        ] {
            check(raw, None);
        }
        check(&"a".repeat(64), None);
        check(&"abc.".repeat(64), None);
    }

    #[test]
    fn a_name_in_lower_case_is_not_copied() {
        let authority = Authority::parse(b"shop.example.com.:80").unwrap();
        assert!(matches!(authority.host.0, Cow::Borrowed(_)));
    }

    #[test]
    fn a_missing_port_is_the_default_one() {
        let bare = Authority::parse(b"h").unwrap();
        assert!(bare.is_same(&Authority::parse(b"H:80").unwrap(), 80));
        assert!(!bare.is_same(&Authority::parse(b"h:80").unwrap(), 443));
        assert!(!bare.is_same(&Authority::parse(b"i").unwrap(), 80));
    }
}
