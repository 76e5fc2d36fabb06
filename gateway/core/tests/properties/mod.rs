//! What must hold of the pure core whatever it is shown: each property takes bytes and panics where it does not.
//!
//! `fuzz_properties.rs` runs them on the seeds with every test run; the fuzz targets in `gateway/core/fuzz` run the
//! same functions on whatever a fuzzer thinks of.

pub(crate) mod config;
pub(crate) mod fields;
pub(crate) mod path;
pub(crate) mod scanner;
pub(crate) mod seeds;
