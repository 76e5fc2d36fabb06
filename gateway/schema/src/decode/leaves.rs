//! The single values: text, numbers, booleans, words out of a list, and everything in `value`.

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use serde_json::{Map as Json, Value, json};

use super::{Decode, Decoder, Definitions, decode_text};
use crate::codes::Code;
use crate::discovery::Consistency;
use crate::listeners::{Alpn, Network, TlsVersion};
use crate::merge::Merge;
use crate::operation::{AdminRole, Writes};
use crate::outline::Outline;
use crate::policies::{FallbackOn, JwtAlgorithm, OnFault, RetryError};
use crate::span::Span;
use crate::telemetry::LogFormat;
use crate::upstreams::{Balance, Protocol};
use crate::value::{
    ByteSize, FilePath, HeaderName, HostPattern, JwksSource, Method, Name, Rate, Raw, Secret, ServiceRef,
    Share, Target, Url, parse_duration,
};
use crate::yaml::{Kind, Node, Scalar};

/// Values read from one text.
macro_rules! texts {
    ($($ty:ty: $what:literal, $schema:tt, $parse:expr;)+) => {
        $(
            impl Merge for $ty {}
            impl Outline for $ty {}

            impl Decode for $ty {
                fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
                    decode_text(node, decoder, $what, $parse)
                }

                fn describe(_: &mut Definitions) -> Value {
                    json!($schema)
                }
            }
        )+
    };
}

texts! {
    Duration: "a duration", { "title": "duration", "type": "string", "examples": ["500ms", "10s", "5m"] }, parse_duration;
    ByteSize: "a size", { "title": "size", "type": "string", "examples": ["64KiB", "2MiB"] }, Self::parse;
    Rate: "a rate", { "title": "rate", "type": "string", "examples": ["100/s", "5/m"] }, Self::parse;
    Share: "a share", { "title": "share", "type": "string", "pattern": "%$", "examples": ["50%"] }, Self::parse;
    Name: "a name", { "title": "name", "type": "string" }, |text| Self::parse(text).map_err(str::to_owned);
    HeaderName: "a header's name", { "title": "header name", "type": "string" }, |text| Self::parse(text).map_err(str::to_owned);
    Method: "a method", { "title": "method", "type": "string", "examples": ["GET", "POST"] },
        |text| Self::parse(text).map_err(str::to_owned);
    HostPattern: "a host", { "title": "host", "type": "string", "examples": ["shop.example.com", "*.example.com"] },
        |text| Self::parse(text).map_err(str::to_owned);
    FilePath: "a file's path", { "title": "file", "type": "string" }, |text| Self::parse(text).map_err(str::to_owned);
    Url: "a URL", { "title": "URL", "type": "string", "pattern": "^(https?://|\\$\\{)" }, |text| Self::parse(text).map_err(str::to_owned);
    ServiceRef: "a service", { "title": "service", "type": "string", "pattern": "^(consul://|\\$\\{)" }, Self::parse;
    Target: "a target", { "title": "target", "type": "string", "examples": ["orders", "consul://order-service"] }, Self::parse;
    JwksSource: "a source of keys", { "title": "source of keys", "type": "string", "examples": ["consul://user-service/.well-known/jwks.json"] },
        Self::parse;
    SocketAddr: "an address", { "title": "address", "type": "string", "examples": ["0.0.0.0:8080", "[::1]:8080"] }, parse_address;
    Network: "a network", { "title": "network", "type": "string", "examples": ["10.0.0.0/8", "::1"] }, parse_network;
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("an address is an IP and a port, such as `0.0.0.0:{text}`"));
    }
    if let Some(port) = text.strip_prefix(':') {
        return Err(format!(
            "say on which addresses: `0.0.0.0:{port}` for all, `127.0.0.1:{port}` for this machine"
        ));
    }
    crate::value::parse_host(text)
}

fn parse_network(text: &str) -> Result<Network, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Network::from(address));
    }
    let network = text
        .parse::<Network>()
        .map_err(|_| "a network is written `10.0.0.0/8`; a single address `10.0.0.1`".to_owned())?;
    if network.addr() == network.network() {
        Ok(network)
    } else {
        Err(format!("bits are set behind the prefix; did you mean `{}`?", network.trunc()))
    }
}

