//! Events between the services: what one is, and the bus that carries it.
//!
//! A service writes its events into its outbox, in the transaction that makes them true; a relay
//! hands them to the bus; the bus hands them to the inbox of each consumer, which keeps its effects
//! and the note that they happened in one transaction. So nothing is lost and nothing happens twice,
//! whichever bus it is and whoever dies when.

pub mod outbox;
pub mod relay;

pub mod inbox;

mod dead_letters;
mod desk;

pub mod http;
mod subscribers;

mod backoff;
mod bus_url;
mod connect;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(any(feature = "rabbitmq", feature = "kafka"))]
mod lanes;
#[cfg(feature = "rabbitmq")]
mod rabbitmq;
#[cfg(any(feature = "rabbitmq", feature = "kafka"))]
mod reconnect;
mod wiring;

#[cfg(test)]
mod doubles;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;
use tokio::sync::watch;
use uuid::Uuid;

use crate::trace::Trace;

pub use backoff::Backoff;
pub use bus_url::{BadBusUrl, BusUrl};
pub use connect::{ConnectError, connect};
pub use subscribers::Registry;
pub use wiring::Events;

/// The migrations of a service that publishes and consumes, among its own; once released their place is fixed.
pub const MIGRATIONS: [&str; 5] =
    [outbox::MIGRATION, inbox::MIGRATION, dead_letters::MIGRATION, subscribers::MIGRATION, http::MIGRATION];

/// Bytes of an event on the wire. It has to fit into a request to a service.
pub const EVENT_BYTES_MAX: usize = 32 << 10;
/// Bytes of a kind or a key.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of a request id or a `traceparent` that an event carries on.
const ID_BYTES_MAX: usize = 128;

/// The kinds of events in the shop.
pub mod kind {
    /// An order has its stock and waits for its payment: `{ "amount_cents": … }`.
    pub const ORDER_CREATED: &str = "order.created";
    /// An order is paid: `{ "product_id": …, "quantity": … }`.
    pub const ORDER_PAID: &str = "order.paid";
    /// The payment of an order is to be undone: `{}`.
    pub const ORDER_CANCEL_REQUESTED: &str = "order.cancel_requested";
    /// An order is cancelled for good: `{ "reason": … }`.
    pub const ORDER_CANCELLED: &str = "order.cancelled";
    /// An order was charged: `{ "amount_cents": … }`.
    pub const PAYMENT_CHARGED: &str = "payment.charged";
    /// An order will never be charged: `{ "reason": … }`.
    pub const PAYMENT_DECLINED: &str = "payment.declined";
    /// An order was not charged and never will be: `{}`.
    pub const PAYMENT_VOIDED: &str = "payment.voided";
    /// The charge of an order was paid back: `{ "amount_cents": … }`.
    pub const PAYMENT_REFUNDED: &str = "payment.refunded";
    /// A paid order whose reservation had expired, and whose pieces are gone: `{}`.
    pub const STOCK_LOST: &str = "stock.lost";
}

/// Something that happened. On every wire it is JSON.
///
/// Members that a reader does not know are passed over: the services are upgraded one at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Which event this is; the same one may arrive more than once.
    pub id: Uuid,
    /// What happened, such as `order.paid`.
    pub kind: String,
    /// To whom: the id of the order. Events of one key arrive in the order in which they happened.
    pub key: String,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// The id of the request that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The trace of the request that caused it, as W3C Trace Context writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// What else there is to say; depends on the kind.
    #[serde(default)]
    pub data: Value,
}

/// Bytes that are no event.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadEvent {
    /// More than [`EVENT_BYTES_MAX`].
    #[error("an event of {0} bytes; {EVENT_BYTES_MAX} are the most")]
    TooLong(usize),
    /// Not the JSON of an event.
    #[error("not an event: {0}")]
    Malformed(String),
    /// A member that cannot be used.
    #[error("`{0}` is 1 to {1} visible characters of ASCII")]
    Name(&'static str, usize),
}

impl Event {
    /// Something that happened just now, by the request that `trace` belongs to.
    #[must_use]
    pub fn new(kind: &str, key: &str, at_ms: i64, trace: &Trace, data: Value) -> Self {
        Self {
            id: Uuid::now_v7(),
            kind: kind.to_owned(),
            key: key.to_owned(),
            at_ms,
            request_id: Some(trace.request_id().to_owned()),
            traceparent: Some(trace.traceparent()),
            data,
        }
    }

    /// The request that caused it, for what it causes in turn.
    #[must_use]
    pub fn trace(&self) -> Trace {
        Trace::resume(self.request_id.as_deref(), self.traceparent.as_deref())
    }

