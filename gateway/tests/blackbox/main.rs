//! The gateway from outside: the real binary, real sockets, one file per feature.
//!
//! One program, so that it links once and its tests share the machine's cores.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod admin_door;
mod auth;
mod commands;
mod config_crashes;
mod config_document;
mod config_fold;
mod config_parts;
mod config_trials;
mod config_writes;
mod conformance;
mod description;
mod edges;
mod endpoints;
mod gates;
mod headers;
mod lifecycle;
mod limits;
mod operators;
mod plugins;
mod reload;
mod remote;
mod remote_changes;
mod resilience;
mod retries;
mod routing;
mod running;
#[path = "../../../tools/schemathesis/st.rs"]
mod schemathesis;
mod streams;
mod support;
mod times;
mod watching;
