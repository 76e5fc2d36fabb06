//! `discovery`: where services are looked up.

use std::time::Duration;

use crate::decode::keys;
use crate::span::At;
use crate::value::{FilePath, SecretSource, Url};

keys! {
    /// Where services are looked up.
    pub struct Discovery is "discovery" {
        /// Consul, or anything with its API.
        key consul: Option<At<Consul>>,
    }
    later {
        "dns": "discovery by DNS comes later",
        "kubernetes": "discovery by Kubernetes comes later",
    }
    instead {
        "file": "fixed addresses go into `hosts` of an upstream",
    }
}

keys! {
    /// A Consul agent or the embedded registry.
    pub struct Consul is "discovery.consul" {
        /// Its HTTP address (default `http://127.0.0.1:8500`).
        key address: Option<At<Url>>,
        /// The ACL token. Better written as `token_env` or `token_file`.
        key token: Option<SecretSource>,
        /// The datacenter to ask (default: the agent's own).
        key datacenter: Option<At<String>>,
        /// How fresh an answer must be (default `default`): the leader answers; with `stale` any server may; with
        /// `consistent` the leader asks the others first.
        key consistency: Option<At<Consistency>>,
        /// TLS towards Consul, when the address is `https`.
        key tls: Option<At<ConsulTls>>,
        /// How long a sudden loss of endpoints is held before it is believed (default `30s`).
        key empty_grace: Option<At<Duration>>,
        /// How long one blocking query may wait for a change (default `30s`).
        key wait: Option<At<Duration>>,
    }
    later {
        "outage": "when Consul is away the last known endpoints are kept, always",
        "namespace": "namespaces come later",
        "partition": "partitions come later",
        "kv": "configuration from Consul's key-value store comes later",
    }
}

keys! {
    /// TLS towards Consul.
    pub struct ConsulTls is "discovery.consul.tls" {
        /// The authorities to trust, in PEM (default: the system's).
        key ca: Option<At<FilePath>>,
        /// A client certificate, in PEM.
        key cert: Option<At<FilePath>>,
        /// The client certificate's private key, in PEM.
        key key: Option<At<FilePath>>,
    }
    instead {
        "insecure": "verification is never turned off; name the authority in `ca`",
    }
}

/// How fresh Consul's answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Consistency {
    /// The leader answers, without asking the others.
    Default,
    /// Any server answers, the leader or not.
    Stale,
    /// The leader asks the others first.
    Consistent,
}
