//! Certificates from PEM files, chosen by server name, replaced on disk without a restart.
//!
//! Decides which certificate answers a ClientHello and whether a set of files can be used at all. A file set
//! that cannot be used never replaces one that could; a handshake in progress keeps what it started with.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The largest PEM file that is read, in bytes; a chain with its key is a few KiB.
pub const PEM_FILE_MAX_BYTES: u64 = 1024 * 1024;

/// One certificate chain and its key, as files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// PEM file: the certificate of the server, then its intermediates.
    pub cert: PathBuf,
    /// PEM file: the private key (PKCS#8, PKCS#1 or SEC1), not encrypted. May be the same file.
    pub key: PathBuf,
}

/// Why a pair of files cannot be used. Never contains key material.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// The listener names no certificate at all.
    #[error("a TLS listener needs at least one certificate")]
    None,
    /// The file cannot be read.
    #[error("cannot read `{}`: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is larger than [`PEM_FILE_MAX_BYTES`].
    #[error("`{}` is larger than 1 MiB: this is no PEM certificate or key", file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
    },
    /// The file is not PEM, or a section of it is broken.
    #[error("`{}` is not valid PEM: {detail}", file.display())]
    Pem {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The file holds no `BEGIN CERTIFICATE` section.
    #[error("`{}` holds no certificate: expected a `BEGIN CERTIFICATE` section", file.display())]
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// The file holds no private key, or only an encrypted one.
    #[error(
        "`{}` holds no private key: expected a `BEGIN PRIVATE KEY` section that is not encrypted",
        file.display()
    )]
    NoKey {
        /// The file.
        file: PathBuf,
    },
    /// The first certificate is not one X.509 version 3 certificate of a server.
    #[error("the first certificate in `{}` cannot be used: {detail}", file.display())]
    BadCertificate {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The key is of a kind we do not speak.
    #[error("the key in `{}` cannot be used: {detail}", file.display())]
    BadKey {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The key belongs to another certificate.
    #[error("the key in `{}` does not belong to the certificate in `{}`", key.display(), cert.display())]
    Mismatch {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
    },
}

/// What a look at the files led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertReload {
    /// The files say what they said.
    Unchanged,
    /// New handshakes use new certificates.
    Replaced,
}

/// The certificates of one listener.
#[derive(Debug)]
pub struct CertStore {
    files: Vec<CertificateFiles>,
    index: ArcSwap<Index>,
    /// The stamps of the last attempt, successful or not, so that one bad write is reported once.
    stamps: Mutex<Vec<Stamp>>,
}

/// Certificates that were read and can be used, but are not used yet.
#[derive(Debug)]
pub(super) struct Fresh(Index);

/// When a file was last written and how long it is; `None` if it is not there.
type Stamp = Option<(SystemTime, u64)>;

/// Names to certificates, built whole and swapped whole.
#[derive(Debug)]
struct Index {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// Keyed by what follows `*.`: one label is left open, no more (RFC 9525 §6.3).
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    fallback: Arc<CertifiedKey>,
    chains: Vec<Vec<CertificateDer<'static>>>,
}

impl CertStore {
    /// Reads all of `files`.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn load(files: Vec<CertificateFiles>) -> Result<Self, CertError> {
        // The stamps are taken first: a write between the two is seen at the next look, not missed.
        let stamps = stamps_of(&files);
        let index = Index::read(&files)?;
        Ok(Self { files, index: ArcSwap::from_pointee(index), stamps: Mutex::new(stamps) })
    }

    /// Reads the files without using them yet: the half of a reload that can fail.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub(super) fn read(&self) -> Result<Fresh, CertError> {
        *self.stamps.lock().unwrap_or_else(PoisonError::into_inner) = stamps_of(&self.files);
        Index::read(&self.files).map(Fresh)
    }

    /// Uses what [`CertStore::read`] brought, from the next handshake on.
    pub(super) fn adopt(&self, fresh: Fresh) -> CertReload {
        if fresh.0.chains == self.index.load().chains {
            return CertReload::Unchanged;
        }
        self.index.store(Arc::new(fresh.0));
        CertReload::Replaced
    }

    /// Reads the files again, whatever their stamps say.
    ///
    /// # Errors
    /// The first file that cannot be used; the certificates in use stay.
    pub fn reload(&self) -> Result<CertReload, CertError> {
        self.read().map(|fresh| self.adopt(fresh))
    }

    /// Reads the files again if one of them was written since the last attempt.
    ///
    /// # Errors
    /// As [`CertStore::reload`]; the same bad write is reported once.
    pub fn reload_if_touched(&self) -> Result<CertReload, CertError> {
        let touched = *self.stamps.lock().unwrap_or_else(PoisonError::into_inner) != stamps_of(&self.files);
        if touched { self.reload() } else { Ok(CertReload::Unchanged) }
    }

    /// The certificates in use, each with the file it came from, in the order of the list.
    #[must_use]
    pub fn in_use(&self) -> Vec<(PathBuf, CertificateDer<'static>)> {
        let index = self.index.load();
        let first = |(files, chain): (&CertificateFiles, &Vec<CertificateDer<'static>>)| {
            Some((files.cert.clone(), chain.first()?.clone()))
        };
        self.files.iter().zip(&index.chains).filter_map(first).collect()
    }

    /// The certificate for `server_name`: exact, then wildcard, then the first of the list.
    fn choose(&self, server_name: Option<&str>) -> Arc<CertifiedKey> {
        let index = self.index.load();
        let Some(name) = server_name.map(str::to_ascii_lowercase) else {
            return index.fallback.clone();
        };
        let by_wildcard = || name.split_once('.').and_then(|(_, parent)| index.wildcard.get(parent));
        index.exact.get(&name).or_else(by_wildcard).unwrap_or(&index.fallback).clone()
    }
}

