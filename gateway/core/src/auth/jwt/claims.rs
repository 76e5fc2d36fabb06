//! The meaning of a verified token's claims (RFC 7519 §4.1) at one moment.
//!
//! Decides validity in time, issuer, audience and scope. A claim of the wrong type is refused, never converted: a
//! `NumericDate` is a whole number of seconds here, so that nobody's rounding opens a gap.

use std::sync::Arc;

use http::HeaderValue;
use serde_json::{Map, Value};

use crate::auth::AuthRefusal;
use crate::units::WallTime;

/// The last second of the year 9999. What is later is milliseconds or nonsense.
const NUMERIC_DATE_MAX: u64 = 253_402_300_799;

/// When a token may be used, leeway included: from `not_before` to before `ends`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: WallTime,
    pub(super) ends: WallTime,
}

impl Validity {
    /// Reads `exp` (required), `nbf` and `iat`. Leeway is in seconds.
    pub(super) fn read(claims: &Map<String, Value>, leeway: u64) -> Result<Self, AuthRefusal> {
        let exp = date(claims, "exp")?.ok_or(AuthRefusal::Malformed("the token never expires"))?;
        let nbf = date(claims, "nbf")?.unwrap_or(0);
        let iat = date(claims, "iat")?.unwrap_or(0);
        let not_before = WallTime(nbf.max(iat).saturating_sub(leeway));
        Ok(Self { not_before, ends: WallTime(exp.saturating_add(leeway)) })
    }

    /// Whether the token may be used now.
    pub(super) const fn check(self, now: WallTime) -> Result<(), AuthRefusal> {
        if now.0 >= self.ends.0 {
            return Err(AuthRefusal::Expired);
        }
        if now.0 < self.not_before.0 {
            return Err(AuthRefusal::NotYetValid);
        }
        Ok(())
    }
}

fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, AuthRefusal> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    match value.as_u64() {
        Some(seconds) if seconds <= NUMERIC_DATE_MAX => Ok(Some(seconds)),
        Some(_) | None => Err(AuthRefusal::Malformed("a time in the token is not a whole number of seconds")),
    }
}

/// The `sub` claim; empty if there is none.
pub(super) fn subject(claims: &Map<String, Value>) -> Result<&str, AuthRefusal> {
    match claims.get("sub") {
        None => Ok(""),
        Some(Value::String(subject)) => Ok(subject),
        Some(_) => Err(AuthRefusal::Malformed("the token's subject is not a text")),
    }
}

/// Whether the token is from `wanted`; any issuer will do if there is no wish.
pub(super) fn check_issuer(claims: &Map<String, Value>, wanted: Option<&str>) -> Result<(), AuthRefusal> {
    match (wanted, claims.get("iss")) {
        (None, _) => Ok(()),
        (Some(wanted), Some(Value::String(issuer))) if issuer == wanted => Ok(()),
        (Some(_), _) => Err(AuthRefusal::WrongIssuer),
    }
}

/// Whether the token is for one of `wanted`; for anybody if there is no wish. `aud` is a text or a list of texts.
pub(super) fn check_audience(claims: &Map<String, Value>, wanted: &[Arc<str>]) -> Result<(), AuthRefusal> {
    if wanted.is_empty() {
        return Ok(());
    }
    let is_wanted = |audience: &Value| audience.as_str().is_some_and(|a| wanted.iter().any(|w| &**w == a));
    let found = match claims.get("aud") {
        Some(Value::Array(audiences)) => {
            if !audiences.iter().all(Value::is_string) {
                return Err(AuthRefusal::Malformed("the token's audience is not a list of texts"));
            }
            audiences.iter().any(is_wanted)
        }
        Some(audience) => is_wanted(audience),
        None => false,
    };
    if found { Ok(()) } else { Err(AuthRefusal::WrongAudience) }
}

/// Whether the token carries every required scope, in `scope` (RFC 8693 §4.2) or `scp`, as a text separated by
/// spaces or as a list.
pub(super) fn check_scopes(claims: &Map<String, Value>, required: &[Arc<str>]) -> Result<(), AuthRefusal> {
    let granted: Vec<&str> =
        ["scope", "scp"].iter().filter_map(|name| claims.get(*name)).flat_map(scopes).collect();
    if required.iter().all(|wanted| granted.contains(&&**wanted)) {
        return Ok(());
    }
    Err(AuthRefusal::ScopeMissing(required.join(" ").into()))
}

