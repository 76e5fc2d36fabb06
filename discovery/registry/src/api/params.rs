//! Query parameters: decoding, and the ones every read understands.
//! It parses; it refuses what cannot be parsed.

use std::time::Duration;

use portcullis_consul_wire::GoDuration;

use super::reply::Problem;
use crate::wait::Block;

/// More parameters than any client sends.
const PARAMS_MAX: usize = 128;

/// What `+` means: a space in a query, itself in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plus {
    IsSpace,
    IsPlus,
}

/// Decoded query parameters, in the order sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn of(query: &str) -> Result<Self, Problem> {
        let mut pairs = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            if pairs.len() >= PARAMS_MAX {
                return Err(Problem::bad_request(format!("more than {PARAMS_MAX} query parameters")));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decode(name, Plus::IsSpace), decode(value, Plus::IsSpace))
            else {
                return Err(Problem::bad_request("Failed to decode query: not percent-encoded UTF-8"));
            };
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// The first value of `name`.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(own, _)| own == name).map(|(_, value)| value.clone()).collect()
    }

    /// A flag that may stand alone (`?passing`) or with a value (`?passing=false`).
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name) {
            None => Ok(false),
            Some("") => Ok(true),
            Some(text) => {
                go_bool(text).ok_or_else(|| Problem::bad_request(format!("Invalid value for ?{name}")))
            }
        }
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        // The status is Consul's, although the fault is the client's.
        let invalid = |text| Problem::server_error(format!("Invalid value for ?{name}: {text:?}"));
        self.get(name).map(|text| text.parse().map_err(|_| invalid(text))).transpose()
    }

    /// `?index=` and `?wait=`.
    pub(super) fn block(&self) -> Result<Block, Problem> {
        let index = match self.get("index") {
            None | Some("") => 0,
            Some(text) => text.parse().map_err(|_| Problem::bad_request("Invalid index"))?,
        };
        let wait: Option<Duration> = match self.get("wait") {
            None | Some("") => None,
            Some(text) => {
                let wait: GoDuration = text.parse().map_err(|_| Problem::bad_request("Invalid wait time"))?;
                Some(wait.0)
            }
        };
        Ok(Block { index, wait })
    }

    /// The consistency the answer has. One node is always its own leader, so a stale read is as good.
    pub(super) fn consistency(&self) -> &'static str {
        if self.has("stale") {
            "stale"
        } else if self.has("consistent") {
            "consistent"
        } else {
            "leader"
        }
    }
}

/// The words of Go's `strconv.ParseBool`.
pub(super) fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Percent-decoding (RFC 3986, section 2.1). `None` when the text is not well-formed or not UTF-8.
pub(super) fn decode(text: &str, plus: Plus) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let (high, low) = (hex(bytes.next()?)?, hex(bytes.next()?)?);
                high * 16 + low
            }
            b'+' if plus == Plus::IsSpace => b' ',
            other => other,
        };
        decoded.push(byte);
    }
    String::from_utf8(decoded).ok()
}

fn hex(byte: u8) -> Option<u8> {
    u8::try_from(char::from(byte).to_digit(16)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params::of(query).unwrap_or_else(|_| panic!("{query}"))
    }

    #[test]
    fn parameters_are_decoded_and_may_repeat() {
        let params = params("tag=a%20b&tag=c+d&passing&x=1=2");
        assert_eq!(params.all("tag"), ["a b", "c d"]);
        assert_eq!(params.get("x"), Some("1=2"));
        assert_eq!(params.flag("passing").ok(), Some(true));
        assert_eq!(params.flag("absent").ok(), Some(false));
    }

    #[test]
    fn what_cannot_be_decoded_is_refused() {
        assert!(Params::of("a=%zz").is_err());
        assert!(Params::of("a=%ff").is_err());
        assert!(Params::of("a=%4").is_err());
        assert!(Params::of(&"a&".repeat(200)).is_err());
        assert!(params("passing=maybe").flag("passing").is_err());
    }

    #[test]
    fn index_and_wait_are_parsed_or_refused() {
        let block = params("index=7&wait=1m30s").block().unwrap();
        assert_eq!((block.index, block.wait), (7, Some(Duration::from_secs(90))));
        assert!(params("index=x").block().is_err());
        assert!(params("index=-1").block().is_err());
        assert!(params("wait=10").block().is_err());
    }
}
