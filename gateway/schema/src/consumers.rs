//! `consumers`: who may call.

use serde_json::{Value, json};

use crate::decode::{Decode, Decoder, Definitions, decode_text, keys};
use crate::merge::{Merge, Setting};
use crate::outline::Outline;
use crate::policies::RateLimit;
use crate::span::At;
use crate::yaml::Node;

keys! {
    /// Somebody who calls, with keys of their own.
    pub struct Consumer is "a consumer" {
        /// Keys by their hash; the keys themselves are never written down.
        key api_keys: Option<Vec<At<ApiKeyHash>>>,
        /// A limit of their own; it wins over a route's limit by consumer.
        key rate_limit: Option<At<Setting<RateLimit>>>,
    }
    later {
        "groups": "groups of consumers come later",
        "tags": "tags of consumers come later",
        "quota": "quotas come later",
    }
    instead {
        "jwt": "tokens are checked by a route's `jwt`",
        "basic": "passwords are not accepted",
    }
}

keys! {
    /// The hash of an API key, as printed by `printf %s "$KEY" | sha256sum`.
    pub struct ApiKeyHash is "an API key" {
        /// SHA-256 of the key in hexadecimal, 64 digits.
        required sha256: Option<At<Sha256>>,
    }
    later {
        "expires": "keys that expire come later",
    }
    instead {
        "argon2": "API keys are long and random: SHA-256 is enough and fast",
    }
}

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

impl std::fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sha256:***")
    }
}

impl Merge for Sha256 {}
impl Outline for Sha256 {}

impl Decode for Sha256 {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        decode_text(node, decoder, "a SHA-256 hash", |text| {
            parse_hex(text).map(Self).ok_or_else(|| {
                format!(
                    "a hash has 64 hexadecimal digits, this has {} characters: printf %s \"$KEY\" | sha256sum",
                    text.chars().count()
                )
            })
        })
    }

    fn describe(_: &mut Definitions) -> Value {
        json!({ "title": "hash", "type": "string", "pattern": "^[0-9a-fA-F]{64}$" })
    }
}

fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |idx: usize| pair.get(idx).and_then(|b| char::from(*b).to_digit(16));
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(bytes)
}
