//! Telling Consul that an instance is here, until it is not.
//!
//! Registers with an HTTP check, looks every few seconds whether the agent still knows the
//! instance (an agent that restarted has forgotten it), and deregisters before the instance stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portcullis_consul_wire::{
    AgentCheckDefinition, AgentServiceRegistration, CheckStatus, GoDuration, headers,
};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use tokio::sync::watch;

/// How often the agent is asked whether it still knows the instance.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest wait for one answer of the agent.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// One instance's place in the registry.
#[derive(Debug, Clone)]
pub struct Registration {
    client: Client,
    agent: String,
    token: Option<String>,
    service: Arc<AgentServiceRegistration>,
}

impl Registration {
    /// The registration of an instance of `name` that serves at `address`.
    #[must_use]
    pub fn new(
        client: Client,
        agent: &str,
        token: Option<String>,
        name: &str,
        address: SocketAddr,
        tags: Vec<String>,
    ) -> Self {
        let id = format!("{name}-{}-{}", address.ip().to_string().replace([':', '.'], "-"), address.port());
        let check = AgentCheckDefinition {
            http: format!("http://{address}/healthz"),
            interval: Some(GoDuration(Duration::from_secs(1))),
            timeout: Some(GoDuration(Duration::from_secs(1))),
            // It serves already: without this it would be critical until the agent's first look.
            status: Some(CheckStatus::Passing),
            deregister_critical_service_after: Some(GoDuration(Duration::from_secs(60))),
            ..AgentCheckDefinition::default()
        };
        let service = AgentServiceRegistration {
            id,
            name: name.to_owned(),
            address: address.ip().to_string(),
            port: address.port(),
            tags,
            check: Some(check),
            ..AgentServiceRegistration::default()
        };
        Self { client, agent: agent.to_owned(), token, service: Arc::new(service) }
    }

    /// Keeps the instance registered until `stopping` turns true; then deregisters it.
    ///
    /// An agent that cannot be reached is tried again for as long as the instance lives: a service
    /// does not stop because its registry has.
    pub async fn keep(self, mut stopping: watch::Receiver<bool>) {
        let mut is_known = false;
        while !*stopping.borrow() {
            is_known = self.refresh(is_known).await;
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                changed = stopping.changed() => if changed.is_err() { break },
            }
        }
        if let Err(error) = self.deregister().await {
            tracing::warn!(%error, "the instance could not be deregistered; its check will remove it");
        }
    }

    async fn refresh(&self, was_known: bool) -> bool {
        let known = match self.is_known().await {
            Ok(true) => return true,
            Ok(false) => self.register().await,
            Err(error) => Err(error),
        };
        match &known {
            Ok(()) => tracing::info!(id = %self.service.id, "registered"),
            Err(error) if was_known => tracing::warn!(%error, "the registry does not answer; trying on"),
            Err(error) => tracing::debug!(%error, "the registry still does not answer"),
        }
        known.is_ok()
    }

    async fn is_known(&self) -> reqwest::Result<bool> {
        let answer = self.ask(Method::GET, &format!("/v1/agent/service/{}", self.service.id)).send().await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        answer.error_for_status().map(|_| true)
    }

    async fn register(&self) -> reqwest::Result<()> {
        let request = self.ask(Method::PUT, "/v1/agent/service/register").json(&*self.service);
        request.send().await?.error_for_status().map(|_| ())
    }

    async fn deregister(&self) -> reqwest::Result<()> {
        let request = self.ask(Method::PUT, &format!("/v1/agent/service/deregister/{}", self.service.id));
        request.send().await?.error_for_status().map(|_| ())
    }

    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.agent)).timeout(ANSWER_WAIT);
        match &self.token {
            Some(token) => request.header(headers::TOKEN, token),
            None => request,
        }
    }
}
