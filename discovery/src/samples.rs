//! Endpoints for the tests of this crate.

use std::net::SocketAddr;

use portcullis_discovery_model::{Endpoint, EndpointId, EndpointSet};

/// The endpoint `e<port>` at `10.0.0.1:<port>`.
pub(crate) fn endpoint(port: u16) -> Endpoint {
    let id = EndpointId::new(&format!("e{port}")).expect("an id");
    Endpoint { id, ..Endpoint::at(SocketAddr::from(([10, 0, 0, 1], port))) }
}

/// One endpoint per port.
pub(crate) fn set(ports: &[u16]) -> EndpointSet {
    ports.iter().copied().map(endpoint).collect()
}
