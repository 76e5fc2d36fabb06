//! Fields that say who a client is, where it comes from or what it really asked for.
//!
//! Decides which of them are believed from whom: from a stranger none, from a trusted proxy those about the way,
//! and from nobody those that this gateway itself sets after it has checked a credential.

use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;

use super::{HeadEdit, Trust};

/// Fields about the way of a request, which only a trusted proxy may bring. In order.
const FORWARDING: [&str; 18] = [
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-ipcountry",
    "client-ip",
    "fastly-client-ip",
    "forwarded",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded",
    "x-host",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];

/// Families of such fields.
const FORWARDING_PREFIXES: [&str; 2] = ["x-forwarded-", "x-envoy-"];

/// Families of fields that are ours alone.
const RESERVED_PREFIXES: [&str; 2] = ["x-gateway-", "x-portcullis-"];

/// `Proxy` becomes the variable `HTTP_PROXY` of CGI programs (CVE-2016-5385); it never meant anything in HTTP.
const PROXY: &str = "proxy";

/// The names under which any route of a snapshot hands an identity to its upstream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdentityNames(Box<[HeaderName]>);

impl IdentityNames {
    /// The names of all routes together: what one route sets, a client may bring on none.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = HeaderName>) -> Self {
        let mut names: Vec<HeaderName> = names.into_iter().collect();
        names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        Self(names.into_boxed_slice())
    }

    /// Whether `name` is one of them.
    #[must_use]
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.0.binary_search_by(|known| known.as_str().cmp(name.as_str())).is_ok()
    }
}

/// Removes what a client may not say. To be called once, before any gate, filter or field of ours.
///
/// Names with `_` or `.` go too, from everybody: CGI, WSGI and many frameworks read them as `-`, so that
/// `X_User` would be `X-User` behind our back (CVE-2026-54763, CVE-2026-88011).
pub fn remove_spoofable(head: &mut impl HeadEdit, trust: Trust, identity: &IdentityNames) {
    let doomed: SmallVec<[HeaderName; 8]> =
        names(head.fields()).filter(|name| !may_bring(name, trust, identity)).cloned().collect();
    for name in &doomed {
        head.remove(name);
    }
}

fn names(fields: &HeaderMap) -> impl Iterator<Item = &HeaderName> {
    fields.keys()
}

fn may_bring(name: &HeaderName, trust: Trust, identity: &IdentityNames) -> bool {
    let text = name.as_str();
    let is_alias = text.bytes().any(|byte| matches!(byte, b'_' | b'.'));
    if is_alias || text == PROXY || is_reserved(text) || identity.contains(name) {
        return false;
    }
    trust == Trust::Trusted || !is_forwarding_field(text)
}

/// Whether `name` (lower case) is about the way of a request.
pub(super) fn is_forwarding_field(name: &str) -> bool {
    // Every one of them starts with one of these letters: most names are done after one look.
    matches!(name.as_bytes().first(), Some(b'x' | b'f' | b'c' | b't'))
        && (FORWARDING_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            || FORWARDING.binary_search(&name).is_ok())
}

/// Whether `name` (lower case) is ours alone.
pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forwarding_names_are_in_order_and_found() {
        assert!(FORWARDING.is_sorted());
        assert!(FORWARDING.iter().all(|name| is_forwarding_field(name)));
    }
}
