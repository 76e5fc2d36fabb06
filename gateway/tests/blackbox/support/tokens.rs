//! An issuer of ES256 tokens whose keys are made here.

use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::{Act, Answer, Upstream};

/// One key pair at a time; its public half is served as a JWKS.
pub(crate) struct Issuer {
    kid: Mutex<String>,
    key: Mutex<rcgen::KeyPair>,
}

impl Issuer {
    pub(crate) fn new(kid: &str) -> Arc<Self> {
        Arc::new(Self {
            kid: Mutex::new(kid.to_owned()),
            key: Mutex::new(rcgen::KeyPair::generate().unwrap()),
        })
    }

    /// Signs with a new key from now on.
    pub(crate) fn rotate(&self, kid: &str) {
        *self.key.lock().unwrap() = rcgen::KeyPair::generate().unwrap();
        kid.clone_into(&mut self.kid.lock().unwrap());
    }

    /// A server of the keys.
    pub(crate) fn serve(self: &Arc<Self>) -> Upstream {
        let issuer = self.clone();
        Upstream::start(move |_| issuer.jwks())
    }

    /// The keys, as served.
    pub(crate) fn jwks(&self) -> Act {
        let key = self.key.lock().unwrap();
        // An uncompressed point: 0x04, then both coordinates (SEC 1 §2.3.3).
        let point = key.public_key_raw();
        let coordinate = |from: usize| URL_SAFE_NO_PAD.encode(&point[from..from + 32]);
        let kid = self.kid.lock().unwrap().clone();
        let keys = json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid,
            "x": coordinate(1), "y": coordinate(33),
        }] });
        Act::Reply(Answer::new(200, &keys.to_string()).with("content-type", "application/json"))
    }

    /// A token with these claims beside `iss`, `aud` and `exp`, which they may replace.
    pub(crate) fn token(&self, claims: &Value) -> String {
        let mut all = json!({ "iss": "https://issuer.test", "aud": "shop", "exp": 4_000_000_000_u64 });
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.kid.lock().unwrap().clone());
        let key = EncodingKey::from_ec_der(&self.key.lock().unwrap().serialize_der());
        encode(&header, &all, &key).unwrap()
    }
}