/// Words out of a closed list.
macro_rules! words {
    ($($ty:ty: $what:literal { $($word:literal => $value:ident),+ $(,)? })+) => {
        $(
            impl Merge for $ty {}
            impl Outline for $ty {}

            impl Decode for $ty {
                fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
                    decode_text(node, decoder, $what, |text| match text {
                        $($word => Ok(Self::$value),)+
                        _ => Err(one_of(text, &[$($word),+])),
                    })
                }

                fn describe(_: &mut Definitions) -> Value {
                    json!({ "enum": [$($word),+] })
                }
            }
        )+
    };
}

words! {
    TlsVersion: "a version of TLS" { "1.2" => V1_2, "1.3" => V1_3 }
    Alpn: "a protocol" { "h2" => H2, "http/1.1" => Http11 }
    Consistency: "a consistency" { "default" => Default, "stale" => Stale, "consistent" => Consistent }
    LogFormat: "a log format" { "json" => Json }
    AdminRole: "a role" { "viewer" => Viewer, "operator" => Operator, "admin" => Admin }
    Protocol: "a protocol" { "http1" => Http1, "h2c" => H2c }
    JwtAlgorithm: "an accepted algorithm" { "ES256" => Es256, "RS256" => Rs256, "EdDSA" => EdDsa }
    RetryError: "a kind of error" { "connect" => Connect, "reset" => Reset, "timeout" => Timeout }
    OnFault: "a way to settle a fault" { "deny" => Deny, "bypass" => Bypass }
    FallbackOn: "a kind of failure" {
        "no-endpoint" => NoEndpoint, "tripped" => Tripped, "overloaded" => Overloaded, "connect" => Connect,
        "reset" => Reset, "timeout" => Timeout, "status" => Status, "bad-response" => BadResponse,
    }
}

fn one_of(written: &str, words: &[&'static str]) -> String {
    match crate::suggest::nearest(written, words.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            format!("one of {}", words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "))
        }
    }
}

/// Ways to balance that a later version brings.
const BALANCE_LATER: [&str; 2] = ["peak-ewma", "hash"];

impl Merge for Balance {}
impl Outline for Balance {}

impl Decode for Balance {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        let later = match &node.kind {
            Kind::Scalar(scalar) => BALANCE_LATER.into_iter().find(|word| *word == scalar.text),
            Kind::Map(entries) => {
                BALANCE_LATER.into_iter().find(|word| entries.iter().any(|(k, _)| k.text == *word))
            }
            Kind::List(_) => None,
        };
        if let Some(word) = later {
            let message = format!("`balance: {word}` is not in this version");
            let help = Some("use `round-robin` or `least-request`".to_owned());
            decoder.error(Code::NotInThisVersion, node.at, message, "not yet", help);
            return None;
        }
        decode_text(node, decoder, "a way to balance", |text| match text {
            "round-robin" => Ok(Self::RoundRobin),
            "least-request" => Ok(Self::LeastRequest),
            _ => Err(one_of(text, &["round-robin", "least-request"])),
        })
    }

    fn describe(_: &mut Definitions) -> Value {
        json!({ "enum": ["round-robin", "least-request"] })
    }
}

/// Whole numbers within the bounds of their type.
macro_rules! numbers {
    ($($ty:ty: $least:expr, $most:expr;)+) => {
        $(
            impl Merge for $ty {}
            impl Outline for $ty {}

            impl Decode for $ty {
                fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
                    let Some(scalar) = node.scalar().filter(|scalar| !scalar.lost && is_number(scalar)) else {
                        decoder.wrong_shape(node, "a whole number");
                        return None;
                    };
                    let value = scalar.text.replace('_', "").parse::<$ty>().ok();
                    if value.is_none() {
                        let message = format!("{} is out of range", scalar.shown());
                        let help = Some(format!("a whole number from {} to {}", $least, $most));
                        decoder.error(Code::OutOfRange, node.at, message, "out of range", help);
                    }
                    value
                }

                fn describe(_: &mut Definitions) -> Value {
                    json!({ "type": "integer", "minimum": $least, "maximum": $most })
                }
            }
        )+
    };
}

numbers! {
    u8: 0, u8::MAX;
    u16: 0, u16::MAX;
    u32: 0, u32::MAX;
    i32: i32::MIN, i32::MAX;
    NonZeroU16: 1, u16::MAX;
    NonZeroU32: 1, u32::MAX;
}

