//! An open-loop load driver that verifies answers, and what the cost benchmark is built of.
//!
//! The driver sends at a constant rate whatever the server does, and measures each answer from the
//! moment its request was *meant* to be sent. A server that stalls is therefore charged for every
//! request that had to wait, not only for the one that met the stall (no coordinated omission).
//! Every answer is checked; what is wrong is counted by kind, with the first examples.
//!
//! It sees the gateway as any client would, over HTTP, and uses nothing of its code. It talks to
//! loopback addresses only: this is a tool for one's own machine, never for somebody else's.
//!
//! ```no_run
//! # async fn demo() -> Result<(), portcullis_loadtest::PlanError> {
//! use portcullis_loadtest::{Load, Plan};
//!
//! let load = Load::start(Plan { rate_per_s: 200.0, ..Plan::new("http://127.0.0.1:8080/api/products") })?;
//! // … scale, kill, reload …
//! let report = load.stop().await;
//! assert!(report.is_clean(), "{}", report.summary());
//! # Ok(())
//! # }
//! ```
//!
//! Five binaries:
//! - `portcullis-load` — the driver as a process: `--url … --rate 200 --duration 5s`, or until its
//!   standard input closes; JSON on standard output; exit code 0 only if every answer was right.
//! - `portcullis-origin` — a small server to stand behind a proxy.
//! - `portcullis-bare` — a Pingora proxy with nothing in it: the yardstick.
//! - `portcullis-cost` — what the gateway costs beside that yardstick, in CPU time per request.
//! - `portcullis-mayhem` — kills the sample services and what is around them while customers order, and does the
//!   books at the end (`docs/events.md`).
//!
//! How the cost is measured, and what its figures do not say, is in `METHODOLOGY.md`.

mod clock;
mod connections;
mod expect;
mod load;
mod pacer;
mod plan;
mod report;
mod requests;
mod tally;
mod target;

pub mod duration;
pub mod origin;

pub use expect::{BodyExpect, Expect, Judge};
pub use load::{Load, Progress};
pub use plan::{
    CONNECTIONS_MAX, DURATION_MAX, Plan, PlanError, Protocol, RATE_MAX_PER_S, REQUESTS_MAX, RequestIds,
    Variant,
};
pub use report::{Failures, Latency, Report};
