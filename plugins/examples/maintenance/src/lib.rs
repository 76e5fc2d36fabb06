//! A plugin of your own, from its first line to its last: closes a route for maintenance.
//!
//! Everybody gets 503 with `Retry-After`, except clients in an allow list, who see the upstream as ever. Copy this
//! crate to start your own; `README.md` beside it walks through the parts.

use std::net::IpAddr;

use http::header::{CACHE_CONTROL, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use ipnet::IpNet;
use portcullis_plugin_sdk::{BuildError, Fault, Filter, Flow, Hooks, Plugin, Reply, RequestView, Seconds};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// Closes a route for maintenance.
#[derive(Debug)]
pub struct Maintenance;

/// Whom to let through, and what to tell the others. These comments become the settings' documentation.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// When clients should try again, for example `10m`.
    retry_after: Seconds,
    /// Addresses and networks that get through, for example `10.0.0.0/8` or `2001:db8::1`.
    #[serde(default)]
    allow: Vec<String>,
    /// What to tell the others.
    #[serde(default = "default_message")]
    message: String,
}

fn default_message() -> String {
    "This service is under maintenance.".to_owned()
}

impl Plugin for Maintenance {
    const NAME: &'static str = "maintenance";
    type Settings = Settings;

    /// Runs when the configuration is loaded: everything that can be wrong is found here, everything that can be
    /// prepared is prepared here.
    fn build(settings: Settings) -> Result<Box<dyn Filter>, BuildError> {
        let networks = settings.allow.iter().enumerate().map(|(idx, text)| {
            parse_network(text).ok_or_else(|| {
                let message =
                    format!("`{text}` is not an address or network, such as 10.0.0.0/8 or 2001:db8::1");
                BuildError::new(format!("/allow/{idx}"), message)
            })
        });
        let reply = Reply::new(StatusCode::SERVICE_UNAVAILABLE)
            .with_header(RETRY_AFTER, HeaderValue::from(settings.retry_after.0))
            .with_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))
            .with_json(&json!({ "title": settings.message, "status": 503 }));
        Ok(Box::new(Closed { allow: networks.collect::<Result<_, _>>()?, reply }))
    }
}

fn parse_network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// The filter: what is left of the settings once they are understood.
#[derive(Debug)]
struct Closed {
    allow: Vec<IpNet>,
    reply: Reply,
}

impl Filter for Closed {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST
    }

    fn on_request(&self, request: &mut RequestView<'_>) -> Result<Flow, Fault> {
        // A dual-stack socket shows IPv4 clients as ::ffff:a.b.c.d; the operator writes a.b.c.d.
        let client = request.facts().client_ip.to_canonical();
        if self.allow.iter().any(|network| network.contains(&client)) {
            return Ok(Flow::Continue);
        }
        Ok(Flow::Respond(self.reply.clone()))
    }
}
