//! The JSON shapes and header names of the Consul HTTP API, shared by our client and by the embedded registry.
//! It decides how the bytes look and how much a reader forgives; it never opens a socket and holds no policy.
//!
//! Readers are tolerant, as Consul's own clients are: unknown fields are skipped, `null` stands for an empty list or
//! map, and a number out of range is clamped, so that one odd entry never hides the healthy ones beside it.
//! What *we* write is exact: field names and order are Consul's.

pub mod headers;

mod agent;
mod catalog;
mod duration;
mod health;
mod kv;
mod lenient;
mod status;

pub use agent::{AgentCheckDefinition, AgentService, AgentServiceRegistration, CheckUpdate, Weights};
pub use catalog::{CatalogNode, CatalogService, TaggedAddress};
pub use duration::{GoDuration, GoDurationError};
pub use health::{HealthCheck, HealthService, HealthServiceEntry, worst_status};
pub use kv::KvPair;
pub use status::{CheckStatus, UnknownStatus};
