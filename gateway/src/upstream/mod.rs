//! Sockets out: from an endpoint the balancer picked to a peer the proxy engine can connect to.

pub mod failure;
pub mod peer;
