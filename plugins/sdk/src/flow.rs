//! What a filter tells the gateway to do next.

use crate::Reply;

/// The outcome of one hook that worked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flow {
    /// Go on with the next filter.
    Continue,
    /// Stop here and answer the client with this reply; later filters of the same hook do not run.
    Respond(Reply),
}
