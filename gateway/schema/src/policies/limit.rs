//! `rate_limit`: how many requests in how much time.

use std::num::NonZeroU32;

use serde_json::{Value, json};

use crate::decode::{Decode, Decoder, Definitions, decode_text, keys};
use crate::merge::Merge;
use crate::outline::Outline;
use crate::span::At;
use crate::value::{HeaderName, Rate};
use crate::yaml::{Kind, Node};

keys! {
    /// How many requests in how much time. Short form: `100/s`.
    pub struct RateLimit is "a rate limit" {
        /// So many in so much time. Must be there once all is laid over each other.
        key rate: Option<At<Rate>>,
        /// How many may come at once (default: the number in `rate`).
        key burst: Option<At<NonZeroU32>>,
        /// Who shares one count (default `ip`): each address (IPv6 by its /64), each consumer, the whole route, or each value of
        /// a header. Without a consumer or the header, the address counts.
        key by: Option<At<LimitBy>>,
        /// Count and report, but refuse nothing (default `false`).
        key dry_run: Option<At<bool>>,
        /// Counts kept at once (default `100000`); beyond it new ones count together.
        key max_keys: Option<At<NonZeroU32>>,
    }
    later {
        "store": "counts are kept in this process; shared counts in Redis come later",
        "cost": "requests that cost more than one come later",
    }
    short limit_from_text as limit_text;
}

/// Who shares one count.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LimitBy {
    /// Each client address; IPv6 by its /64.
    Ip,
    /// Each consumer.
    Consumer,
    /// Everybody on the route together.
    Route,
    /// Each value of a header.
    Header(HeaderName),
}

impl Merge for LimitBy {}
impl Outline for LimitBy {}

impl Decode for LimitBy {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        decode_text(node, decoder, "a way to count", |text| match text {
            "ip" => Ok(Self::Ip),
            "consumer" => Ok(Self::Consumer),
            "route" => Ok(Self::Route),
            _ => match text.strip_prefix("header:") {
                Some(header) => HeaderName::parse(header).map(Self::Header).map_err(str::to_owned),
                None => Err("one of `ip`, `consumer`, `route` or `header:X-Name`".to_owned()),
            },
        })
    }

    fn describe(_: &mut Definitions) -> Value {
        json!({ "type": "string", "pattern": "^(ip|consumer|route|header:.+)$", "examples": ["ip", "consumer", "route", "header:X-Name"] })
    }
}

fn limit_from_text(node: &Node, decoder: &mut Decoder<'_>) -> Option<Option<RateLimit>> {
    let Kind::Scalar(_) = &node.kind else { return None };
    let rate = <At<Rate>>::decode(node, decoder);
    Some(rate.map(|rate| RateLimit { rate: Some(rate), ..RateLimit::default() }))
}

fn limit_text() -> Value {
    json!({ "type": "string", "pattern": "^\\s*[0-9]+\\s*/\\s*[smhd]\\s*$", "examples": ["100/s", "5/m"] })
}
