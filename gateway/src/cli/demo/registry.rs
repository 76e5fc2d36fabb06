//! The registry of the demo: the embedded one as a process, or somebody's Consul behind a cable.
//!
//! The gateway and the services know one address, which is ours in both cases, so that the
//! registry can be taken away and given back.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::broken::Broken;
use super::http::Http;
use super::ports::{free_port, knock};
use super::processes::{Process, Program, Programs, tail};
use super::relay::Relay;
use super::wait::until;

/// Longest wait for the registry to answer after it was started.
const START_WAIT: Duration = Duration::from_secs(20);

/// Lines shown of the log of a registry that does not start.
const LOG_LINES: usize = 8;

/// Where services register.
#[derive(Debug)]
pub(super) struct Registry {
    address: SocketAddr,
    api: Http,
    behind: Behind,
}

#[derive(Debug)]
enum Behind {
    /// `None` while it is stopped.
    Embedded(Option<Process>),
    Consul {
        relay: Relay,
        target: String,
    },
}

impl Registry {
    /// The embedded registry.
    pub(super) async fn embedded(programs: &Programs) -> Result<Self, Broken> {
        let mut registry = Self::at(free_port()?, Behind::Embedded(None))?;
        let started = registry.give_back(programs).await;
        started.map_err(|broken| {
            let log = tail(&programs.log_file("registry.log"), LOG_LINES);
            Broken::new(format!("{broken}\n{}", log.join("\n")))
        })?;
        Ok(registry)
    }

    /// A Consul that is running already, at `host:port`.
    pub(super) async fn consul(target: &str) -> Result<Self, Broken> {
        let door = free_port()?;
        let relay = Relay::open(door, target.to_owned()).await?;
        let registry = Self::at(door, Behind::Consul { relay, target: target.to_owned() })?;
        registry.answers().await?;
        Ok(registry)
    }

    fn at(address: SocketAddr, behind: Behind) -> Result<Self, Broken> {
        let api = Http::new(format!("http://{address}"))?;
        Ok(Self { address, api, behind })
    }

    /// The URL that the gateway and the services are given.
    pub(super) fn url(&self) -> &str {
        self.api.base()
    }

    /// What it is, for people.
    pub(super) fn describe(&self) -> String {
        match &self.behind {
            Behind::Embedded(_) => format!("the embedded registry at {}", self.url()),
            Behind::Consul { target, .. } => {
                format!("the Consul at {target}, reached through {}", self.url())
            }
        }
    }

    /// What taking it away means, for people.
    pub(super) fn describe_absence(&self) -> &'static str {
        match &self.behind {
            Behind::Embedded(_) => "the registry's process is killed",
            Behind::Consul { .. } => "every connection to Consul is cut",
        }
    }

    /// The registry is gone.
    pub(super) async fn take_away(&mut self) {
        match &mut self.behind {
            Behind::Embedded(process) => {
                if let Some(mut process) = process.take() {
                    process.kill().await;
                }
            }
            Behind::Consul { relay, .. } => relay.cut().await,
        }
    }

    /// The registry is back, at the same address; the embedded one has forgotten everything.
    pub(super) async fn give_back(&mut self, programs: &Programs) -> Result<(), Broken> {
        match &mut self.behind {
            Behind::Embedded(process) => {
                let mut command = programs.command(Program::Registry);
                command.args(["--listen", &self.address.to_string()]);
                *process = Some(programs.start("registry", command)?);
            }
            Behind::Consul { relay, .. } => relay.mend().await?,
        }
        self.answers().await
    }

    async fn answers(&self) -> Result<(), Broken> {
        let answered = until("the registry", START_WAIT, async || {
            let leader = self.api.get("/v1/status/leader", None).await?.expect(200)?;
            if leader.body.trim().trim_matches('"').is_empty() {
                Err("no leader yet".to_owned())
            } else {
                Ok(())
            }
        });
        answered.await.map_err(|broken| broken.see("registry"))
    }

    /// How many instances of a service are registered, and how many of these pass their checks.
    pub(super) async fn instances(&self, service: &str) -> Result<(usize, usize), Broken> {
        let seen = self.api.get(&format!("/v1/health/service/{service}"), None).await?.expect(200)?;
        let entries = seen.json();
        let entries = entries.as_array().map(Vec::as_slice).unwrap_or_default();
        Ok((entries.len(), entries.iter().filter(|entry| passes(entry)).count()))
    }

    /// The tags of each instance of a service that passes its checks.
    pub(super) async fn tags(&self, service: &str) -> Result<Vec<Vec<String>>, Broken> {
        let seen = self.api.get(&format!("/v1/health/service/{service}"), None).await?.expect(200)?;
        let entries = seen.json();
        let entries = entries.as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(entries.iter().filter(|entry| passes(entry)).map(tags).collect())
    }

    /// Removes an instance that cannot do so itself any more.
    pub(super) async fn forget(&self, id: &str) -> Result<(), Broken> {
        self.api.put(&format!("/v1/agent/service/deregister/{id}"), &json!({})).await.map(|_| ())
    }

    /// Ends the process, if there is one.
    pub(super) async fn stop(&mut self) {
        match &mut self.behind {
            Behind::Embedded(Some(process)) => process.stop().await,
            Behind::Embedded(None) | Behind::Consul { .. } => {}
        }
    }
}

