//! A strict HTTP/1.1 request scanner for the guard on our own stream, in front of any other parser.
//!
//! Decides which leading bytes of a connection are beyond doubt and may be passed on, and refuses everything that
//! has more than one interpretation: bare CR or LF, two framings, odd chunk syntax, a second authority. Field
//! rules are those of `head`. Pure and incremental: no socket, no clock, no buffer of its own.

mod chunk;
mod limits;
mod line;
mod message;
mod scanner;

pub use crate::head::{BodyLength, Connection, HeadSummary, TargetForm, UpgradeAsk, Version};
pub use crate::head::{Violation, ViolationKind};
pub use limits::Limits;
pub use scanner::{Scanner, Step};
