//! Sockets out: from an endpoint the balancer picked to a peer the proxy engine can connect to.

pub mod connect;
pub mod failure;
pub mod peer;
pub mod timer;
