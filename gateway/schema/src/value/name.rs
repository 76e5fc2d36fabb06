//! Names people give to things, and the name-like words of HTTP: headers, methods, hosts, query parameters.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Longest name of a route, upstream, policy, consumer, listener or plugin, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 128;

macro_rules! word {
    ($(#[$doc:meta])+ $name:ident) => {
        $(#[$doc])+
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text of it.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The shared text, for keeping it without a copy.
            pub fn shared(&self) -> Arc<str> {
                Arc::clone(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

word! {
    /// The name of a route, upstream, policy, consumer, listener or plugin: 1 to 128 of `A-Z a-z 0-9 _ - .`,
    /// starting with a letter or digit.
    Name
}
word! {
    /// A header field name (RFC 9110 §5.1), kept in lower case.
    HeaderName
}
word! {
    /// A request method (RFC 9110 §9.1): a token, kept as written.
    Method
}
word! {
    /// The name of a query parameter, after percent-decoding; never empty.
    QueryName
}
word! {
    /// A host to match: `shop.example.com` or `*.example.com`, in lower case, without a port.
    HostPattern
}

impl Name {
    /// Checks a name; the error says what a name may be.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let well_formed = text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if !well_formed {
            return Err(
                "a name is made of letters, digits, `_`, `-` and `.`, and starts with a letter or digit",
            );
        }
        if text.len() > NAME_BYTES_MAX {
            return Err("a name has at most 128 characters");
        }
        Ok(Self(text.into()))
    }
}

impl HeaderName {
    /// Checks a header name and lowers its case.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if is_token(text) && text.len() <= NAME_BYTES_MAX {
            Ok(Self(text.to_ascii_lowercase().into()))
        } else {
            Err("a header name is one word such as `X-Request-Id`, at most 128 characters")
        }
    }
}

impl Method {
    /// Checks a method; upper case is required because methods are case-sensitive.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if !is_token(text) || text.len() > 32 {
            return Err("a method is one word such as `GET`");
        }
        if text.bytes().any(|b| b.is_ascii_lowercase()) {
            return Err("methods are case-sensitive and written in upper case, such as `GET`");
        }
        if text == "CONNECT" {
            return Err("CONNECT is not served by a gateway");
        }
        Ok(Self(text.into()))
    }
}

impl QueryName {
    /// Checks the name of a query parameter.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() || text.len() > NAME_BYTES_MAX {
            return Err("the name of a query parameter has 1 to 128 bytes");
        }
        Ok(Self(text.into()))
    }
}

impl HostPattern {
    /// Checks a host or a wildcard over one or more labels (`*.example.com`) and lowers its case.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let lower = text.to_ascii_lowercase();
        let rest = lower.strip_prefix("*.").unwrap_or(&lower);
        if rest.contains('*') {
            return Err("`*` stands only for whole labels at the start: `*.example.com`");
        }
        if lower.contains("://") || lower.contains('/') {
            return Err("a host has no scheme and no path: `shop.example.com`");
        }
        let address = lower.starts_with('[') && lower.ends_with(']');
        if !address && lower.contains(':') {
            return Err("a host has no port here; the listener has one");
        }
        let labels_hold = !rest.is_empty() && rest.split('.').all(is_label) && rest.len() <= 253;
        if address || labels_hold {
            Ok(Self(lower.into()))
        } else {
            Err("a host looks like `shop.example.com`")
        }
    }
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// A token of RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
