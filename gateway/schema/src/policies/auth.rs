//! `jwt` and `api_key`: who is calling.

use std::time::Duration;

use serde_json::{Value, json};

use crate::decode::{Decode, Decoder, OneOrMany, keys};
use crate::span::{At, Map};
use crate::value::{HeaderName, JwksSource};
use crate::yaml::{Kind, Node};

keys! {
    /// Only with a valid JSON Web Token in `Authorization: Bearer`. It must expire.
    pub struct Jwt is "jwt" {
        /// Who must have issued the token, its `iss` (default: not checked).
        key issuer: Option<At<String>>,
        /// For whom the token must be: one of these is one of its `aud` (default: not checked).
        key audience: Option<At<OneOrMany<At<String>>>>,
        /// Where the keys are: a URL, or `consul://service/path`, any healthy instance of a service. Must be there once all is
        /// laid over each other.
        key jwks: Option<At<JwksSource>>,
        /// Signatures accepted (default `[RS256, ES256, EdDSA]`). There are no shared secrets.
        key algorithms: Option<At<Vec<At<JwtAlgorithm>>>>,
        /// How far clocks may differ (default `30s`).
        key leeway: Option<At<Duration>>,
        /// Scopes the token must have, all of them. Without one the answer is 403.
        key scopes: Option<At<Vec<At<String>>>>,
        /// Claims to send to the upstream as headers; the client's own copies are removed.
        key headers: Map<HeaderName, At<String>>,
    }
    later {
        "claims": "rules over other claims come later",
        "cookie": "tokens in cookies come later",
        "introspection": "opaque tokens come later",
    }
    instead {
        "secret": "shared secrets are not accepted; use a JWKS",
        "optional": "a route either needs a token or does not",
    }
}

keys! {
    /// Only with the API key of a consumer. Short form: the header's name.
    pub struct ApiKey is "api_key" {
        /// The header that carries the key (default `X-Api-Key`). It is not sent on.
        key header: Option<At<HeaderName>>,
    }
    later {
        "cookie": "keys in cookies come later",
        "consumers": "allowing only some consumers comes later",
    }
    instead {
        "query": "keys in URLs end up in logs; use a header",
    }
    short api_key_from_text as api_key_text;
}

/// A signature algorithm (RFC 7518 §3.1, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JwtAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// Ed25519.
    EdDsa,
}

fn api_key_from_text(node: &Node, decoder: &mut Decoder<'_>) -> Option<Option<ApiKey>> {
    let Kind::Scalar(_) = &node.kind else { return None };
    let header = <At<HeaderName>>::decode(node, decoder);
    Some(header.map(|header| ApiKey { header: Some(header) }))
}

fn api_key_text() -> Value {
    json!({ "type": "string", "description": "the header that carries the key" })
}
