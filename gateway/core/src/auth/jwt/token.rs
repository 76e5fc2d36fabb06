//! The shape of a compact JWS (RFC 7515 §7.1), read strictly and before any cryptography.
//!
//! Decides which texts are tokens at all and what their header may say. Verifies no signature and fetches nothing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::keys::Algorithm;
use super::strict;
use crate::auth::AuthRefusal;

/// The longest token, in bytes: what fits a default request head beside everything else.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// The longest key id, in bytes. It is compared with known ids and used for nothing else.
pub const KID_BYTES_MAX: usize = 256;

/// Header parameters that bring or name key material (RFC 7515 §4.1): a token does not choose its key.
const KEY_BEARING: [&str; 4] = ["jku", "x5u", "jwk", "x5c"];

/// A text that has the shape of a token. Nothing in it is to be believed yet.
#[derive(Debug)]
pub(super) struct Token<'t> {
    /// The algorithm the header names.
    pub(super) algorithm: Algorithm,
    /// The key id the header names.
    pub(super) kid: Option<String>,
    /// What is signed: the first two segments with the dot between.
    pub(super) signed: &'t [u8],
    /// The third segment, canonical base64url.
    pub(super) signature: &'t str,
    /// The second segment, decoded.
    payload: Vec<u8>,
}

impl<'t> Token<'t> {
    /// Reads a token.
    pub(super) fn parse(text: &'t str) -> Result<Self, AuthRefusal> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(AuthRefusal::Malformed("the token is too long"));
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(NOT_THREE)?;
        let (header, payload) = signed.split_once('.').ok_or(NOT_THREE)?;
        if payload.contains('.') {
            return Err(NOT_THREE);
        }
        if header.is_empty() || payload.is_empty() || signature.is_empty() {
            return Err(AuthRefusal::Malformed("a segment of the token is empty"));
        }
        decode(signature)?;
        let header = strict::object(&decode(header)?)
            .ok_or(AuthRefusal::Malformed("the token's header is not a json object without repeated keys"))?;
        let (algorithm, kid) = read_header(header)?;
        Ok(Self { algorithm, kid, signed: signed.as_bytes(), signature, payload: decode(payload)? })
    }

    /// The claims, still to be judged. Ask only once the signature is known to be good.
    pub(super) fn claims(&self) -> Result<Map<String, Value>, AuthRefusal> {
        strict::object(&self.payload)
            .ok_or(AuthRefusal::Malformed("the token's claims are not a json object without repeated keys"))
    }
}

const NOT_THREE: AuthRefusal = AuthRefusal::Malformed("a token has three segments");

/// Base64url without padding, and no second spelling of the same bytes: the engine refuses stray trailing bits.
fn decode(segment: &str) -> Result<Vec<u8>, AuthRefusal> {
    URL_SAFE_NO_PAD
        .decode(segment)
        .map_err(|_| AuthRefusal::Malformed("a segment of the token is not canonical base64url"))
}

fn read_header(mut header: Map<String, Value>) -> Result<(Algorithm, Option<String>), AuthRefusal> {
    if header.contains_key("crit") {
        return Err(AuthRefusal::Malformed("the token's header has critical extensions"));
    }
    if KEY_BEARING.iter().any(|name| header.contains_key(*name)) {
        return Err(AuthRefusal::Malformed("the token's header brings its own key"));
    }
    if !header.get("typ").is_none_or(is_token_type) {
        return Err(AuthRefusal::Malformed("the token's type is not that of an access token"));
    }
    let algorithm = match header.get("alg") {
        Some(Value::String(name)) => Algorithm::from_name(name).ok_or(AuthRefusal::AlgorithmRefused)?,
        Some(_) | None => return Err(AuthRefusal::Malformed("the token's header names no algorithm")),
    };
    match header.remove("kid") {
        None => Ok((algorithm, None)),
        Some(Value::String(kid)) if kid.len() <= KID_BYTES_MAX => Ok((algorithm, Some(kid))),
        Some(_) => Err(AuthRefusal::Malformed("the token's key id is not a short text")),
    }
}

/// `JWT` (RFC 7519 §5.1) or `at+jwt` (RFC 9068 §2.1). A logout or proof token must not pass for an access token
/// (RFC 8725 §3.11).
fn is_token_type(typ: &Value) -> bool {
    let Value::String(typ) = typ else { return false };
    ["jwt", "at+jwt", "application/jwt", "application/at+jwt"]
        .iter()
        .any(|known| typ.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str) -> Result<Algorithm, AuthRefusal> {
        let header = URL_SAFE_NO_PAD.encode(header);
        Token::parse(&format!("{header}.e30.AAAA")).map(|token| token.algorithm)
    }

    fn is_malformed(text: &str) -> bool {
        matches!(Token::parse(text), Err(AuthRefusal::Malformed(_)))
    }

    #[test]
    fn a_plain_header_is_read() {
        assert_eq!(check(r#"{"alg":"ES256"}"#), Ok(Algorithm::Es256));
        assert_eq!(check(r#"{"alg":"RS256","typ":"JWT","kid":"a"}"#), Ok(Algorithm::Rs256));
        assert_eq!(check(r#"{"alg":"EdDSA","typ":"at+jwt","x5t":"a"}"#), Ok(Algorithm::EdDsa));
    }

    #[test]
    fn an_algorithm_is_one_of_three_letter_for_letter() {
        for name in ["none", "NonE", "HS256", "es256", "ES384", "PS256", "RS256 ", ""] {
            assert_eq!(
                check(&format!(r#"{{"alg":"{name}"}}"#)),
                Err(AuthRefusal::AlgorithmRefused),
                "{name}"
            );
        }
        for header in [r"{}", r#"{"alg":null}"#, r#"{"alg":["ES256"]}"#] {
            assert!(matches!(check(header), Err(AuthRefusal::Malformed(_))), "{header}");
        }
    }

    #[test]
    fn a_token_has_three_segments_and_none_is_empty() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#);
        assert!(!is_malformed(&format!("{header}.e30.AAAA")));
        for bad in [
            String::new(),
            header.clone(),
            format!("{header}.e30"),
            format!("{header}.e30."),
            format!("{header}..AAAA"),
            format!(".{header}.AAAA"),
            format!("{header}.e30.AAAA."),
            format!("{header}.e30.AAAA.AAAA.AAAA"),
        ] {
            assert!(is_malformed(&bad), "{bad}");
        }
    }

    #[test]
    fn a_second_spelling_of_the_same_bytes_is_refused() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#);
        for signature in ["AAB", "AA==", "AAA=", "AA+A", "AA/A", "A", "AA A", "AAAA\n"] {
            assert!(is_malformed(&format!("{header}.e30.{signature}")), "{signature}");
        }
        assert!(!is_malformed(&format!("{header}.e30.AAA")));
    }

    #[test]
    fn the_type_of_another_kind_of_token_is_refused() {
        for typ in ["logout+jwt", "dpop+jwt", "JOSE", ""] {
            assert!(matches!(
                check(&format!(r#"{{"alg":"ES256","typ":"{typ}"}}"#)),
                Err(AuthRefusal::Malformed(_))
            ));
        }
    }

    #[test]
    fn a_key_id_is_a_short_text() {
        let long = "k".repeat(KID_BYTES_MAX + 1);
        assert!(matches!(
            check(&format!(r#"{{"alg":"ES256","kid":"{long}"}}"#)),
            Err(AuthRefusal::Malformed(_))
        ));
        assert!(matches!(check(r#"{"alg":"ES256","kid":7}"#), Err(AuthRefusal::Malformed(_))));
    }
}
