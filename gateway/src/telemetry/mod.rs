//! What the gateway says about itself: metrics, the access log and its own log.
//!
//! Never on a request's critical path: a request adds to counters it already holds and appends
//! one line to a bounded buffer; writing and scraping happen elsewhere.

pub mod access_log;
pub mod histogram;
pub mod instruments;
pub mod log_level;
pub mod metrics;
pub mod names;
pub mod recent;
pub mod refusals;
mod route_counts;
