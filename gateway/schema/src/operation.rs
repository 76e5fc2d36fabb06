//! `admin` and `metrics`: the two doors that are not for clients.

use std::net::SocketAddr;

use crate::decode::keys;
use crate::span::At;

/// Where changes through the admin API go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Writes {
    /// Into an overlay in the state directory, laid over the files.
    #[default]
    Overlay,
    /// Nowhere: they are refused, and the files are all there is.
    Off,
}

keys! {
    /// The admin API. Its token is generated at first start; there is no default one.
    pub struct Admin is "admin" {
        /// IP and port (default 127.0.0.1:9901).
        key address: Option<At<SocketAddr>>,
        /// Where changes through the API go: `overlay` (default) keeps them in a file of their own in the state
        /// directory, `off` refuses them.
        key writes: Option<At<Writes>>,
    }
    later {
        "tokens": "tokens with roles come later; one operator token is generated in the state directory",
        "tls": "TLS for the admin API comes later; keep it on loopback",
        "dashboard": "the dashboard comes later",
    }
}

keys! {
    /// Metrics and probes: /metrics, /livez and /readyz, and nothing else.
    pub struct Metrics is "metrics" {
        /// IP and port (default 127.0.0.1:9902).
        key address: Option<At<SocketAddr>>,
    }
}
