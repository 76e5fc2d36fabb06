//! The decisions of Portcullis, in the order a request meets them.
//!
//! Values in, values out: nothing here opens a socket, reads a clock, a file or the environment,
//! draws a random number or knows a Pingora type. `now` and `rng` are arguments.

pub mod units;

pub mod framing;
pub mod head;
pub mod headers;
pub mod outcome;

pub mod router;
pub mod snapshot;

pub mod confirm;

pub mod auth;
pub mod chain;
pub mod limit;

pub mod balancer;
pub mod breaker;
pub mod retry;
pub mod upstream;
