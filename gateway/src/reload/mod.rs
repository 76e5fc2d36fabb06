//! From files to traffic: parse → compile → test → bind → swap, all or nothing.
//!
//! Start, SIGHUP, the file watch and the admin API go through [`Reloader`]; what the API changed is laid over the files. Whatever fails on the
//! way changes nothing and says so.

mod apply;
mod explained;
mod files;
mod made;
mod record;
mod report;
mod session;
pub mod watch;

pub use apply::{Candidate, Parts, Reloader, Standing, candidate, listener_specs};
pub use explained::explanation_to_json;
pub use files::Disk;
pub(crate) use made::{Made, NotMade};
pub use record::Recorded;
pub(crate) use record::Recorder;
pub use report::{Outcome, Refusal, Report};
pub(crate) use session::{Before, InUse, Session};
