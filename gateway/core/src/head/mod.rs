//! The rules a request head must hold to before anything is routed, for HTTP/1 and HTTP/2 alike.
//!
//! Decides whether a head has exactly one interpretation, who it is addressed to, and the one form of its path
//! that is matched *and* forwarded. `framing` feeds it bytes, [`http2::check`] feeds it parsed fields: both end
//! in the same functions, so the two protocols cannot come to differ. Never looks at a body, a route or a peer.

mod field;
mod grammar;
mod host;
mod path;
mod summary;
mod target;
mod violation;

pub mod http2;

pub(crate) use field::FieldRules;
pub(crate) use grammar::{is_plain_value_byte, is_token, list_members, token_bytes};
pub use host::{Authority, HostName};
pub use path::{PathRefusal, is_normal, normalize};
pub use summary::{BodyLength, Connection, HeadSummary, TargetForm, UpgradeAsk, Version};
pub(crate) use target::{check_method, check_target};
pub use violation::{Violation, ViolationKind};
