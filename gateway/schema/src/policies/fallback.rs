//! `fallback`: what to answer when the upstream cannot.

use crate::codes::Code;
use crate::decode::{Decoder, keys};
use crate::span::At;
use crate::value::{Method, Raw, Target};
use crate::yaml::Node;

keys! {
    /// A fixed answer (`status`, `json` or `text`), or another upstream (`to`).
    pub struct Fallback is "a fallback" {
        /// For which failures (default: all).
        key on: Option<At<Vec<At<FallbackOn>>>>,
        /// For which methods (default: all for a fixed answer, `GET` and `HEAD` for another upstream).
        key methods: Option<At<Vec<At<Method>>>>,
        /// Ask this instead: an upstream's name, `consul://name` or `http://ip:port`. Only where sending the request again is
        /// safe.
        key to: Option<At<Target>>,
        /// Answer with this status (200 to 599, default `503`).
        key status: Option<At<u16>>,
        /// Answer with this JSON.
        key json: Option<At<Raw>>,
        /// Answer with this text.
        key text: Option<At<String>>,
    }
    later {
        "cache": "answering from the cache comes later",
        "file": "answering with a file comes later",
    }
    check check_fallback;
}

/// A kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FallbackOn {
    /// There was no endpoint to ask.
    NoEndpoint,
    /// The circuit breaker has tripped.
    Tripped,
    /// The upstream's `max_requests` was reached.
    Overloaded,
    /// No connection came about.
    Connect,
    /// The connection broke.
    Reset,
    /// It took too long.
    Timeout,
    /// It answered with a status that counts as failed.
    Status,
    /// It answered with something that is not HTTP.
    BadResponse,
}

fn check_fallback(fallback: &Fallback, node: &Node, decoder: &mut Decoder<'_>) {
    let fixed = fallback.status.as_ref().map(|status| status.at);
    let body = fallback.json.as_ref().map(|json| json.at).or(fallback.text.as_ref().map(|text| text.at));
    if let (Some(to), Some(_)) = (&fallback.to, fixed.or(body)) {
        let message = "a fallback is either another upstream or a fixed answer".to_owned();
        let help = Some("remove `to`, or remove `status`, `json` and `text`".to_owned());
        decoder.error(Code::Exclusive, to.at, message, "one or the other", help);
    }
    if let (Some(_), Some(text)) = (&fallback.json, &fallback.text) {
        let message = "a fallback answers either with `json` or with `text`".to_owned();
        decoder.error(Code::Exclusive, text.at, message, "one or the other", None);
    }
    if fallback.to.is_none() && fixed.or(body).is_none() && !decoder.sink.covers(node.at) {
        let message = "a fallback says what to answer".to_owned();
        let help = Some("add `status`, `json` or `text`, or `to` with another upstream".to_owned());
        decoder.error(Code::MissingKey, node.named, message, "no answer here", help);
    }
    if let Some(status) = fallback.status.as_ref().filter(|status| !(200..=599).contains(&status.value)) {
        let message = format!("{} is not a status to answer with", status.value);
        let help = Some("use a status from 200 to 599".to_owned());
        decoder.error(Code::OutOfRange, status.at, message, "out of range", help);
    }
}
