//! The small values of the language: names, durations, sizes, rates, shares, secrets, references.
//!
//! Each decides what text it accepts and what would be right instead; none knows which key it stands under.

mod address;
mod name;
mod quantity;
mod raw;
mod reference;
mod secret;

pub use address::{FilePath, Url};
pub use name::{HeaderName, HostPattern, Method, Name, QueryName};
pub use quantity::{ByteSize, Rate, Share, parse_duration};
pub use raw::Raw;
pub(crate) use reference::parse_host;
pub use reference::{JwksSource, ServiceRef, Target};
pub use secret::{Secret, SecretSource};
