//! Settings that are read once, at start.
//!
//! Decides which keys a reload must leave alone, and names those that it does not. Everything else is live.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use portcullis_schema::{AdminRole, Consistency, Secret, Writes};

/// What only a restart can change.
#[derive(Debug, Clone, PartialEq)]
pub struct Boot {
    /// Where the admin API listens, and whom it lets in.
    pub admin: AdminDoor,
    /// Where changes through the admin API go.
    pub writes: Writes,
    /// Where metrics and probes are served.
    pub metrics: SocketAddr,
    /// Where services are looked up.
    pub consul: Consul,
    /// The access log; `None` if it is turned off.
    pub access_log: Option<AccessLog>,
}

/// The admin API's door.
#[derive(Debug, Clone, PartialEq)]
pub struct AdminDoor {
    /// IP and port.
    pub address: SocketAddr,
    /// A Unix socket beside the address; relative to the main file's directory.
    pub socket: Option<PathBuf>,
    /// Tokens beside the generated one, by name.
    pub tokens: BTreeMap<Arc<str>, AdminToken>,
}

/// A token of the admin API.
#[derive(Debug, Clone, PartialEq)]
pub struct AdminToken {
    /// What its bearer may do.
    pub role: AdminRole,
    /// The token.
    pub token: KeptSecret,
}

/// How to reach a Consul agent, or anything with its API.
#[derive(Debug, Clone, PartialEq)]
pub struct Consul {
    /// Its `http` or `https` URL.
    pub address: Arc<str>,
    /// The ACL token, if any.
    pub token: Option<KeptSecret>,
    /// The datacenter to ask; `None` for the agent's own.
    pub datacenter: Option<Arc<str>>,
    /// How fresh an answer must be.
    pub consistency: Consistency,
    /// Authorities to trust instead of the system's, in PEM.
    pub ca_file: Option<PathBuf>,
    /// A client certificate and its key, in PEM.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// How long a set that suddenly became empty is held.
    pub empty_grace: Duration,
    /// How long a blocking query may wait.
    pub wait: Duration,
}

/// A secret, or the file to read it from whenever it changes.
#[derive(Debug, Clone, PartialEq)]
pub enum KeptSecret {
    /// The secret itself.
    Value(Secret<String>),
    /// A file that holds it.
    File(PathBuf),
}

/// Where and how much the access log writes.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessLog {
    /// The file to append to; `None` for standard output.
    pub path: Option<PathBuf>,
    /// The share of requests written, 0 to 1; errors are always written.
    pub sample: f64,
}

impl Boot {
    /// The keys whose values differ: a reload that changes one is refused and needs a restart.
    #[must_use]
    pub fn changed_keys(&self, other: &Self) -> Vec<&'static str> {
        let differs = [
            ("admin", self.admin != other.admin || self.writes != other.writes),
            ("metrics", self.metrics != other.metrics),
            ("discovery.consul", self.consul != other.consul),
            ("telemetry.access_log", self.access_log != other.access_log),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}