/// Unquoted digits, perhaps with a sign and `_` between them, or a variable that holds them.
fn is_number(scalar: &Scalar) -> bool {
    let digits = scalar.text.strip_prefix('-').unwrap_or(&scalar.text);
    scalar.is_bare()
        && digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_digit() || b == b'_')
}

impl Merge for Writes {}
impl Outline for Writes {}

impl Decode for Writes {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        if node.scalar().is_some_and(|scalar| scalar.text == "file") {
            let message = "`writes: file` is not in this version".to_owned();
            let help = Some("use `overlay`, which leaves the files alone, or `off`".to_owned());
            decoder.error(Code::NotInThisVersion, node.at, message, "not yet", help);
            return None;
        }
        decode_text(node, decoder, "a place for changes", |text| match text {
            "overlay" => Ok(Self::Overlay),
            "off" => Ok(Self::Off),
            _ => Err(one_of(text, &["overlay", "off"])),
        })
    }

    fn describe(_: &mut Definitions) -> Value {
        json!({ "enum": ["overlay", "off"] })
    }
}

impl Merge for bool {}
impl Outline for bool {}

impl Decode for bool {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        match node.scalar().filter(|scalar| scalar.is_bare()).map(|scalar| scalar.text.as_str()) {
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(_) | None => {
                decoder.wrong_shape(node, "`true` or `false`");
                None
            }
        }
    }

    fn describe(_: &mut Definitions) -> Value {
        json!({ "type": "boolean" })
    }
}

impl Merge for String {}
impl Outline for String {}

impl Decode for String {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        decode_text(node, decoder, "text", |text| Ok(text.to_owned()))
    }

    fn describe(_: &mut Definitions) -> Value {
        json!({ "type": ["string", "number", "boolean"] })
    }
}

impl Decode for Secret<String> {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        decoder.secrets.push(node.at);
        decode_text(node, decoder, "a secret", |text| Ok(Self::new(text.to_owned())))
    }

    fn describe(_: &mut Definitions) -> Value {
        json!({ "type": "string" })
    }
}

impl Merge for Raw {}

impl Decode for Raw {
    fn decode(node: &Node, _: &mut Decoder<'_>) -> Option<Self> {
        let mut raw = Self { value: Value::Null, at: node.at, places: Default::default() };
        raw.value = to_json(node, &mut String::new(), &mut raw.places);
        Some(raw)
    }

    fn describe(_: &mut Definitions) -> Value {
        json!({})
    }
}

/// The tree as JSON, by the core schema of YAML 1.2 §10.3; recursion is bounded by the parser's depth.
fn to_json(
    node: &Node,
    pointer: &mut String,
    places: &mut std::collections::BTreeMap<String, Span>,
) -> Value {
    places.insert(pointer.clone(), node.at);
    let length = pointer.len();
    match &node.kind {
        Kind::Scalar(scalar) => scalar_to_json(scalar),
        Kind::List(items) => {
            let mut list = Vec::with_capacity(items.len());
            for (idx, item) in items.iter().enumerate() {
                pointer.push('/');
                pointer.push_str(&idx.to_string());
                list.push(to_json(item, pointer, places));
                pointer.truncate(length);
            }
            Value::Array(list)
        }
        Kind::Map(entries) => {
            let mut map = Json::new();
            for (key, item) in entries {
                pointer.push('/');
                pointer.push_str(&key.text.replace('~', "~0").replace('/', "~1"));
                map.insert(key.text.clone(), to_json(item, pointer, places));
                pointer.truncate(length);
            }
            Value::Object(map)
        }
    }
}

fn scalar_to_json(scalar: &Scalar) -> Value {
    if !scalar.plain {
        return json!(scalar.text);
    }
    if scalar.is_null() {
        return Value::Null;
    }
    match scalar.text.as_str() {
        "true" => return json!(true),
        "false" => return json!(false),
        _ => {}
    }
    if let Ok(whole) = scalar.text.parse::<i64>() {
        return json!(whole);
    }
    let numeric = scalar.text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '.'));
    match scalar.text.parse::<f64>() {
        Ok(number) if numeric && number.is_finite() => json!(number),
        Ok(_) | Err(_) => json!(scalar.text),
    }
}
