//! An issuer's public keys, read from a JWK set (RFC 7517).
//!
//! Decides which keys of a published set may verify tokens here. Symmetric keys never do: a public key must not be
//! usable as a shared secret. One odd key spoils only itself, and the reason is kept for the operator.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::strict;
use super::token::KID_BYTES_MAX;

/// The largest key set, in bytes. The shell must not read more than one byte beyond.
pub const JWKS_BYTES_MAX: usize = 256 * 1024;

/// The most keys in a set.
pub const JWKS_KEYS_MAX: usize = 64;

/// RSA moduli that may verify, in bits: less is broken, more is a way to burn CPU.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A signature algorithm (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Every algorithm a gate may accept.
    pub const ALL: [Algorithm; 3] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];

    /// The algorithm of this registered name, letter for letter.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The registered name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Rs256 => "RS256",
            Algorithm::Es256 => "ES256",
            Algorithm::EdDsa => "EdDSA",
        }
    }

    const fn library(self) -> jsonwebtoken::Algorithm {
        match self {
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// A public key that may verify tokens of one algorithm.
pub(super) struct Key {
    kid: Option<Arc<str>>,
    algorithm: Algorithm,
    material: DecodingKey,
}

impl Key {
    /// Whether the signature (canonical base64url) is this key's for the signed bytes.
    pub(super) fn verifies(&self, signed: &[u8], signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, signed, &self.material, self.algorithm.library())
            .unwrap_or(false)
    }
}

/// The keys of one published set that may verify tokens.
pub struct KeySet {
    keys: Vec<Key>,
    skipped: Vec<SkippedKey>,
    digest: [u8; 32],
    /// Set when the set is published: tokens verified under another generation are not hot any more.
    pub(super) generation: u64,
}

/// A key of a published set that is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedKey {
    /// Its place in the set, from zero.
    pub idx: usize,
    /// Its id, if it has one.
    pub kid: Option<Arc<str>>,
    /// Why it is not used.
    pub reason: &'static str,
}

/// A key set that is not used at all; the one before it stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeySetError {
    /// It is larger than [`JWKS_BYTES_MAX`].
    #[error("the key set is larger than {JWKS_BYTES_MAX} bytes")]
    TooLarge,
    /// It is not a JSON object with a list `keys`.
    #[error("the key set is not a json object with a list `keys`")]
    NotAKeySet,
    /// It has more than [`JWKS_KEYS_MAX`] keys.
    #[error("the key set has more than {JWKS_KEYS_MAX} keys")]
    TooMany,
    /// No key in it can verify a token.
    #[error("the key set has no usable key")]
    NoneUsable,
}

impl KeySet {
    /// Reads a published set.
    ///
    /// # Errors
    /// A [`KeySetError`] if the whole set is of no use, which includes an empty one: an issuer that publishes no key
    /// is more often broken than closed, and its old keys expire with its tokens.
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        if json.len() > JWKS_BYTES_MAX {
            return Err(KeySetError::TooLarge);
        }
        let document = strict::object(json).ok_or(KeySetError::NotAKeySet)?;
        let Some(Value::Array(entries)) = document.get("keys") else {
            return Err(KeySetError::NotAKeySet);
        };
        if entries.len() > JWKS_KEYS_MAX {
            return Err(KeySetError::TooMany);
        }
        let digest = Sha256::digest(json).into();
        let mut set = Self { keys: Vec::new(), skipped: Vec::new(), digest, generation: 0 };
        for (idx, entry) in entries.iter().enumerate() {
            if let Err(reason) = set.add(entry) {
                let kid = entry.get("kid").and_then(Value::as_str).filter(|kid| kid.len() <= KID_BYTES_MAX);
                set.skipped.push(SkippedKey { idx, kid: kid.map(Arc::from), reason });
            }
        }
        if set.keys.is_empty() { Err(KeySetError::NoneUsable) } else { Ok(set) }
    }

    /// The keys that are not used, each with its reason.
    #[must_use]
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }

    /// How many keys may verify.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key may verify; never true of a set that was parsed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether both sets were published as the same bytes.
    #[must_use]
    pub fn is_same_as(&self, other: &KeySet) -> bool {
        self.digest == other.digest
    }

    /// The key for a token. Without a key id, there must be one key only of that algorithm.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let mut candidates = self
            .keys
            .iter()
            .filter(|key| key.algorithm == algorithm && (kid.is_none() || key.kid.as_deref() == kid));
        let found = candidates.next()?;
        if candidates.next().is_some() { None } else { Some(found) }
    }

    fn add(&mut self, entry: &Value) -> Result<(), &'static str> {
        let Value::Object(jwk) = entry else { return Err("not a json object") };
        check_purpose(jwk)?;
        let kid = match jwk.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= KID_BYTES_MAX => Some(Arc::from(kid.as_str())),
            Some(_) => return Err("`kid` is not a short text"),
        };
        let (algorithm, material) = read_material(jwk)?;
        if !jwk.get("alg").is_none_or(|alg| names(alg, algorithm)) {
            return Err("`alg` is not supported for this kind of key");
        }
        if self.keys.iter().any(|key| key.kid == kid && key.algorithm == algorithm) {
            return Err("another key has the same `kid` and algorithm");
        }
        self.keys.push(Key { kid, algorithm, material });
        Ok(())
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kids: Vec<_> = self.keys.iter().map(|key| (&key.kid, key.algorithm)).collect();
        f.debug_struct("KeySet").field("keys", &kids).field("skipped", &self.skipped).finish_non_exhaustive()
    }
}

