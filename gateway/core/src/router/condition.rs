//! Conditions of a route beyond host and path: methods, headers, query.
//!
//! Decides whether a request meets them, and how the conditions of two routes lie to each other: one cannot be
//! met where the other is (`disjoint`), or is met wherever the other is (`covers`). Never ranks routes.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderName, Method};
use regex::bytes::Regex;

use super::RouteAsk;

/// Conditions of one route; all must hold.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    /// Listeners it is served on, sorted; `None` means all. It says where a route exists, so it is no
    /// further condition and makes no route more specific.
    pub listeners: Option<Arc<[Arc<str>]>>,
    /// Methods it takes; `None` means any.
    pub methods: Option<MethodSet>,
    /// Header conditions.
    pub headers: Box<[HeaderCondition]>,
    /// Query conditions.
    pub query: Box<[QueryCondition]>,
}

/// The methods a route takes. `GET` brings `HEAD` with it (RFC 9110 §9.3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodSet(Arc<[Method]>);

/// A condition on one header; met if any of the header's lines meets it, or, for `Absent`, if there is none.
#[derive(Debug, Clone)]
pub struct HeaderCondition {
    /// Header looked at.
    pub name: HeaderName,
    /// What it must be.
    pub test: ValueTest,
}

/// A condition on one query parameter; name and values are compared percent-decoded, `+` as a space.
#[derive(Debug, Clone)]
pub struct QueryCondition {
    /// Parameter looked at.
    pub name: Arc<str>,
    /// What it must be.
    pub test: ValueTest,
}

/// What a header or a query parameter must be.
#[derive(Debug, Clone)]
pub enum ValueTest {
    /// Exactly these bytes.
    Exact(Arc<str>),
    /// There, whatever its value.
    Present,
    /// Not there.
    Absent,
    /// Matched by this expression anywhere; on bytes, so that text which is not UTF-8 does not slip by.
    Regex(Arc<Regex>),
}

impl MethodSet {
    /// The set of `methods`, with `HEAD` added to `GET`.
    #[must_use]
    pub fn new(methods: impl IntoIterator<Item = Method>) -> Self {
        let mut all: Vec<Method> = methods.into_iter().collect();
        if all.contains(&Method::GET) {
            all.push(Method::HEAD);
        }
        all.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        all.dedup();
        Self(all.into())
    }

    /// Whether `method` is in the set.
    #[must_use]
    pub fn contains(&self, method: &Method) -> bool {
        self.0.contains(method)
    }

    /// The methods, sorted.
    #[must_use]
    pub fn allowed(&self) -> &[Method] {
        &self.0
    }
}

impl Conditions {
    /// How many conditions there are; the methods together count as one.
    #[must_use]
    pub fn count(&self) -> usize {
        usize::from(self.methods.is_some()) + self.headers.len() + self.query.len()
    }

    /// Whether there is none, and every listener serves it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0 && self.listeners.is_none()
    }

    /// Whether all but the methods hold for `ask`.
    #[must_use]
    pub fn rest_holds(&self, ask: &RouteAsk<'_>) -> bool {
        self.is_served_on(ask.listener)
            && self.headers.iter().all(|condition| condition.holds(ask))
            && self.query.iter().all(|condition| condition.holds(ask))
    }

    /// Whether it is served on this listener; without one the question is whether it is served at all.
    #[must_use]
    pub fn is_served_on(&self, listener: Option<&str>) -> bool {
        match (&self.listeners, listener) {
            (Some(served), Some(asked)) => served.iter().any(|name| **name == *asked),
            (None, _) | (Some(_), None) => true,
        }
    }

    /// Whether no request can meet both.
    #[must_use]
    pub(super) fn disjoint(&self, other: &Self) -> bool {
        let methods = match (&self.methods, &other.methods) {
            (Some(ours), Some(theirs)) => !ours.0.iter().any(|method| theirs.contains(method)),
            (None, _) | (_, None) => false,
        };
        let listeners = match (&self.listeners, &other.listeners) {
            (Some(ours), Some(theirs)) => !ours.iter().any(|name| theirs.contains(name)),
            (None, _) | (_, None) => false,
        };
        methods
            || listeners
            || self.headers.iter().any(|ours| {
                other
                    .headers
                    .iter()
                    .any(|theirs| ours.name == theirs.name && ours.test.excludes(&theirs.test))
            })
            || self.query.iter().any(|ours| {
                other.query.iter().any(|theirs| ours.name == theirs.name && ours.test.excludes(&theirs.test))
            })
    }

    /// Whether every request that meets `other`, whatever its method, meets these but for the methods.
    #[must_use]
    pub(super) fn rest_covers(&self, other: &Self) -> bool {
        let covers_listeners = match (&self.listeners, &other.listeners) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(ours), Some(theirs)) => theirs.iter().all(|name| ours.contains(name)),
        };
        covers_listeners
            && self.headers.iter().all(|ours| {
                other
                    .headers
                    .iter()
                    .any(|theirs| ours.name == theirs.name && ours.test.follows_from(&theirs.test))
            })
            && self.query.iter().all(|ours| {
                other
                    .query
                    .iter()
                    .any(|theirs| ours.name == theirs.name && ours.test.follows_from(&theirs.test))
            })
    }
}

