//! What a service is given to publish and to consume: outbox, relay, inbox, bus and the desk for dead letters.

use std::sync::Arc;

use axum::Router;
use tokio::sync::watch;
use utoipa_axum::router::OpenApiRouter;

use super::desk;
use super::http::Http;
use super::inbox::{Apply, Inbox};
use super::outbox::Outbox;
use super::relay::{Pace, Relay};
use super::{Bus, BusUrl, Registry, Subscription, connect};
use crate::server::{Service, Start, StartError};
use crate::store::Store;

/// A service's part in the events of the shop.
#[derive(Debug)]
pub struct Events {
    store: Store,
    outbox: Outbox,
    bus: Arc<dyn Bus>,
    inbox: Arc<Inbox>,
    subscription: Subscription,
    stopping: watch::Receiver<bool>,
}

impl Events {
    /// The part of the service that owns `store`, whose migrations hold [`MIGRATIONS`](super::MIGRATIONS).
    ///
    /// # Errors
    /// When `BUS_URL` cannot be used.
    pub fn open(
        start: &Start,
        store: Store,
        outbox: Outbox,
        subscription: Subscription,
        apply: Arc<dyn Apply>,
    ) -> Result<Self, StartError> {
        let settings = &start.settings;
        let url = BusUrl::parse(&settings.variables.text("BUS_URL").unwrap_or_default())?;
        let registry =
            settings.consul.clone().map(|url| Registry { url, token: settings.consul_token.clone() });
        let without_broker = || -> Arc<dyn Bus> {
            Arc::new(Http::new(store.clone(), start.client.clone(), &settings.gateway, registry))
        };
        let bus = connect(&url, without_broker)?;
        Ok(Self::on(bus, store, outbox, subscription, apply, start.stopping.clone()))
    }

    /// The part of a service on a bus that is there already.
    pub fn on(
        bus: Arc<dyn Bus>,
        store: Store,
        outbox: Outbox,
        subscription: Subscription,
        apply: Arc<dyn Apply>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let inbox = Arc::new(Inbox::new(store.clone(), outbox.clone(), apply));
        Self { store, outbox, bus, inbox, subscription, stopping }
    }

    /// What the service serves for its events: where they come in, and the desk for dead letters.
    pub fn routes(&self) -> OpenApiRouter {
        let inbound: Router = self.bus.routes();
        desk::routes(self.store.clone(), self.inbox.clone()).merge(inbound.into())
    }

    /// The service, which publishes and consumes beside answering.
    #[must_use]
    pub fn attach(self, service: Service) -> Service {
        let relay = Relay::new(self.store, self.outbox, self.bus.clone(), Pace::default());
        let (bus, subscription, stopping) = (self.bus, self.subscription, self.stopping);
        let tags = bus.tags(&subscription);
        let relaying = relay.run(stopping.clone());
        let inbox = self.inbox;
        let consuming = async move { bus.consume(subscription, inbox, stopping).await };
        let service = service.with_background(relaying).with_background(consuming);
        tags.into_iter().fold(service, Service::with_tag)
    }
}
