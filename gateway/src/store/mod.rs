//! State that is filled by IO: issuers' keys.

pub mod jwks;