fn scopes(claim: &Value) -> Vec<&str> {
    match claim {
        Value::String(text) => text.split(' ').collect(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

/// A claim as a header value: a text as it is, a list joined by spaces, anything else as JSON. Bytes that a header
/// should not carry (controls, all beyond ASCII), `%` and outer spaces are percent-encoded, so no claim can start a
/// new field and two different claims never look the same.
pub(super) fn header_value(claim: &Value) -> Option<HeaderValue> {
    let text = match claim {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        }
        Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::Object(_) => claim.to_string(),
    };
    let last = text.len().saturating_sub(1);
    let mut encoded = String::with_capacity(text.len());
    for (idx, byte) in text.bytes().enumerate() {
        let is_inner_space = byte == b' ' && idx != 0 && idx != last;
        if is_inner_space || (byte.is_ascii_graphic() && byte != b'%') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    HeaderValue::try_from(encoded).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(json: Value) -> Map<String, Value> {
        json.as_object().cloned().unwrap()
    }

    fn validity(json: Value, leeway: u64, now: u64) -> Result<(), AuthRefusal> {
        Validity::read(&map(json), leeway)?.check(WallTime(now))
    }

    #[test]
    fn a_token_is_good_until_the_second_it_expires() {
        assert_eq!(validity(json!({"exp": 100}), 0, 99), Ok(()));
        assert_eq!(validity(json!({"exp": 100}), 0, 100), Err(AuthRefusal::Expired));
        assert_eq!(validity(json!({"exp": 100}), 5, 104), Ok(()));
        assert_eq!(validity(json!({"exp": 100}), 5, 105), Err(AuthRefusal::Expired));
    }

    #[test]
    fn a_token_is_not_good_before_its_time() {
        for claim in ["nbf", "iat"] {
            let claims = json!({"exp": 1000, claim: 100});
            assert_eq!(validity(claims.clone(), 0, 99), Err(AuthRefusal::NotYetValid));
            assert_eq!(validity(claims.clone(), 0, 100), Ok(()));
            assert_eq!(validity(claims, 5, 95), Ok(()));
        }
    }

    #[test]
    fn an_expiry_that_is_no_whole_second_is_refused() {
        for exp in [
            json!("100"),
            json!(100.0),
            json!(1e300),
            json!(-1),
            json!(u64::MAX),
            json!(1_700_000_000_000_u64),
            json!(null),
            json!(true),
            json!([100]),
            json!({}),
        ] {
            let refusal = validity(json!({ "exp": exp }), 0, 1);
            assert!(matches!(refusal, Err(AuthRefusal::Malformed(_))), "{exp}");
        }
        assert!(matches!(validity(json!({}), 0, 1), Err(AuthRefusal::Malformed(_))));
        assert!(matches!(validity(json!({"exp": 9, "nbf": "1"}), 0, 1), Err(AuthRefusal::Malformed(_))));
        assert!(matches!(validity(json!({"exp": 9, "iat": 1.5}), 0, 1), Err(AuthRefusal::Malformed(_))));
    }

    #[test]
    fn an_issuer_matches_letter_for_letter() {
        let claims = map(json!({"iss": "https://a"}));
        assert_eq!(check_issuer(&claims, Some("https://a")), Ok(()));
        assert_eq!(check_issuer(&claims, Some("https://a/")), Err(AuthRefusal::WrongIssuer));
        assert_eq!(check_issuer(&map(json!({})), Some("https://a")), Err(AuthRefusal::WrongIssuer));
        assert_eq!(
            check_issuer(&map(json!({"iss": ["https://a"]})), Some("https://a")),
            Err(AuthRefusal::WrongIssuer)
        );
        assert_eq!(check_issuer(&map(json!({})), None), Ok(()));
    }

    #[test]
    fn an_audience_is_a_text_or_a_list() {
        let wanted = [Arc::from("shop")];
        let check = |aud: Value| check_audience(&map(json!({ "aud": aud })), &wanted);
        assert_eq!(check(json!("shop")), Ok(()));
        assert_eq!(check(json!(["other", "shop"])), Ok(()));
        assert_eq!(check(json!("shops")), Err(AuthRefusal::WrongAudience));
        assert_eq!(check(json!([])), Err(AuthRefusal::WrongAudience));
        assert_eq!(check(json!({"shop": 1})), Err(AuthRefusal::WrongAudience));
        assert!(matches!(check(json!(["shop", 1])), Err(AuthRefusal::Malformed(_))));
        assert_eq!(check_audience(&map(json!({})), &wanted), Err(AuthRefusal::WrongAudience));
        assert_eq!(check_audience(&map(json!({})), &[]), Ok(()));
    }

    #[test]
    fn every_required_scope_must_be_there_whole() {
        let required = [Arc::from("read"), Arc::from("write")];
        let check = |claims: Value| check_scopes(&map(claims), &required).is_ok();
        assert!(check(json!({"scope": "write read"})));
        assert!(check(json!({"scp": ["read", "write"]})));
        assert!(check(json!({"scp": "read write extra"})));
        assert!(!check(json!({"scope": "read"})));
        assert!(!check(json!({"scope": "read writer"})));
        assert!(!check(json!({"scope": {"read": 1, "write": 1}})));
        assert!(!check(json!({})));
        assert!(check_scopes(&map(json!({})), &[]).is_ok());
    }

    #[test]
    fn a_claim_becomes_one_safe_header_value() {
        let check = |claim: Value| header_value(&claim).map(|v| v.to_str().unwrap().to_owned());
        assert_eq!(check(json!("u-1 a")).as_deref(), Some("u-1 a"));
        assert_eq!(check(json!(["a", "b"])).as_deref(), Some("a b"));
        assert_eq!(check(json!(7)).as_deref(), Some("7"));
        assert_eq!(check(json!(true)).as_deref(), Some("true"));
        assert_eq!(check(json!({"a": 1})).as_deref(), Some("{\"a\":1}"));
        assert_eq!(check(json!("a\r\nx-admin: 1")).as_deref(), Some("a%0D%0Ax-admin: 1"));
        assert_eq!(check(json!("José")).as_deref(), Some("Jos%C3%A9"));
        assert_eq!(check(json!("50%")).as_deref(), Some("50%25"));
        assert_eq!(check(json!(" a ")).as_deref(), Some("%20a%20"));
        assert_eq!(check(json!(null)), None);
    }
}
