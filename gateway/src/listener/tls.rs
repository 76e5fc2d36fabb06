//! TLS on our side: which protocol versions, ALPN names and certificates a listener offers.
//!
//! Decides the rustls configuration of a listener and nothing about requests: that a request's host must be
//! the server name of its connection (421) is decided in `proxy/`, which reads the name from [`super::ConnectionInfo`].

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::ServerSessionMemoryCache;
use rustls::version::{TLS12, TLS13};

use super::certs::{CertError, CertStore, CertificateFiles};

/// How many sessions of clients without ticket support are remembered for resumption, per listener.
pub const SESSION_CACHE_ENTRIES: usize = 4096;

/// The oldest protocol version a listener accepts; older than 1.2 is never spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersion {
    /// TLS 1.2 and 1.3.
    #[default]
    Tls12,
    /// TLS 1.3 only.
    Tls13,
}

/// An application protocol a listener offers by ALPN (RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpn {
    /// `h2`.
    Http2,
    /// `http/1.1`.
    Http1,
}

impl Alpn {
    fn wire(self) -> Vec<u8> {
        match self {
            Self::Http2 => b"h2".to_vec(),
            Self::Http1 => b"http/1.1".to_vec(),
        }
    }
}

/// What a TLS listener offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSpec {
    /// Chosen by server name; the first answers every name that no certificate carries.
    pub certificates: Vec<CertificateFiles>,
    /// The oldest version accepted.
    pub min_version: TlsVersion,
    /// Offered protocols, most wanted first. Empty: no ALPN, HTTP/1.1 is spoken.
    pub alpn: Vec<Alpn>,
}

impl TlsSpec {
    /// TLS 1.2 and later with HTTP/2 and HTTP/1.1 on `certificates`.
    #[must_use]
    pub fn new(certificates: Vec<CertificateFiles>) -> Self {
        Self { certificates, min_version: TlsVersion::default(), alpn: vec![Alpn::Http2, Alpn::Http1] }
    }
}

/// A listener's working TLS state.
#[derive(Debug, Clone)]
pub(super) struct TlsServer {
    pub(super) config: Arc<ServerConfig>,
    pub(super) certs: Arc<CertStore>,
}

/// Why a TLS listener cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate or key file cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertError),
    /// rustls refuses the combination of versions, ciphers or ticket keys.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

impl TlsServer {
    /// Reads the certificates and builds the configuration of `spec`.
    ///
    /// # Errors
    /// A file that cannot be used, or a combination rustls refuses.
    pub(super) fn build(spec: &TlsSpec) -> Result<Self, TlsError> {
        let certs = Arc::new(CertStore::load(spec.certificates.clone())?);
        let config = server_config(spec, &certs)?;
        Ok(Self { config: Arc::new(config), certs })
    }
}

fn server_config(spec: &TlsSpec, certs: &Arc<CertStore>) -> Result<ServerConfig, rustls::Error> {
    let versions: &[&'static rustls::SupportedProtocolVersion] = match spec.min_version {
        TlsVersion::Tls12 => &[&TLS13, &TLS12],
        TlsVersion::Tls13 => &[&TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(certs.clone());
    config.alpn_protocols = spec.alpn.iter().map(|protocol| protocol.wire()).collect();
    // Tickets cost us no memory; the cache serves only clients without tickets, and is bounded. No 0-RTT:
    // `max_early_data_size` stays 0, because early data can be replayed (RFC 8446 §8).
    config.session_storage = ServerSessionMemoryCache::new(SESSION_CACHE_ENTRIES);
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(config)
}
