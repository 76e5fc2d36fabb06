//! The servers that the contract runs on: the embedded registry in this process, and a real Consul agent.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use portcullis_discovery_registry::{Options, Registry};
use serde_json::Value;

/// How long anything may take. Generous, because the machine may be busy; nothing waits this long in vain.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A server that speaks the Consul HTTP API.
pub(crate) struct Subject {
    pub(crate) url: String,
    http: reqwest::Client,
    server: Server,
}

enum Server {
    Embedded(Registry),
    Agent(Agent),
}

/// What a request came back with.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) index: Option<u64>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn list(&self) -> Vec<Value> {
        self.json().as_array().cloned().unwrap_or_else(|| panic!("not a list: {self:?}"))
    }

    pub(crate) fn index(&self) -> u64 {
        self.index.unwrap_or_else(|| panic!("no index: {self:?}"))
    }
}

impl Subject {
    pub(crate) async fn embedded() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let registry = Registry::start(Options::default()).await.unwrap();
        Self { url: registry.url(), http: reqwest::Client::new(), server: Server::Embedded(registry) }
    }

    /// A real agent, or `None` when this machine has none.
    pub(crate) async fn consul() -> Option<Self> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let binary = consul_binary()?;
        let http = reqwest::Client::new();
        for _ in 0..3 {
            let [port] = free_ports();
            let agent = Agent::start(&binary, port);
            let subject = Self {
                url: format!("http://127.0.0.1:{port}"),
                http: http.clone(),
                server: Server::Agent(agent),
            };
            if subject.is_ready().await {
                return Some(subject);
            }
        }
        panic!("{} was started three times and never became ready", binary.display());
    }

    /// The same server at the same address, with everything forgotten.
    pub(crate) async fn restart(self) -> Self {
        let Self { url, http, server } = self;
        let server = match server {
            Server::Embedded(registry) => {
                let bind: SocketAddr = registry.addr();
                registry.shutdown().await;
                Server::Embedded(Registry::start(Options { bind, ..Options::default() }).await.unwrap())
            }
            Server::Agent(agent) => {
                let (binary, port) = (agent.binary.clone(), agent.port);
                drop(agent);
                Server::Agent(Agent::start(&binary, port))
            }
        };
        let subject = Self { url, http, server };
        assert!(subject.is_ready().await, "the restarted server never became ready");
        subject
    }

    pub(crate) async fn stop(self) {
        match self.server {
            Server::Embedded(registry) => registry.shutdown().await,
            Server::Agent(agent) => drop(agent),
        }
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.send(self.http.get(format!("{}{target}", self.url))).await
    }

    pub(crate) async fn put(&self, target: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.send(self.http.put(format!("{}{target}", self.url)).body(body)).await
    }

    pub(crate) async fn delete(&self, target: &str) -> Answer {
        self.send(self.http.delete(format!("{}{target}", self.url))).await
    }

    /// Registers a service; the server must agree.
    pub(crate) async fn register(&self, definition: Value) {
        let answer = self.put("/v1/agent/service/register", definition.to_string()).await;
        assert_eq!(answer.status, 200, "{definition}: {}", answer.text);
    }

    /// A `PUT` without a body that the server must agree to.
    pub(crate) async fn tell(&self, target: &str) {
        let answer = self.put(target, "").await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text);
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.try_send(request).await.unwrap()
    }

    async fn try_send(&self, request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
        let response = request.timeout(PATIENCE * 2).send().await?;
        let status = response.status().as_u16();
        let index =
            response.headers().get("x-consul-index").and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Answer { status, index, text: response.text().await? })
    }

    /// Whether the server leads and has listed its own node, within [`PATIENCE`].
    async fn is_ready(&self) -> bool {
        let ready = async {
            loop {
                let nodes = self.try_send(self.http.get(format!("{}/v1/catalog/nodes", self.url))).await;
                if nodes.is_ok_and(|nodes| nodes.status == 200 && nodes.text.contains("Address")) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.is_ok()
    }
}

/// `$PORTCULLIS_CONSUL`, or the one that `./run setup` builds.
#[expect(clippy::disallowed_methods, reason = "the test's own edge: where the real server is")]
fn consul_binary() -> Option<PathBuf> {
    if let Ok(named) = std::env::var("PORTCULLIS_CONSUL") {
        assert!(PathBuf::from(&named).is_file(), "PORTCULLIS_CONSUL names {named}, which is not a file");
        return Some(PathBuf::from(named));
    }
    let cached = PathBuf::from(std::env::var("HOME").ok()?).join(".cache/portcullis/bin/consul");
    if cached.is_file() {
        return Some(cached);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI must run the contract on a real Consul agent");
    None
}

/// A Consul agent of our own; killed when dropped.
struct Agent {
    child: Child,
    binary: PathBuf,
    port: u16,
}

impl Agent {
    fn start(binary: &PathBuf, port: u16) -> Self {
        let [server, serf] = free_ports();
        let child = Command::new(binary)
            .args([
                "agent",
                "-dev",
                "-log-level=err",
                "-node=contract",
                "-bind=127.0.0.1",
                "-client=127.0.0.1",
            ])
            .arg(format!("-http-port={port}"))
            .arg(format!("-server-port={server}"))
            .arg(format!("-serf-lan-port={serf}"))
            .args(["-serf-wan-port=-1", "-dns-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, binary: binary.clone(), port }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ports that were free a moment ago; the agent cannot be given open sockets.
fn free_ports<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}
