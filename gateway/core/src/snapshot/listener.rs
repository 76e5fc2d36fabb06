//! Where clients connect.
//!
//! Decides the bounds of a listener when the document leaves them open. Never opens a socket or reads a file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use portcullis_schema::{Alpn, TlsVersion};

use crate::headers::TrustedProxies;

/// One address that clients connect to.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Its name.
    pub name: Arc<str>,
    /// IP and port.
    pub address: SocketAddr,
    /// TLS, or plain HTTP.
    pub tls: Option<ListenerTls>,
    /// Networks whose word about a client's address is believed.
    pub trusted_proxies: TrustedProxies,
    /// Bounds that protect the process.
    pub limits: ListenerLimits,
}

/// TLS of a listener. Paths are as written: relative ones belong to the main file's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// At least one; the first answers for names that no other has.
    pub certificates: Vec<CertificateFiles>,
    /// The oldest version spoken.
    pub min_version: TlsVersion,
    /// Protocols offered, preferred first.
    pub alpn: Vec<Alpn>,
}

/// A certificate chain and its private key, both in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain.
    pub cert: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// Bounds of one listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Connections open at once.
    pub connections_max: u32,
    /// Bytes of a request's head.
    pub header_bytes_max: u64,
    /// Fields of a request's head.
    pub fields_max: u32,
    /// Time to send the head of a request.
    pub header_deadline: Duration,
    /// Time a connection may stay open without a request.
    pub idle: Duration,
    /// Time for the TLS handshake and the HTTP/2 preface.
    pub handshake_deadline: Duration,
}

impl Default for ListenerLimits {
    /// The bounds that the documentation names.
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            header_bytes_max: 32 * 1024,
            fields_max: 100,
            header_deadline: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            handshake_deadline: Duration::from_secs(10),
        }
    }
}
