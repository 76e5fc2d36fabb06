//! The real gateway as a process, upstreams that misbehave on command, and clients that see every byte.
//!
//! Nothing here knows the gateway's inside: files, sockets, signals and exit codes only.

mod client;
mod events;
mod gateway;
mod grpc;
mod registry;
mod tokens;
mod upstream;

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

pub(crate) use client::{Client, Reply, request};
pub(crate) use events::{Stream, Told};
pub(crate) use gateway::{Gateway, run_to_end};
pub(crate) use grpc::{GRPC, GrpcUpstream, Http2Client};
pub(crate) use registry::Registry;
pub(crate) use tokens::Issuer;
pub(crate) use upstream::{Act, Answer, Upstream};

/// Longer than anything here may take; reached only by a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until `condition` holds.
#[expect(clippy::disallowed_methods, reason = "polls with a deadline what another process does")]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// How long `work` takes, and what it gives.
#[expect(clippy::disallowed_methods, reason = "a test measures another process")]
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let began = Instant::now();
    let given = work();
    (began.elapsed(), given)
}

/// An address where nothing listens.
pub(crate) fn closed_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
