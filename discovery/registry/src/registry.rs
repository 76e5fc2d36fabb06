//! Starts and stops a registry inside a process.
//! It owns every task of the registry; it decides nothing about services.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::check::{self, HttpClients};
use crate::limits::REAP_TICK;
use crate::store::{Node, Store};
use crate::wait::Shared;
use crate::{clock, server};

/// What the registry says of itself, in its log, its help and a header of each answer.
pub const NOTICE: &str = "single node, in memory, keeps nothing";

/// How to start a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Name of the one node.
    pub node: String,
    /// Name of the datacenter.
    pub datacenter: String,
    /// Time between two looks for services to deregister; Consul's is 30 s.
    pub reap_tick: Duration,
}

impl Default for Options {
    /// A free port on loopback, node `portcullis`, datacenter `dc1`.
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            node: "portcullis".to_owned(),
            datacenter: "dc1".to_owned(),
            reap_tick: REAP_TICK,
        }
    }
}

/// Why a registry could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Somebody else listens there.
    #[error(
        "{0} is in use by another process, perhaps a Consul agent; see who with `ss -ltnp 'sport = :{port}'`, \
         or choose another address with --listen, for example --listen 127.0.0.1:0 for a free port",
        port = .0.port()
    )]
    AddressInUse(SocketAddr),
    /// The address is not one of this machine, or needs rights we do not have.
    #[error(
        "cannot listen on {bind}: {source}; choose another address with --listen, for example 127.0.0.1:8500"
    )]
    Listen {
        /// The address asked for.
        bind: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The client for HTTP checks could not be built.
    #[error("cannot prepare http checks: {0}")]
    Checks(#[from] reqwest::Error),
}

/// A running registry. Dropped without [`Registry::shutdown`], it stops at once.
#[derive(Debug)]
pub struct Registry {
    addr: SocketAddr,
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

impl Registry {
    /// Starts a registry on the current tokio runtime. It accepts connections when this returns.
    ///
    /// # Errors
    /// The address cannot be listened on, or HTTP checks cannot be prepared.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let bind = options.bind;
        let clients = HttpClients::new()?;
        let failed = |source: io::Error| {
            if source.kind() == io::ErrorKind::AddrInUse {
                StartError::AddressInUse(bind)
            } else {
                StartError::Listen { bind, source }
            }
        };
        let listener = TcpListener::bind(bind).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let node = Node {
            id: node_id(),
            name: options.node,
            address: node_address(addr),
            datacenter: options.datacenter,
        };
        info!(%addr, node = node.name, datacenter = node.datacenter, notice = NOTICE, "registry started");
        if !addr.ip().is_loopback() {
            warn!(%addr, "the registry has no access control and listens beyond loopback");
        }
        let shared = Arc::new(Shared::new(Store::new(node)));
        let mut tasks = JoinSet::new();
        tasks.spawn(server::serve(listener, Arc::clone(&shared)));
        tasks.spawn(check::keep(Arc::clone(&shared), clients, options.reap_tick));
        Ok(Self { addr, shared, tasks })
    }

    /// The address it listens on, with the real port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address as a URL, for example `http://127.0.0.1:8500`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Blocking queries that wait for a change now.
    #[must_use]
    pub fn n_blocked(&self) -> usize {
        self.shared.n_blocked()
    }

    /// Stops: blocked queries are answered with what there is, open connections get
    /// [`crate::limits::SHUTDOWN_GRACE`] to finish, and everything known is forgotten.
    pub async fn shutdown(mut self) {
        self.shared.close();
        while self.tasks.join_next().await.is_some() {}
        info!(addr = %self.addr, "registry stopped, everything it knew is forgotten");
    }
}

/// A version 4 UUID (RFC 9562, section 5.4).
fn node_id() -> String {
    let high = (clock::draw() & !0xf000) | 0x4000;
    let low = (clock::draw() >> 2) | (1 << 63);
    let (high, low) = (format!("{high:016x}"), format!("{low:016x}"));
    let part = |text: &str, range: std::ops::Range<usize>| text.get(range).unwrap_or_default().to_owned();
    format!(
        "{}-{}-{}-{}-{}",
        part(&high, 0..8),
        part(&high, 8..12),
        part(&high, 12..16),
        part(&low, 0..4),
        part(&low, 4..16)
    )
}

/// Instances without an address inherit the node's, so it must be one that can be connected to.
fn node_address(addr: SocketAddr) -> String {
    if addr.ip().is_unspecified() { "127.0.0.1".to_owned() } else { addr.ip().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_id_is_a_version_4_uuid() {
        let id = node_id();
        assert_eq!(id.len(), 36, "{id}");
        assert_eq!(id.as_bytes()[14], b'4', "{id}");
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{id}");
    }
}
