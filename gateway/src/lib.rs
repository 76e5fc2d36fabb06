//! API gateway and service-discovery proxy: the shell around the decisions of portcullis-core.
//!
//! Sockets, clocks, files, signals and Pingora live here; what to do with them is asked of the core.

pub mod boot;
pub mod cli;

pub mod listener;
pub mod live;
pub mod proxy;
pub mod upstream;

pub mod follow;
pub mod reload;
pub mod revisions;
pub mod state_dir;
pub mod store;

pub mod admin;
pub mod operator;
pub mod probes;
pub mod readiness;
pub mod telemetry;

mod asked;
pub mod catalogue;
pub mod clock;
pub mod door_server;
pub mod entropy;
pub mod events;
mod housekeeping;
pub mod ring;
pub mod stopping;
