//! Signed tokens (RFC 7519) as bearer credentials (RFC 6750), checked by the rules of RFC 8725.
//!
//! In reading order: [`gate`] puts the checks in their order, `token` is the shape, `strict` the JSON, `claims` the
//! meaning, [`keys`] the issuer's keys, [`jwks`] when to fetch them, [`hot`] the tokens seen a moment ago.
//! The algorithm comes from the key and the gate, never from the token; a token names nothing that is fetched.

pub mod gate;
pub mod hot;
pub mod jwks;
pub mod keys;
pub mod refresh;

mod claims;
mod strict;
mod token;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod issuer;

pub use gate::{JwtGate, JwtSettings, JwtSettingsError, LEEWAY_SECONDS_MAX};
pub use jwks::{JwksCell, JwksSource};
pub use keys::{Algorithm, JWKS_BYTES_MAX, JWKS_KEYS_MAX, KeySet, KeySetError, SkippedKey};
pub use refresh::{RefreshPlan, RefreshReason};
pub use token::{KID_BYTES_MAX, TOKEN_BYTES_MAX};