/// RFC 9864 gives Ed25519 a name of its own; issuers publish either.
fn names(alg: &Value, algorithm: Algorithm) -> bool {
    alg == algorithm.name() || (algorithm == Algorithm::EdDsa && alg == "Ed25519")
}

fn check_purpose(jwk: &Map<String, Value>) -> Result<(), &'static str> {
    if jwk.contains_key("d") || jwk.contains_key("k") {
        return Err("it holds a secret, which must not be published");
    }
    if !jwk.get("use").is_none_or(|purpose| purpose == "sig") {
        return Err("`use` is not `sig`");
    }
    let verifies = |ops: &Value| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify"));
    if !jwk.get("key_ops").is_none_or(verifies) {
        return Err("`key_ops` does not include `verify`");
    }
    Ok(())
}

fn read_material(jwk: &Map<String, Value>) -> Result<(Algorithm, DecodingKey), &'static str> {
    let curve = jwk.get("crv").and_then(Value::as_str);
    match (jwk.get("kty").and_then(Value::as_str), curve) {
        (Some("RSA"), _) => {
            let (n, e) = (number(jwk, "n")?, number(jwk, "e")?);
            check_rsa(&n, &e)?;
            Ok((Algorithm::Rs256, DecodingKey::from_rsa_raw_components(&n, &e)))
        }
        (Some("EC"), Some("P-256")) => {
            let (x, y) = (number(jwk, "x")?, number(jwk, "y")?);
            if x.len() != 32 || y.len() != 32 {
                return Err("a P-256 coordinate has 32 bytes");
            }
            let point = [&[4][..], &x, &y].concat();
            Ok((Algorithm::Es256, DecodingKey::from_ec_der(&point)))
        }
        (Some("OKP"), Some("Ed25519")) => {
            let x = number(jwk, "x")?;
            if x.len() != 32 {
                return Err("an Ed25519 key has 32 bytes");
            }
            Ok((Algorithm::EdDsa, DecodingKey::from_ed_der(&x)))
        }
        (Some("EC" | "OKP"), _) => Err("the curve is not supported"),
        (Some(_), _) => Err("the kind of key is not supported"),
        (None, _) => Err("it has no `kty`"),
    }
}

fn number(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, &'static str> {
    let text = jwk.get(name).and_then(Value::as_str).ok_or("a part of the key is missing")?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| "a part of the key is not canonical base64url")
}

