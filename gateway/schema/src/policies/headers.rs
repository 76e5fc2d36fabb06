//! `request_headers` and `response_headers`: changes to headers.

use crate::decode::keys;
use crate::span::{At, Map};
use crate::value::HeaderName;

keys! {
    /// Changes to headers: first removed, then set, then added.
    pub struct HeaderEdits is "header changes" {
        /// Put in place of whatever there was.
        key set: Map<HeaderName, At<String>>,
        /// Put beside whatever there was.
        key add: Map<HeaderName, At<String>>,
        /// Take away.
        key remove: Option<At<Vec<At<HeaderName>>>>,
    }
}
