//! What happens to a gateway, told to whoever watches: endpoints, configurations, breakers, drains.
//!
//! Told from where it happens, never from the way of a request; breakers, which requests move, are looked at instead.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use portcullis_core::breaker::{Breaker, Transitions};
use portcullis_core::upstream::EndpointState;
use portcullis_discovery_model::{EndpointSet, Freshness};
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::clock;
use crate::live::Live;
use crate::revisions::Notice;
use crate::ring::Ring;

/// Events that are kept.
const KEPT: usize = 1_000;
/// How often breakers are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Endpoints that one event names.
const NAMED_MAX: usize = 100;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Endpoints came, went or changed.
    Endpoints,
    /// The registry stands by an upstream's endpoints again, or no longer does.
    Freshness,
    /// An operator drained an endpoint or brought it back.
    Drain,
    /// A breaker tripped, probed or let everything through again.
    Breaker,
    /// A configuration was put into use.
    ConfigApplied,
    /// A configuration was refused.
    ConfigRefused,
    /// A configuration is in use and waits to be confirmed.
    ConfigPending,
    /// It was confirmed.
    ConfigConfirmed,
    /// It was taken back.
    ConfigReverted,
    /// The level of the log was set.
    LogLevel,
    /// The gateway takes no new traffic and will end.
    Draining,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Endpoints,
        Self::Freshness,
        Self::Drain,
        Self::Breaker,
        Self::ConfigApplied,
        Self::ConfigRefused,
        Self::ConfigPending,
        Self::ConfigConfirmed,
        Self::ConfigReverted,
        Self::LogLevel,
        Self::Draining,
    ];

    /// The word for it in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Endpoints => "endpoints",
            Self::Freshness => "freshness",
            Self::Drain => "drain",
            Self::Breaker => "breaker",
            Self::ConfigApplied => "config_applied",
            Self::ConfigRefused => "config_refused",
            Self::ConfigPending => "config_pending",
            Self::ConfigConfirmed => "config_confirmed",
            Self::ConfigReverted => "config_reverted",
            Self::LogLevel => "log_level",
            Self::Draining => "draining",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone)]
pub struct Event {
    /// When, since 1970.
    pub at: Duration,
    /// What kind of thing.
    pub kind: Kind,
    /// The rest: an object.
    pub detail: Value,
}

/// Everything that happened lately.
#[derive(Debug)]
pub struct Events(pub Ring<Event>);

impl Default for Events {
    fn default() -> Self {
        Self(Ring::new(KEPT))
    }
}

impl Events {
    /// Tells whoever watches.
    pub fn tell(&self, kind: Kind, detail: Value) {
        self.0.push(Event { at: clock::since_epoch(), kind, detail });
    }

    /// Tells what a new set changes for an upstream; nothing if nothing.
    pub(crate) fn tell_set(&self, upstream: &str, before: &Before, set: &EndpointSet, freshness: Freshness) {
        let changes = Changes::between(&before.endpoints, set);
        if !changes.is_empty() {
            self.tell(
                Kind::Endpoints,
                json!({
                    "upstream": upstream, "endpoints": set.len(),
                    "added": named(&changes.added), "removed": named(&changes.removed),
                    "changed": named(&changes.changed),
                }),
            );
        }
        let was_stale = matches!(before.freshness, Some(Freshness::Stale { .. }));
        let is_stale = matches!(freshness, Freshness::Stale { .. });
        if was_stale != is_stale {
            self.tell(Kind::Freshness, json!({ "upstream": upstream, "stale": is_stale }));
        }
    }