fn check_rsa(n: &[u8], e: &[u8]) -> Result<(), &'static str> {
    let first = n.iter().position(|byte| *byte != 0).unwrap_or(n.len());
    let bits = n.get(first).map_or(0, |top| (n.len() - first) * 8 - top.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Err("an RSA modulus has 2048 to 8192 bits");
    }
    let is_odd = e.last().is_some_and(|low| low & 1 == 1);
    let is_one = e.iter().rev().skip(1).all(|byte| *byte == 0) && e.last() == Some(&1);
    if !is_odd || is_one || e.len() > 8 {
        return Err("the RSA exponent is not a small odd number above one");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::issuer::Issuer;
    use super::*;

    fn skipped(entry: Value) -> &'static str {
        let good = Issuer::es256("good").jwk();
        let set = KeySet::parse(json!({ "keys": [good, entry] }).to_string().as_bytes()).unwrap();
        assert_eq!(set.len(), 1);
        set.skipped()[0].reason
    }

    fn with(mut jwk: Value, name: &str, value: Value) -> Value {
        jwk[name] = value;
        jwk
    }

    #[test]
    fn keys_of_every_algorithm_are_read() {
        let keys = [Issuer::rs256("r").jwk(), Issuer::es256("e").jwk(), Issuer::ed_dsa("d").jwk()];
        let set = KeySet::parse(json!({ "keys": keys, "more": 1 }).to_string().as_bytes()).unwrap();
        assert_eq!((set.len(), set.skipped()), (3, &[][..]));
        assert!(set.find(Some("r"), Algorithm::Rs256).is_some());
        assert!(set.find(Some("r"), Algorithm::Es256).is_none());
        assert!(set.find(None, Algorithm::EdDsa).is_some());
        assert!(set.find(Some("x"), Algorithm::EdDsa).is_none());
    }

    #[test]
    fn a_token_without_key_id_needs_a_single_key() {
        let keys = [Issuer::es256("a").jwk(), Issuer::es256("b").jwk()];
        let set = KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap();
        assert!(set.find(None, Algorithm::Es256).is_none());
        assert!(set.find(Some("b"), Algorithm::Es256).is_some());
    }

    #[test]
    fn an_unusable_key_is_skipped_with_its_reason() {
        let es = || Issuer::es256("k").jwk();
        assert_eq!(skipped(json!(1)), "not a json object");
        assert_eq!(skipped(json!({})), "it has no `kty`");
        assert_eq!(
            skipped(json!({"kty": "oct", "k": "AAAA"})),
            "it holds a secret, which must not be published"
        );
        assert_eq!(skipped(json!({"kty": "oct"})), "the kind of key is not supported");
        assert_eq!(skipped(with(es(), "d", json!("AAAA"))), "it holds a secret, which must not be published");
        assert_eq!(skipped(with(es(), "use", json!("enc"))), "`use` is not `sig`");
        assert_eq!(skipped(with(es(), "key_ops", json!(["sign"]))), "`key_ops` does not include `verify`");
        assert_eq!(skipped(with(es(), "crv", json!("P-384"))), "the curve is not supported");
        assert_eq!(skipped(with(es(), "x", json!("AAAA"))), "a P-256 coordinate has 32 bytes");
        assert_eq!(skipped(with(es(), "x", json!("A="))), "a part of the key is not canonical base64url");
        assert_eq!(skipped(with(es(), "y", json!(null))), "a part of the key is missing");
        assert_eq!(skipped(with(es(), "alg", json!("HS256"))), "`alg` is not supported for this kind of key");
        assert_eq!(skipped(with(es(), "kid", json!(7))), "`kid` is not a short text");
        assert_eq!(skipped(with(es(), "kid", json!("good"))), "another key has the same `kid` and algorithm");
    }

    #[test]
    fn a_weak_rsa_key_is_skipped() {
        let rsa = || Issuer::rs256("k").jwk();
        let short = URL_SAFE_NO_PAD.encode([0xff; 128]);
        assert_eq!(skipped(with(rsa(), "n", json!(short))), "an RSA modulus has 2048 to 8192 bits");
        let padded = URL_SAFE_NO_PAD.encode([vec![0; 128], vec![0xff; 128]].concat());
        assert_eq!(skipped(with(rsa(), "n", json!(padded))), "an RSA modulus has 2048 to 8192 bits");
        for e in ["AQ", "AAAB", "Ag", ""] {
            let reason = skipped(with(rsa(), "e", json!(e)));
            assert_eq!(reason, "the RSA exponent is not a small odd number above one", "{e}");
        }
    }

    #[test]
    fn a_set_that_is_of_no_use_is_refused_whole() {
        assert_eq!(KeySet::parse(b"<html>").unwrap_err(), KeySetError::NotAKeySet);
        assert_eq!(KeySet::parse(b"{}").unwrap_err(), KeySetError::NotAKeySet);
        assert_eq!(KeySet::parse(br#"{"keys":[],"keys":[]}"#).unwrap_err(), KeySetError::NotAKeySet);
        assert_eq!(KeySet::parse(br#"{"keys":[]}"#).unwrap_err(), KeySetError::NoneUsable);
        assert_eq!(KeySet::parse(&vec![b' '; JWKS_BYTES_MAX + 1]).unwrap_err(), KeySetError::TooLarge);
        let many = json!({ "keys": vec![json!({}); JWKS_KEYS_MAX + 1] }).to_string();
        assert_eq!(KeySet::parse(many.as_bytes()).unwrap_err(), KeySetError::TooMany);
    }
}