    /// Reads an event off the wire.
    ///
    /// # Errors
    /// What keeps it from being one.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, BadEvent> {
        if bytes.len() > EVENT_BYTES_MAX {
            return Err(BadEvent::TooLong(bytes.len()));
        }
        let event: Self =
            serde_json::from_slice(bytes).map_err(|error| BadEvent::Malformed(error.to_string()))?;
        let names = [
            ("kind", Some(&event.kind), NAME_BYTES_MAX),
            ("key", Some(&event.key), NAME_BYTES_MAX),
            ("request_id", event.request_id.as_ref(), ID_BYTES_MAX),
            ("traceparent", event.traceparent.as_ref(), ID_BYTES_MAX),
        ];
        for (name, value, bytes_max) in names {
            let usable = |text: &String| {
                (1..=bytes_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
            };
            if !value.is_none_or(usable) {
                return Err(BadEvent::Name(name, bytes_max));
            }
        }
        Ok(event)
    }

    /// The event as it goes over the wire.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

/// Which events a service is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscription {
    /// The service, by its name in the registry. Its instances share the events among them.
    pub service: &'static str,
    /// The kinds it wants.
    pub kinds: &'static [&'static str],
}

impl Subscription {
    /// Whether events of this kind are wanted.
    #[must_use]
    pub fn wants(&self, kind: &str) -> bool {
        self.kinds.contains(&kind)
    }
}

/// An event that a handler could not deal with now. The bus hands it in again, before any other of its key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{why}; again in {after:?}")]
pub struct Retry {
    /// Why it has to wait.
    pub why: String,
    /// How long to wait at least.
    pub after: Duration,
}

/// Takes events in. Called again with an event it has seen, it does nothing and answers `Ok`.
#[async_trait]
pub trait Handler: Send + Sync + Debug {
    /// Deals with an event. `Ok` means it is dealt with for good, and the bus may forget it.
    async fn handle(&self, event: &Event) -> Result<(), Retry>;

    /// Puts aside what arrived and is no event, for people to look at.
    async fn put_aside(&self, bytes: &[u8], why: &BadEvent) -> Result<(), Retry>;
}

/// An event that the bus did not take. Every reason passes: it is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BusError {
    /// The broker, or one of the consumers, did not take it.
    #[error("{whom} did not take the event: {why}")]
    NotTaken {
        /// Whom it was for.
        whom: String,
        /// What went wrong; no secret is in it.
        why: String,
    },
    /// No consumer of this kind is known yet.
    #[error("nobody is known who wants `{0}`")]
    NobodyWants(String),
}

/// Carries events from the services that publish to those that consume.
#[async_trait]
pub trait Bus: Send + Sync + Debug {
    /// Hands an event over. `Ok` once it is safe with the broker, or with every consumer where there is none.
    ///
    /// # Errors
    /// Why it is not; nothing is known of it then: it may or may not arrive, and is published again.
    async fn publish(&self, event: &Event) -> Result<(), BusError>;

    /// Hands the events of `subscription` to `handler` until `stop` turns true.
    ///
    /// Those of one key go in one by one, each only after the one before was dealt with. An event is
    /// acknowledged after the handler's `Ok`, never before. Lost connections are made again, with
    /// backoff and jitter, for as long as it takes.
    async fn consume(
        &self,
        subscription: Subscription,
        handler: Arc<dyn Handler>,
        stop: watch::Receiver<bool>,
    );

    /// What the service has to serve for events to reach it; nothing where a broker is asked for them.
    fn routes(&self) -> Router {
        Router::new()
    }

    /// The tags by which publishers find the consumer of `subscription` in the registry; none where a broker knows.
    fn tags(&self, _: &Subscription) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Result<Event, BadEvent> {
        Event::from_slice(value.to_string().as_bytes())
    }

    fn least() -> Value {
        json!({ "id": "01890a5d-ac96-774b-bcce-b302099a8057", "kind": "order.paid", "key": "o1", "at_ms": 1 })
    }

    #[test]
    fn an_event_is_the_same_after_the_wire() {
        let mut event = read(&least()).unwrap();
        event.request_id = Some("r-1".to_owned());
        event.data = json!({ "quantity": 2 });
        assert_eq!(Event::from_slice(event.to_json().as_bytes()), Ok(event));
    }

    #[test]
    fn members_of_later_versions_are_passed_over() {
        let mut later = least();
        later["colour"] = json!("green");
        assert_eq!(read(&later), read(&least()));
    }

    #[test]
    fn what_is_no_event_is_told_from_one() {
        let with = |name: &str, value: Value| {
            let mut event = least();
            event[name] = value;
            read(&event).unwrap_err()
        };
        assert_eq!(with("key", json!("")), BadEvent::Name("key", NAME_BYTES_MAX));
        assert_eq!(with("key", json!("a\u{0}b")), BadEvent::Name("key", NAME_BYTES_MAX));
        assert_eq!(with("kind", json!("k".repeat(65))), BadEvent::Name("kind", NAME_BYTES_MAX));
        assert_eq!(with("request_id", json!("a b")), BadEvent::Name("request_id", ID_BYTES_MAX));
        assert!(matches!(with("id", json!("7")), BadEvent::Malformed(_)));
        assert!(matches!(Event::from_slice(b"\xff"), Err(BadEvent::Malformed(_))));
        assert_eq!(
            Event::from_slice(&vec![b' '; EVENT_BYTES_MAX + 1]),
            Err(BadEvent::TooLong(EVENT_BYTES_MAX + 1))
        );
    }
}
