//! An issuer for tests: makes keys, publishes them, signs what it is given, right or wrong.

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::keys::KeySet;

/// One RSA key serves all tests: making one takes long.
static RSA: LazyLock<rsa::KeyPair> = LazyLock::new(|| rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap());

pub(super) struct Issuer {
    kid: String,
    key: PrivateKey,
}

enum PrivateKey {
    Rsa,
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Issuer {
    pub(super) fn rs256(kid: &str) -> Self {
        Self { kid: kid.into(), key: PrivateKey::Rsa }
    }

    pub(super) fn es256(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { kid: kid.into(), key: PrivateKey::Ec(pair) }
    }

    pub(super) fn ed_dsa(kid: &str) -> Self {
        Self { kid: kid.into(), key: PrivateKey::Ed(Ed25519KeyPair::generate().unwrap()) }
    }

    pub(super) fn alg(&self) -> &'static str {
        match self.key {
            PrivateKey::Rsa => "RS256",
            PrivateKey::Ec(_) => "ES256",
            PrivateKey::Ed(_) => "EdDSA",
        }
    }

    pub(super) fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.key {
            PrivateKey::Rsa => {
                let public = RSA.public_key();
                let n = public.modulus().big_endian_without_leading_zero();
                let e = public.exponent().big_endian_without_leading_zero();
                json!({ "kty": "RSA", "n": text(n), "e": text(e) })
            }
            PrivateKey::Ec(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "x": text(&point[1..33]), "y": text(&point[33..]) })
            }
            PrivateKey::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref()) })
            }
        };
        jwk["kid"] = json!(self.kid);
        jwk["alg"] = json!(self.alg());
        jwk["use"] = json!("sig");
        jwk
    }

    pub(super) fn key_set(&self) -> KeySet {
        KeySet::parse(json!({ "keys": [self.jwk()] }).to_string().as_bytes()).unwrap()
    }

    /// A token with an ordinary header.
    pub(super) fn token(&self, claims: &Value) -> String {
        self.token_with(
            &json!({ "alg": self.alg(), "typ": "JWT", "kid": self.kid }).to_string(),
            &claims.to_string(),
        )
    }

    /// A token whose header and claims are exactly these texts.
    pub(super) fn token_with(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let rng = SystemRandom::new();
        match &self.key {
            PrivateKey::Rsa => {
                let mut signature = vec![0; RSA.public_modulus_len()];
                RSA.sign(&RSA_PKCS1_SHA256, &rng, message, &mut signature).unwrap();
                signature
            }
            PrivateKey::Ec(pair) => pair.sign(&rng, message).unwrap().as_ref().to_vec(),
            PrivateKey::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}
