//! From files to traffic: parse → compile → test → bind → swap, all or nothing.
//!
//! Start, SIGHUP, the file watch and the admin API go through [`Reloader`]. Whatever fails on the
//! way changes nothing and says so.

mod apply;
mod explained;
mod files;
mod report;
pub mod watch;

pub use apply::{Candidate, Reloader, candidate, listener_specs};
pub use explained::explanation_to_json;
pub use files::Disk;
pub use report::{Outcome, Refusal, Report};
