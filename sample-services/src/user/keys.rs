//! The ES256 key that signs tokens.
//!
//! Lives in the service's data folder, readable by its owner only, so that a restart leaves every
//! token good and instances on one machine sign with the same key.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use serde_json::{Value, json};

use crate::server::StartError;

const FILE: &str = "signing-key.p8";
/// Bytes of a P-256 key in PKCS #8; more is some other file.
const FILE_BYTES_MAX: u64 = 1024;

/// What a token says.
#[derive(Debug, Serialize)]
pub(super) struct Claims {
    pub(super) iss: &'static str,
    pub(super) aud: &'static str,
    pub(super) sub: String,
    pub(super) name: String,
    pub(super) scope: String,
    pub(super) iat: u64,
    pub(super) exp: u64,
}

/// A private key and its public half as a JWK.
pub(super) struct SigningKey {
    private: EncodingKey,
    id: String,
    x: String,
    y: String,
}

/// Reads the key from `folder`, or makes one if there is none.
pub(super) fn load(folder: &Path) -> Result<SigningKey, StartError> {
    let path = folder.join(FILE);
    let der = match read(&path) {
        Ok(der) => der,
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(&path)?,
        Err(error) => return Err(StartError::Key(format!("{}: {error}", path.display()))),
    };
    SigningKey::from_pkcs8(&der)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut der = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut der)?;
    Ok(der)
}

/// Makes a key; if another instance was faster, its key is the one.
fn make(path: &Path) -> Result<Vec<u8>, StartError> {
    let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .map_err(|_| StartError::Key("no key could be generated".to_owned()))?;
    // Written whole under a name of its own and then linked into place: nobody reads half a key.
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(made.as_ref())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error.into()),
        Ok(()) | Err(_) => Ok(read(path)?),
    }
}

impl SigningKey {
    fn from_pkcs8(der: &[u8]) -> Result<Self, StartError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
            .map_err(|error| StartError::Key(format!("{FILE} is not a P-256 key in PKCS #8: {error}")))?;
        // An uncompressed point: 4, then x and y of 32 bytes each (SEC 1, §2.3.3).
        let [4, point @ ..] = pair.public_key().as_ref() else {
            return Err(StartError::Key("the public key is compressed".to_owned()));
        };
        let (x, y) = point.split_at(point.len() / 2);
        let [id, x, y] = [digest(&SHA256, point).as_ref(), x, y].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        Ok(Self { private: EncodingKey::from_ec_der(der), id, x, y })
    }

    pub(super) fn sign(&self, claims: &Claims) -> jsonwebtoken::errors::Result<String> {
        let header = Header { kid: Some(self.id.clone()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &self.private)
    }

    /// The public half, as RFC 7517 writes it.
    pub(super) fn public_jwk(&self) -> Value {
        json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.id, "x": self.x, "y": self.y })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_survives_a_restart_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = load(folder.path()).unwrap();
        assert_eq!(load(folder.path()).unwrap().id, first.id);
        let mode = std::fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a draft was left behind");
    }

    #[test]
    fn a_file_that_is_no_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "hello").unwrap();
        let error = load(folder.path()).err().unwrap().to_string();
        assert!(error.contains(FILE), "{error}");
    }
}
