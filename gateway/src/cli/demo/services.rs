//! The four services, and the instances of them that run.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::broken::{Broken, ensure};
use super::http::Http;
use super::processes::{Process, Program, Programs, tail};
use super::wait::until;

/// Longest wait for an instance to open its door.
const START_WAIT: Duration = Duration::from_secs(20);
/// Lines of an instance's log that are searched for its address.
const LINES_MAX: usize = 200;

/// A business capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    User,
    Product,
    Order,
    Payment,
}

impl Service {
    pub(super) const ALL: [Self; 4] = [Self::User, Self::Product, Self::Order, Self::Payment];

    /// What its processes and its folder are called.
    pub(super) const fn short(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Product => "product",
            Self::Order => "order",
            Self::Payment => "payment",
        }
    }

    /// Its name in the registry.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::User => "user-service",
            Self::Product => "product-service",
            Self::Order => "order-service",
            Self::Payment => "payment-service",
        }
    }

    /// Its name among the gateway's upstreams.
    pub(super) const fn upstream(self) -> &'static str {
        match self {
            Self::User => "users",
            Self::Product => "products",
            Self::Order => "orders",
            Self::Payment => "payments",
        }
    }

    /// Whether it consumes events.
    pub(super) const fn takes_events(self) -> bool {
        match self {
            Self::User => false,
            Self::Product | Self::Order | Self::Payment => true,
        }
    }

    const fn program(self) -> Program {
        match self {
            Self::User => Program::User,
            Self::Product => Program::Product,
            Self::Order => Program::Order,
            Self::Payment => Program::Payment,
        }
    }
}

/// One running process of a service.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) service: Service,
    pub(super) process: Process,
    pub(super) address: SocketAddr,
}

/// What an instance is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings<'a> {
    /// The folder of the service's database.
    pub(super) data: &'a Path,
    /// Where to register.
    pub(super) registry: &'a str,
    /// How to reach the other services.
    pub(super) gateway: SocketAddr,
    /// The broker that carries events; without one they go over HTTP.
    pub(super) bus: Option<&'a str>,
    /// What only this instance is told.
    pub(super) own: &'a [(&'a str, &'a str)],
}

impl Instance {
    /// Starts an instance on a port of its own choice and waits until it serves.
    pub(super) async fn start(
        programs: &Programs,
        service: Service,
        name: &str,
        around: Surroundings<'_>,
    ) -> Result<Self, Broken> {
        let mut command = programs.command(service.program());
        command
            .env("LISTEN", "127.0.0.1:0")
            .env("CONSUL_HTTP_ADDR", around.registry)
            .env("DATA_DIR", around.data)
            .env("MISCHIEF", "on")
            .env("GATEWAY_URL", format!("http://{}", around.gateway))
            .envs(around.bus.map(|url| ("BUS_URL", url)))
            .envs(around.own.iter().copied());
        let mut process = programs.start(name, command)?;
        let what = format!("{name} to serve");
        let serving = until(&what, START_WAIT, async || {
            let lines = tail(&process.log, LINES_MAX);
            match (lines.iter().find_map(|line| address(line)), process.ended()) {
                (Some(address), None) => Ok(Ok(address)),
                (_, Some(status)) => {
                    let why = lines.iter().find_map(|line| why(line)).unwrap_or_else(|| status.to_string());
                    Ok(Err(Broken::new(format!("{name} ended at once: {why}"))))
                }
                (None, None) => Err("no word of it in its log".to_owned()),
            }
        });
        let address = serving.await.flatten().map_err(|broken| broken.see(name))?;
        Ok(Self { service, process, address })
    }

    /// Its id in the registry, as the services make it.
    pub(super) fn id(&self) -> String {
        let ip = self.address.ip().to_string().replace([':', '.'], "-");
        format!("{}-{ip}-{}", self.service.name(), self.address.port())
    }

    /// Tells an instance how to misbehave; what is left out is off.
    pub(super) async fn misbehave(&self, mischief: &Value) -> Result<(), Broken> {
        let direct = Http::new(format!("http://{}", self.address))?;
        direct.put("/mischief", mischief).await?.expect(200).map(|_| ())
    }

    /// Tells an instance to behave again.
    pub(super) async fn behave(&self) -> Result<(), Broken> {
        self.misbehave(&json!({})).await
    }

    /// The lines of its log that belong to a request, or that were caused by it.
    pub(super) fn lines_of(&self, request_id: &str) -> Vec<Value> {
        let parsed = self.process.lines();
        let is_of = |line: &Value| line.get("request_id").and_then(Value::as_str) == Some(request_id);
        parsed.into_iter().filter(is_of).collect()
    }
}

/// The address in the log line that says where an instance serves.
fn address(line: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok()?;
    ensure(line.get("msg")?.as_str() == Some("serving"), String::new).ok()?;
    line.get("fields")?.get("address")?.as_str()?.parse().ok()
}

/// Why an instance could not start, from the log line that says so.
fn why(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    ensure(line.get("msg")?.as_str() == Some("cannot start"), String::new).ok()?;
    line.get("fields")?.get("error")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_line_that_says_serving() {
        let serving = r#"{"level":"info","service":"user-service","msg":"serving","fields":{"address":"127.0.0.1:40123"}}"#;
        assert_eq!(address(serving), Some("127.0.0.1:40123".parse().unwrap()));
        let other = r#"{"level":"info","msg":"registered","fields":{"address":"127.0.0.1:40123"}}"#;
        assert_eq!(address(other), None);
        assert_eq!(address("no json"), None);
    }

    #[test]
    fn the_reason_is_read_from_the_line_that_says_cannot_start() {
        let refused =
            r#"{"level":"error","msg":"cannot start","fields":{"error":"BUS_URL names no broker"}}"#;
        assert_eq!(why(refused).as_deref(), Some("BUS_URL names no broker"));
        assert_eq!(why(r#"{"msg":"serving","fields":{"error":"x"}}"#), None);
    }
}