impl ResolvesServerCert for CertStore {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.choose(hello.server_name()))
    }
}

impl Index {
    fn read(files: &[CertificateFiles]) -> Result<Self, CertError> {
        let loaded = files.iter().map(read_pair).collect::<Result<Vec<_>, _>>()?;
        let fallback = loaded.first().map(|pair| pair.key.clone()).ok_or(CertError::None)?;
        let mut index =
            Self { exact: HashMap::new(), wildcard: HashMap::new(), fallback, chains: Vec::new() };
        for pair in loaded {
            index.add_names(&pair);
            index.chains.push(pair.key.cert.clone());
        }
        Ok(index)
    }

    /// The first certificate that carries a name keeps it: the order of the list is the user's choice.
    fn add_names(&mut self, pair: &Pair) {
        for name in &pair.names {
            let (map, name) = match name.strip_prefix("*.") {
                Some(parent) => (&mut self.wildcard, parent),
                None => (&mut self.exact, name.as_str()),
            };
            map.entry(name.to_ascii_lowercase()).or_insert_with(|| pair.key.clone());
        }
    }
}

struct Pair {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
}

fn read_pair(files: &CertificateFiles) -> Result<Pair, CertError> {
    let chain = read_chain(&files.cert)?;
    let names = names_of(&files.cert, &chain)?;
    let key_der = read_key(&files.key)?;
    let provider = aws_lc_rs::default_provider();
    let signer = provider
        .key_provider
        .load_private_key(key_der)
        .map_err(|refusal| CertError::BadKey { file: files.key.clone(), detail: refusal.to_string() })?;
    let key = CertifiedKey::new(chain, signer);
    match key.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(_) => {
            return Err(CertError::Mismatch { cert: files.cert.clone(), key: files.key.clone() });
        }
    }
    Ok(Pair { key: Arc::new(key), names })
}

fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, CertError> {
    let pem = read_bounded(file)?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|broken| CertError::Pem { file: file.to_owned(), detail: broken.to_string() })?;
    if chain.is_empty() {
        return Err(CertError::NoCertificate { file: file.to_owned() });
    }
    Ok(chain)
}

fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>, CertError> {
    use rustls::pki_types::pem::Error;
    let pem = read_bounded(file)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|refusal| {
        let file = file.to_owned();
        // The refusal's words name sections and offsets, never key bytes.
        if matches!(refusal, Error::NoItemsFound) {
            CertError::NoKey { file }
        } else {
            CertError::Pem { file, detail: refusal.to_string() }
        }
    })
}

fn names_of(file: &Path, chain: &[CertificateDer<'static>]) -> Result<Vec<String>, CertError> {
    let Some(first) = chain.first() else {
        return Err(CertError::NoCertificate { file: file.to_owned() });
    };
    let parsed = webpki::EndEntityCert::try_from(first).map_err(|refusal| CertError::BadCertificate {
        file: file.to_owned(),
        detail: refusal.to_string(),
    })?;
    Ok(parsed.valid_dns_names().map(str::to_owned).collect())
}

fn read_bounded(file: &Path) -> Result<Vec<u8>, CertError> {
    let unreadable = |source| CertError::Read { file: file.to_owned(), source };
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(unreadable)?;
    opened.take(PEM_FILE_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > PEM_FILE_MAX_BYTES {
        return Err(CertError::TooLarge { file: file.to_owned() });
    }
    Ok(bytes)
}

fn stamps_of(files: &[CertificateFiles]) -> Vec<Stamp> {
    files.iter().flat_map(|pair| [&pair.cert, &pair.key]).map(|file| stamp_of(file)).collect()
}

fn stamp_of(file: &Path) -> Stamp {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
