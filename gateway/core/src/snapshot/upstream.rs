//! An upstream as routes point to it: what it is called, where its endpoints come from, and its cell.

use std::sync::Arc;

use portcullis_discovery_model::{EndpointSet, ServiceName};

use portcullis_schema::Protocol;

use crate::upstream::UpstreamCell;

/// A named set of endpoints.
#[derive(Debug)]
pub struct Upstream {
    /// Its name under `upstreams`, or the text of a target named directly.
    pub name: Arc<str>,
    /// Where its endpoints come from; with the name, its identity over a reload.
    pub source: UpstreamSource,
    /// What is spoken to its endpoints.
    pub protocol: Protocol,
    /// Endpoints and their state, with the settings they are held to.
    pub cell: Arc<UpstreamCell>,
}

/// Where the endpoints of an upstream come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamSource {
    /// A watched service.
    Service {
        /// Its name.
        name: ServiceName,
        /// Only instances with this tag.
        tag: Option<Arc<str>>,
        /// In this datacenter; `None` for the agent's own.
        datacenter: Option<Arc<str>>,
        /// Ask for passing instances only.
        passing_only: bool,
    },
    /// Fixed addresses; the cell holds them from the start.
    Hosts(EndpointSet),
}
