//! Services, endpoints and sets of endpoints: the words that discovery and the gateway share.
//!
//! Decides what a well-formed name, endpoint and set is, and when two sets are the same.
//! Never fetches, watches or stores one: no IO, no clock.

pub mod endpoint;
pub mod endpoint_set;
pub mod freshness;
pub mod meta;
pub mod service;

pub use endpoint::{Endpoint, EndpointId, EndpointIdError, Health};
pub use endpoint_set::EndpointSet;
pub use freshness::Freshness;
pub use meta::Meta;
pub use service::{ServiceName, ServiceNameError};
