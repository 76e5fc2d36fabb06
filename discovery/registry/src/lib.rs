//! An embedded registry that speaks the Consul HTTP API: **one node, in memory, it keeps nothing**.
//!
//! For demos, tests and laptops. Services register with the agent API, the gateway watches with blocking queries, and
//! nothing else has to be installed. It has no ACLs, no replication and no disk: when it stops, everything is
//! forgotten and services have to register again. For anything that matters, run Consul; where the two differ,
//! Consul is right.
//!
//! `store` decides (pure, time is passed in), `index` numbers, `wait` blocks, `check` tries, `api` translates and
//! `server` owns the sockets.

pub mod index;
pub mod limits;
pub mod store;

mod api;
mod check;
mod clock;
mod registry;
mod server;
mod wait;

pub use registry::{NOTICE, Options, Registry, StartError};