impl HeaderCondition {
    /// Whether it holds for `ask`.
    #[must_use]
    pub fn holds(&self, ask: &RouteAsk<'_>) -> bool {
        let mut values = ask.headers.get_all(&self.name).iter();
        match &self.test {
            ValueTest::Exact(text) => values.any(|value| value.as_bytes() == text.as_bytes()),
            ValueTest::Present => values.next().is_some(),
            ValueTest::Absent => values.next().is_none(),
            ValueTest::Regex(regex) => values.any(|value| regex.is_match(value.as_bytes())),
        }
    }
}

impl QueryCondition {
    /// Whether it holds for `ask`.
    #[must_use]
    pub fn holds(&self, ask: &RouteAsk<'_>) -> bool {
        let mut values = ask.query.unwrap_or_default().split('&').filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (*decoded(name) == *self.name.as_bytes()).then_some(value)
        });
        match &self.test {
            ValueTest::Exact(text) => values.any(|value| *decoded(value) == *text.as_bytes()),
            ValueTest::Present => values.next().is_some(),
            ValueTest::Absent => values.next().is_none(),
            ValueTest::Regex(regex) => values.any(|value| regex.is_match(&decoded(value))),
        }
    }
}

/// `text` as `application/x-www-form-urlencoded` reads it; a stray `%` stays as it is.
fn decoded(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, tail @ ..]) => match (hex_digit(*high), hex_digit(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = tail;
                }
                (None, _) | (_, None) => out.push(b'%'),
            },
            (byte, _) => out.push(*byte),
        }
    }
    Cow::Owned(out)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

impl ValueTest {
    /// Whether no request with one line of the header (or one such parameter) can meet both.
    fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(ours), Self::Exact(theirs)) => ours != theirs,
            (Self::Absent, Self::Absent) => false,
            (Self::Absent, Self::Exact(_) | Self::Present | Self::Regex(_))
            | (Self::Exact(_) | Self::Present | Self::Regex(_), Self::Absent) => true,
            (Self::Exact(text), Self::Regex(regex)) | (Self::Regex(regex), Self::Exact(text)) => {
                !regex.is_match(text.as_bytes())
            }
            (Self::Present, Self::Exact(_) | Self::Present | Self::Regex(_))
            | (Self::Exact(_) | Self::Regex(_), Self::Present)
            | (Self::Regex(_), Self::Regex(_)) => false,
        }
    }

    /// Whether a request that meets `other` always meets this.
    fn follows_from(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(ours), Self::Exact(theirs)) => ours == theirs,
            (Self::Present, Self::Exact(_) | Self::Present | Self::Regex(_))
            | (Self::Absent, Self::Absent) => true,
            (Self::Regex(regex), Self::Exact(text)) => regex.is_match(text.as_bytes()),
            (Self::Regex(ours), Self::Regex(theirs)) => ours.as_str() == theirs.as_str(),
            (Self::Exact(_), Self::Present | Self::Absent | Self::Regex(_))
            | (Self::Present, Self::Absent)
            | (Self::Absent, Self::Exact(_) | Self::Present | Self::Regex(_))
            | (Self::Regex(_), Self::Present | Self::Absent) => false,
        }
    }
}