    /// Looks at the breakers for as long as the process lives.
    pub(crate) async fn look(self: Arc<Self>, live: Arc<ArcSwap<Live>>) {
        let mut known = Known::new();
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            known = self.tell_breakers(&live.load_full(), &known);
        }
    }

    /// Tells what becomes of changes on trial, for as long as the process lives.
    pub(crate) async fn hear(self: Arc<Self>, mut notices: Receiver<Notice>) {
        loop {
            match notices.recv().await {
                // What is put into use is told by whoever put it there.
                Ok(Notice::Applied { .. }) => {}
                Ok(Notice::OnTrial { revision }) => {
                    self.tell(Kind::ConfigPending, json!({ "revision": revision }));
                }
                Ok(Notice::Confirmed { revision }) => {
                    self.tell(Kind::ConfigConfirmed, json!({ "revision": revision }));
                }
                Ok(Notice::Reverted { revision, why }) => {
                    let detail =
                        json!({ "revision": revision, "why": why.code(), "detail": why.to_string() });
                    self.tell(Kind::ConfigReverted, detail);
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn tell_breakers(&self, live: &Live, known: &Known) -> Known {
        let now = clock::now();
        let mut seen = Known::new();
        let mut look = |upstream: &Arc<str>, endpoint: Option<SocketAddr>, breakers: &[Arc<Breaker>]| {
            for (idx, breaker) in breakers.iter().enumerate() {
                let (key, counts) = ((upstream.clone(), endpoint, idx), breaker.transitions());
                let before = known.get(&key).copied().unwrap_or_default();
                if counts != before {
                    let state = breaker.state(now).as_str();
                    let trips = counts.tripped.saturating_sub(before.tripped);
                    let detail = json!({
                        "upstream": &**upstream, "endpoint": endpoint.map(|at| at.to_string()),
                        "state": state, "trips": trips,
                    });
                    self.tell(Kind::Breaker, detail);
                }
                seen.insert(key, counts);
            }
        };
        for (name, upstream) in &live.snapshot.upstreams {
            if upstream.cell.settings().breakers.is_empty() {
                continue;
            }
            look(name, None, upstream.cell.breakers());
            for state in upstream.cell.endpoints() {
                look(name, Some(state.endpoint().address), state.breakers());
            }
        }
        seen
    }
}

/// The transitions of each breaker: of an upstream or of one of its endpoints, by its place in their list.
type Known = BTreeMap<(Arc<str>, Option<SocketAddr>, usize), Transitions>;

/// An upstream before a new set.
#[derive(Debug)]
pub(crate) struct Before {
    pub(crate) endpoints: Vec<Arc<EndpointState>>,
    pub(crate) freshness: Option<Freshness>,
}

/// How two sets differ.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
}

impl Changes {
    /// An endpoint is known again by its address and id.
    fn between(before: &[Arc<EndpointState>], after: &EndpointSet) -> Self {
        let mut old: BTreeMap<_, _> = before
            .iter()
            .map(|state| ((state.endpoint().address, state.endpoint().id.clone()), state.endpoint()))
            .collect();
        let mut changes = Self::default();
        for endpoint in after.iter() {
            match old.remove(&(endpoint.address, endpoint.id.clone())) {
                None => changes.added.push(endpoint.address.to_string()),
                Some(known) if known != endpoint => changes.changed.push(endpoint.address.to_string()),
                Some(_) => {}
            }
        }
        changes.removed = old.keys().map(|(address, _)| address.to_string()).collect();
        changes
    }

    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

fn named(addresses: &[String]) -> &[String] {
    addresses.get(..NAMED_MAX).unwrap_or(addresses)
}

#[cfg(test)]
mod tests {
    use portcullis_core::upstream::{CellSettings, UpstreamCell};
    use portcullis_discovery_model::{Endpoint, Health};

    use super::*;

    fn at(port: u16) -> Endpoint {
        Endpoint::at(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    #[test]
    fn a_new_set_is_told_as_what_came_went_and_changed() {
        let cell = UpstreamCell::new(CellSettings::default());
        cell.replace(&[at(1), at(2), at(3)].into_iter().collect(), Freshness::Live);
        let after = [at(2), Endpoint { health: Health::Warning, ..at(3) }, at(4)].into_iter().collect();
        let changes = Changes::between(&cell.endpoints(), &after);
        let text = |port: u16| vec![format!("127.0.0.1:{port}")];
        assert_eq!(changes, Changes { added: text(4), removed: text(1), changed: text(3) });
        let events = Events::default();
        let before = Before { endpoints: cell.endpoints(), freshness: Some(Freshness::Live) };
        events.tell_set("orders", &before, &after, Freshness::Live);
        events.tell_set("orders", &before, &[at(1), at(2), at(3)].into_iter().collect(), Freshness::Live);
        let told = events.0.newest();
        assert_eq!(told.len(), 1, "a set that says the same is no event");
        assert_eq!(told[0].value.detail["added"][0], "127.0.0.1:4");
    }
}
