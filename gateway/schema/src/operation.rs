//! `admin` and `metrics`: the two doors that are not for clients.

use std::net::SocketAddr;

use crate::decode::keys;
use crate::span::{At, Map};
use crate::value::{FilePath, Name, SecretSource};

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
        /// IP and port (default `127.0.0.1:9901`). Another address than loopback warns.
        key address: Option<At<SocketAddr>>,
        /// A Unix socket beside the address. Whoever runs as the gateway's user, or as root, needs no token there.
        key socket: Option<At<FilePath>>,
        /// Tokens beside the generated one, by name, each with a role.
        key tokens: Map<Name, AdminToken>,
        /// Where changes through the API go (default `overlay`): into a file of their own in the state directory, or
        /// `off`: nowhere, they are refused.
        key writes: Option<At<Writes>>,
    }
    later {
        "tls": "TLS for the admin API comes later; keep it on loopback",
        "dashboard": "the dashboard comes later",
    }
}

keys! {
    /// A token of the admin API, and what it opens.
    pub struct AdminToken is "an admin token" {
        /// What its bearer may do: `viewer` reads; `operator` also drains endpoints, resets breakers, reloads and confirms;
        /// `admin` also changes the configuration, makes tokens and stops the gateway.
        required role: Option<At<AdminRole>>,
        /// The token, at least 32 characters. Better written as `token_env` or `token_file`.
        key token: Option<SecretSource>,
    }
}

/// What a caller of the admin API may do; each role includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AdminRole {
    /// Reads.
    Viewer,
    /// Also drains endpoints, resets breakers, reloads, confirms and sets the log level.
    Operator,
    /// Also changes the configuration, makes tokens and stops the gateway.
    Admin,
}

keys! {
    /// Metrics and probes: `/metrics`, `/livez` and `/readyz`, and nothing else.
    pub struct Metrics is "metrics" {
        /// IP and port (default `127.0.0.1:9902`). Another address than loopback warns.
        key address: Option<At<SocketAddr>>,
    }
}
