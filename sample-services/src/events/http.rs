//! The bus without a broker: events go from the outbox to each consumer by HTTP, through the gateway.
//!
//! Consumers are those that the registry names (`subscribers`). An event is
//! published once each of them has answered 2xx; who has is kept, so that one which is down does not
//! make the others hear it again. An event that nobody wants yet waits.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::future::join_all;
use reqwest::Client;
use serde_json::Value;
use tokio::sync::watch;

use super::subscribers::{self, Registry, Subscribers};
use super::{Bus, BusError, Event, Handler, Subscription};
use crate::problem::Problem;
use crate::store::{Store, StoreError};

/// The table of what was delivered to some of an event's consumers.
pub const MIGRATION: &str = "
    CREATE TABLE deliveries (
        event_id TEXT NOT NULL,
        service TEXT NOT NULL,
        PRIMARY KEY (event_id, service)
    );
";

/// Longest wait for one consumer, all of the gateway's retries included.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// Delivers over HTTP what the outbox holds, and takes in what others deliver.
#[derive(Debug)]
pub struct Http {
    store: Store,
    client: Client,
    gateway: String,
    subscribers: Subscribers,
    inbound: Arc<Inbound>,
}

/// Where events come in, once somebody consumes them.
#[derive(Debug, Default)]
struct Inbound(OnceLock<(Subscription, Arc<dyn Handler>)>);

impl Http {
    /// The bus of the service that owns `store`.
    #[must_use]
    pub fn new(store: Store, client: Client, gateway: &str, registry: Option<Registry>) -> Self {
        let subscribers = Subscribers::new(store.clone(), client.clone(), registry);
        Self { store, client, gateway: gateway.to_owned(), subscribers, inbound: Arc::default() }
    }

    async fn deliver(&self, event: &Event, service: &str) -> Result<(), String> {
        let request = self
            .client
            .post(format!("{}/events/{service}", self.gateway))
            .timeout(ANSWER_WAIT)
            .header(header::CONTENT_TYPE, "application/json")
            // The consumer knows an event by its id: with this key the gateway may repeat the call.
            .header("idempotency-key", event.id.to_string())
            .headers(event.trace().headers())
            .body(event.to_json());
        let answer = request.send().await.map_err(|error| error.without_url().to_string())?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let problem: Value = answer.json().await.unwrap_or_default();
        let detail = problem.get("detail").and_then(Value::as_str).unwrap_or("no reason given");
        Err(format!("{}: {detail}", status.as_u16()))
    }

    async fn delivered(&self, event: &Event) -> Result<Vec<String>, StoreError> {
        let mut tx = self.store.read().await?;
        let select = "SELECT service FROM deliveries WHERE event_id = $1";
        Ok(sqlx::query_scalar(select).bind(event.id.to_string()).fetch_all(&mut *tx).await?)
    }

    async fn note_delivered(&self, event: &Event, services: &[String]) -> Result<(), StoreError> {
        let insert = "INSERT INTO deliveries (event_id, service) VALUES ($1, $2) ON CONFLICT (event_id, service) DO NOTHING";
        let mut tx = self.store.begin().await?;
        for service in services {
            sqlx::query(insert).bind(event.id.to_string()).bind(service.clone()).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn forget(&self, event: &Event) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        let delete = "DELETE FROM deliveries WHERE event_id = $1";
        sqlx::query(delete).bind(event.id.to_string()).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }
}

fn own_database(error: &StoreError) -> BusError {
    BusError::NotTaken { whom: "the publisher's own database".to_owned(), why: error.to_string() }
}

#[async_trait]
impl Bus for Http {
    async fn publish(&self, event: &Event) -> Result<(), BusError> {
        let services = self.subscribers.of(&event.kind).await.map_err(|error| own_database(&error))?;
        if services.is_empty() {
            return Err(BusError::NobodyWants(event.kind.clone()));
        }
        let before = self.delivered(event).await.map_err(|error| own_database(&error))?;
        let left: Vec<&String> = services.iter().filter(|service| !before.contains(service)).collect();
        let answers = join_all(left.iter().map(|service| self.deliver(event, service))).await;
        let mut taken = Vec::new();
        let mut refused = None;
        for (service, answer) in left.into_iter().zip(answers) {
            match answer {
                Ok(()) => taken.push(service.clone()),
                Err(why) => refused = Some(BusError::NotTaken { whom: service.clone(), why }),
            }
        }
        let noted = match (&refused, taken.is_empty(), before.is_empty()) {
            (Some(_), false, _) => self.note_delivered(event, &taken).await,
            (None, _, false) => self.forget(event).await,
            (Some(_), true, _) | (None, _, true) => Ok(()),
        };
        noted.map_err(|error| own_database(&error))?;
        refused.map_or(Ok(()), Err)
    }

    /// Events come in by [`Bus::routes`]; they are refused until this is called.
    async fn consume(
        &self,
        subscription: Subscription,
        handler: Arc<dyn Handler>,
        mut stop: watch::Receiver<bool>,
    ) {
        if self.inbound.0.set((subscription, handler)).is_err() {
            tracing::error!(service = subscription.service, "a service consumes its events once");
            return;
        }
        // An error means that nobody is left to say stop.
        let _ = stop.wait_for(|stopped| *stopped).await;
    }

    fn routes(&self) -> Router {
        Router::new().route("/events/{service}", post(receive)).with_state(self.inbound.clone())
    }

    fn tags(&self, subscription: &Subscription) -> Vec<String> {
        subscription.kinds.iter().map(|kind| subscribers::tag(kind)).collect()
    }
}

/// 204 once the event is dealt with; 503 asks for it again.
async fn receive(
    State(inbound): State<Arc<Inbound>>,
    Path(service): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body =
        body.map_err(|rejection| Problem::new(rejection.status(), "malformed_body", rejection.body_text()))?;
    let Some((subscription, handler)) = inbound.0.get() else {
        let detail = "the service is just starting; try again";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", detail));
    };
    if service != subscription.service {
        return Err(Problem::not_found(format!("events of {} are taken here", subscription.service)));
    }
    let event = Event::from_slice(&body).map_err(|error| Problem::invalid(error.to_string()))?;
    // A publisher that has not heard of a change yet: there is nothing to do, and nothing to repeat.
    if !subscription.wants(&event.kind) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    match handler.handle(&event).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(retry) => {
            let seconds = retry.after.as_secs() + 1;
            let mut refused =
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_now", retry.why).into_response();
            refused.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            Ok(refused)
        }
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
