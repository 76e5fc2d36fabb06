//! `timeout`: how long things may take.

use std::time::Duration;

use serde_json::{Value, json};

use crate::decode::{Decode, Decoder, keys};
use crate::merge::Setting;
use crate::span::At;
use crate::yaml::{Kind, Node};

keys! {
    /// How long things may take. Short form, such as `10s`: the whole request.
    pub struct Timeout is "a timeout" {
        /// Until a connection to the endpoint stands (default `1s`).
        key connect: Option<At<Duration>>,
        /// From the whole request to the head of the answer, retries included (default `30s`); `none` for no bound.
        /// The time a client takes to send its body does not count.
        key request: Option<At<Setting<Duration>>>,
        /// Longest silence of an endpoint, in a body or a tunnel, over HTTP/2 also before the head of its answer, and longest wait
        /// for it to take bytes (default: 60s, or `request` if that is longer or `none`); `none` for no bound.
        key idle: Option<At<Setting<Duration>>>,
    }
    instead {
        "per_try": "the time of one try is `retry.per_try`",
        "read": "use `idle` for the time between pieces, `request` for the whole",
        "write": "use `idle` for the time between pieces",
    }
    short timeout_from_text as timeout_text;
}

fn timeout_from_text(node: &Node, decoder: &mut Decoder<'_>) -> Option<Option<Timeout>> {
    let Kind::Scalar(_) = &node.kind else { return None };
    let request = <At<Setting<Duration>>>::decode(node, decoder);
    Some(request.map(|request| Timeout { request: Some(request), ..Timeout::default() }))
}

fn timeout_text() -> Value {
    json!({ "type": "string", "examples": ["10s", "none"] })
}
