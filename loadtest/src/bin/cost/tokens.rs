//! Signed tokens for the route that wants them, and the key that verifies them.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

/// Who issues the tokens.
pub(crate) const ISSUER: &str = "https://auth.bench.example";
/// For whom they are.
pub(crate) const AUDIENCE: &str = "bench";
/// How long they are good for, in seconds: longer than any run.
const LIFETIME_S: u64 = 86_400;
const KEY_ID: &str = "bench-1";

/// `count` ES256 tokens (RFC 7515, RFC 7518 §3.4) of different subjects, and the JWKS (RFC 7517) for them.
pub(crate) fn make(count: usize) -> Result<(Vec<String>, String), String> {
    let failed = |what: &str| format!("cannot {what} a key for the tokens");
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| failed("make"))?;
    // An uncompressed point: 4, then x and y of 32 bytes each (SEC 1 §2.3.3).
    let point = pair.public_key().as_ref();
    let (Some(x), Some(y)) = (point.get(1..33), point.get(33..65)) else { return Err(failed("read")) };
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let key = json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": KEY_ID, "x": encode(x), "y": encode(y) });
    let header = encode(json!({ "alg": "ES256", "typ": "JWT", "kid": KEY_ID }).to_string().as_bytes());
    let (random, issued) = (SystemRandom::new(), unix_s());
    let tokens: Result<Vec<String>, String> = (0..count)
        .map(|number| {
            let claims = json!({
                "iss": ISSUER, "aud": AUDIENCE, "sub": format!("user-{number}"),
                "iat": issued, "exp": issued + LIFETIME_S, "scope": "orders:read orders:write",
            });
            let signed = format!("{header}.{}", encode(claims.to_string().as_bytes()));
            let signature = pair.sign(&random, signed.as_bytes()).map_err(|_| failed("sign with"))?;
            Ok(format!("{signed}.{}", encode(signature.as_ref())))
        })
        .collect();
    Ok((tokens?, json!({ "keys": [key] }).to_string()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "tokens carry the time they were made; this is where it is read"
)]
fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_have_three_parts() {
        let (tokens, jwks) = make(3).unwrap();
        assert!(tokens.iter().all(|token| token.split('.').count() == 3));
        assert_ne!(tokens[0], tokens[1]);
        assert!(jwks.contains("\"crv\":\"P-256\""));
    }
}
