//! Why a route won and why each other one lost, for `portcullis match`.
//!
//! Decides nothing: asks each route on its own what [`Router::find`] asks the index, so a difference between the
//! two would show. Never on the path of a request.

use std::fmt;
use std::sync::Arc;

use http::HeaderName;

use super::{Entry, HostPattern, RouteAsk, Router};

/// What became of one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Name of the route.
    pub route: Arc<str>,
    /// `None` for the winner, else why it lost.
    pub lost: Option<Mismatch>,
}

/// Why a route does not answer a request: the first reason in the order the router looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// Not served on this listener.
    Listener,
    /// Other hosts only.
    Host,
    /// The path differs.
    Path {
        /// Number of the segment that differs, is missing or is one too many, from 1.
        segment: usize,
    },
    /// The method is not taken.
    Method,
    /// This header condition does not hold.
    Header(HeaderName),
    /// This query condition does not hold.
    Query(Arc<str>),
    /// It matches, but the winner is more specific or has a higher priority.
    LessSpecific {
        /// The winner.
        than: Arc<str>,
    },
}

impl<R> Router<R> {
    /// The verdict on each route, in the order they were given.
    #[must_use]
    pub fn explain(&self, ask: &RouteAsk<'_>) -> Vec<Verdict> {
        let winner = self.winner(ask).ok().and_then(|(place, _)| self.entries.get(place));
        let verdict = |entry: &Entry| {
            let lost = match winner {
                Some(won) if std::ptr::eq(won, entry) => None,
                _ => Some(entry.mismatch(ask).unwrap_or_else(|| Mismatch::LessSpecific {
                    than: winner.map_or_else(|| Arc::clone(&entry.name), |won| Arc::clone(&won.name)),
                })),
            };
            Verdict { route: Arc::clone(&entry.name), lost }
        };
        self.entries.iter().map(verdict).collect()
    }
}

impl Entry {
    /// The first reason why the route does not match; `None` if it does.
    fn mismatch(&self, ask: &RouteAsk<'_>) -> Option<Mismatch> {
        if !self.matcher.conditions.is_served_on(ask.listener) {
            return Some(Mismatch::Listener);
        }
        if !self.hosts.is_empty() && !self.hosts.iter().any(|host: &HostPattern| host.matches(ask.host)) {
            return Some(Mismatch::Host);
        }
        if let Err(segment) = self.path.matches(ask.path) {
            return Some(Mismatch::Path { segment: segment + 1 });
        }
        if !self.matcher.takes_method(ask) {
            return Some(Mismatch::Method);
        }
        let conditions = &self.matcher.conditions;
        if let Some(header) = conditions.headers.iter().find(|condition| !condition.holds(ask)) {
            return Some(Mismatch::Header(header.name.clone()));
        }
        let query = conditions.query.iter().find(|condition| !condition.holds(ask));
        query.map(|condition| Mismatch::Query(Arc::clone(&condition.name)))
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener => f.write_str("not served on this listener"),
            Self::Host => f.write_str("another host"),
            Self::Path { segment } => write!(f, "the path differs at segment {segment}"),
            Self::Method => f.write_str("another method"),
            Self::Header(name) => write!(f, "the condition on header `{name}` does not hold"),
            Self::Query(name) => write!(f, "the condition on query parameter `{name}` does not hold"),
            Self::LessSpecific { than } => write!(f, "matches, but `{than}` is more specific"),
        }
    }
}