fn passes(entry: &Value) -> bool {
    let checks = entry.get("Checks").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    checks.iter().all(|check| check.get("Status").and_then(Value::as_str) == Some("passing"))
}

fn tags(entry: &Value) -> Vec<String> {
    let tags =
        entry.pointer("/Service/Tags").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    tags.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Looks whether somebody is at `host:port`: behind the cable that silence would look like a slow Consul.
///
/// # Errors
/// Why it cannot be reached, and what to do.
pub(super) async fn reach(target: &str) -> Result<(), Broken> {
    knock(target).await.map_err(|why| {
        Broken::new(format!(
            "Consul at {target} cannot be reached ({why}); start it, correct --consul, or leave --consul out: the demo brings a registry then"
        ))
    })
}

/// `host:port` of a Consul's address.
///
/// # Errors
/// What is wrong with it, and an address that is right.
pub(super) fn target(url: &str) -> Result<String, String> {
    let wrong = |why: &str| format!("{why}, such as http://127.0.0.1:8500");
    if url.starts_with("https://") {
        return Err(wrong("the demo speaks plain HTTP to Consul; give an http address"));
    }
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let authority: http::uri::Authority = rest
        .trim_end_matches('/')
        .parse()
        .map_err(|_| wrong("not an address; write scheme, host and port"))?;
    match authority.port_u16() {
        Some(port) => Ok(format!("{}:{port}", authority.host())),
        None => Err(wrong("no port; write scheme, host and port")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consul_is_named_by_its_url_or_by_host_and_port() {
        for url in ["http://127.0.0.1:8500", "http://127.0.0.1:8500/", "127.0.0.1:8500"] {
            assert_eq!(target(url).unwrap(), "127.0.0.1:8500", "{url}");
        }
    }

    #[test]
    fn an_address_that_cannot_be_used_is_answered_with_one_that_can() {
        for url in ["https://127.0.0.1:8501", "http://consul", "http://a b:1", "ftp://x/y:1"] {
            let told = target(url).unwrap_err();
            assert!(told.ends_with("such as http://127.0.0.1:8500"), "{url}: {told}");
        }
    }

    #[tokio::test]
    async fn a_consul_that_is_away_is_named_with_the_way_out() {
        let door = free_port().unwrap();
        let told = reach(&door.to_string()).await.unwrap_err().to_string();
        assert!(told.contains(&door.to_string()) && told.contains("--consul"), "{told}");
        let listener = tokio::net::TcpListener::bind(door).await.unwrap();
        assert_eq!(reach(&door.to_string()).await, Ok(()));
        drop(listener);
    }

    #[test]
    fn one_failing_check_is_enough() {
        let entry = |statuses: &[&str]| {
            let checks: Vec<Value> = statuses.iter().map(|status| json!({ "Status": status })).collect();
            json!({ "Checks": checks })
        };
        assert!(passes(&entry(&["passing", "passing"])));
        assert!(!passes(&entry(&["passing", "critical"])));
    }
}
