//! `upstreams`: named sets of endpoints.

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};

use serde_json::{Value, json};

use crate::codes::Code;
use crate::decode::{Decode, Decoder, keys};
use crate::policies::Timeout;
use crate::span::At;
use crate::value::{ServiceRef, Target};
use crate::yaml::{Kind, Node};

keys! {
    /// A named set of endpoints: a service in Consul, or fixed hosts. Short form: `consul://name` or `http://ip:port`.
    pub struct Upstream is "an upstream" {
        /// A service in Consul: `consul://name?tag=v2&dc=eu&passing=true`.
        key service: Option<At<ServiceRef>>,
        /// Instead: fixed addresses, each `ip:port` or a map of `address` and `weight`.
        key hosts: Option<Vec<At<Host>>>,
        /// How an endpoint is chosen (default `round-robin`): in turn by weight, smoothly; or `least-request`: the less busy of
        /// two chosen at random.
        key balance: Option<At<Balance>>,
        /// Requests in flight at once (default: no bound). More are answered with 503 and `Retry-After`.
        key max_requests: Option<At<NonZeroU32>>,
        /// Times towards this upstream (default: those of `defaults`); a policy's and a route's own win.
        key timeout: Option<At<Timeout>>,
        /// What is spoken to its endpoints (default `http1`); `h2c` is HTTP/2 with prior knowledge, which gRPC services need.
        key protocol: Option<At<Protocol>>,
    }
    later {
        "health": "active and passive health checks come later; Consul's checks are used already",
        "tls": "TLS towards upstreams comes later",
        "slow_start": "slow start comes later",
        "zone": "zone-aware balancing comes later",
        "resolve": "discovery by DNS comes later",
        "hash": "balancing by hash comes later",
        "mirror": "mirroring comes later",
    }
    instead {
        "circuit_breaker": "a circuit breaker is set by a route, a policy or `defaults`",
        "retry": "retries are set by a route, a policy or `defaults`",
    }
    short upstream_from_text as upstream_text;
    check check_upstream;
}

keys! {
    /// One fixed address. Short form: `ip:port`.
    pub struct Host is "a host" {
        /// IP and port, such as `10.0.0.9:8080`.
        required address: Option<At<SocketAddr>>,
        /// Its share of requests, relative to the others (1 to 65535, default `1`).
        key weight: Option<At<NonZeroU16>>,
    }
    short host_from_text as host_text;
}

/// How an endpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Balance {
    /// Smooth weighted round-robin.
    RoundRobin,
    /// The less busy of two chosen at random.
    LeastRequest,
}

/// What is spoken to endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS, with prior knowledge.
    H2c,
}

fn upstream_from_text(node: &Node, decoder: &mut Decoder<'_>) -> Option<Option<Upstream>> {
    let text = &node.scalar()?.text;
    let upstream = match Target::parse(text) {
        Ok(Target::Service(service)) => {
            Upstream { service: Some(At::new(service, node.at)), ..Upstream::default() }
        }
        Ok(Target::Address(address)) => {
            let host = Host { address: Some(At::new(address, node.at)), weight: None };
            Upstream { hosts: Some(vec![At::new(host, node.at)]), ..Upstream::default() }
        }
        Ok(Target::Upstream(_)) => {
            let why = "an upstream is `consul://name`, `http://ip:port`, or a map with `service` or `hosts`"
                .to_owned();
            decoder.bad_value(Code::BadValue, node, "an upstream", why);
            return Some(None);
        }
        Err(why) => {
            decoder.bad_value(Code::BadValue, node, "an upstream", why);
            return Some(None);
        }
    };
    Some(Some(upstream))
}

fn upstream_text() -> Value {
    json!({ "type": "string", "pattern": "^(consul|http)://" })
}

fn host_from_text(node: &Node, decoder: &mut Decoder<'_>) -> Option<Option<Host>> {
    let Kind::Scalar(_) = &node.kind else { return None };
    let address = <At<SocketAddr>>::decode(node, decoder);
    Some(address.map(|address| Host { address: Some(address), weight: None }))
}

fn host_text() -> Value {
    json!({ "type": "string", "description": "ip:port" })
}

fn check_upstream(upstream: &Upstream, node: &Node, decoder: &mut Decoder<'_>) {
    match (&upstream.service, &upstream.hosts) {
        (Some(service), Some(_)) => {
            let message = "an upstream has either `service` or `hosts`".to_owned();
            decoder.error(Code::Exclusive, service.at, message, "one or the other", None);
        }
        (None, Some(hosts)) if hosts.is_empty() && !decoder.sink.covers(node.at) => {
            let message = "`hosts` is empty".to_owned();
            decoder.error(
                Code::BadValue,
                node.named,
                message,
                "no host",
                Some("name at least one `ip:port`".to_owned()),
            );
        }
        (None, None) if !decoder.sink.covers(node.at) => {
            let message = "an upstream needs the key `service` or `hosts`".to_owned();
            let help = Some(
                "name a service, `service: consul://name`, or addresses, `hosts: [\"10.0.0.9:8080\"]`"
                    .to_owned(),
            );
            decoder.error(Code::MissingKey, node.named, message, "no endpoints", help);
        }
        (Some(_), None) | (None, Some(_) | None) => {}
    }
}
