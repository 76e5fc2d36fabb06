//! `listeners` and `trusted_proxies`: where clients connect, and whom to believe about them.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::codes::Code;
use crate::decode::{Decoder, keys};
use crate::span::At;
use crate::value::{ByteSize, FilePath};
use crate::yaml::Node;

/// A network in CIDR form; a single address is a network of one.
pub use ipnet::IpNet as Network;

keys! {
    /// One address that clients connect to.
    pub struct Listener is "a listener" {
        /// IP and port, such as `0.0.0.0:8080` or `[::]:8080`.
        required address: Option<At<SocketAddr>>,
        /// Serve TLS here (default: plain HTTP/1.1, and HTTP/2 with prior knowledge).
        key tls: Option<At<Tls>>,
        /// Networks whose `X-Forwarded-*` headers are believed here (default: the top-level list).
        key trusted_proxies: Option<Vec<At<Network>>>,
        /// Bounds that protect the process. Each has a safe default.
        key limits: Option<At<ListenerLimits>>,
    }
    later {
        "proxy_protocol": "the PROXY protocol comes later",
        "http3": "HTTP/3 comes later",
        "acme": "certificates are read from files; fetching them comes later",
        "mtls": "client certificates come later",
    }
}

keys! {
    /// TLS of a listener: one certificate with `cert` and `key`, or several in `certificates`.
    pub struct Tls is "tls of a listener" {
        /// The certificate chain in PEM. Read again when the file changes.
        key cert: Option<At<FilePath>>,
        /// The private key in PEM. Read again when the file changes.
        key key: Option<At<FilePath>>,
        /// Several certificates; the name the client asks for (SNI) chooses, the first answers for the rest.
        key certificates: Option<Vec<At<Certificate>>>,
        /// The oldest version of TLS spoken (default `"1.2"`).
        key min_version: Option<At<TlsVersion>>,
        /// Protocols offered, preferred first (default `[h2, http/1.1]`).
        key alpn: Option<Vec<At<Alpn>>>,
    }
    later {
        "acme": "certificates are read from files; fetching them comes later",
        "client_ca": "client certificates come later",
    }
    instead {
        "ciphers": "the cipher suites of rustls are used; there is no list to keep up to date",
    }
    check check_tls;
}

keys! {
    /// A certificate and its private key.
    pub struct Certificate is "a certificate" {
        /// The certificate chain in PEM.
        required cert: Option<At<FilePath>>,
        /// The private key in PEM.
        required key: Option<At<FilePath>>,
    }
}

keys! {
    /// Bounds that protect the process. Each has a safe default.
    pub struct ListenerLimits is "limits of a listener" {
        /// Connections open at once (default `10000`). What comes beyond it is closed.
        key max_connections: Option<At<NonZeroU32>>,
        /// Size of a request's head (default `32KiB`). More is answered with 431; a request line beyond 8 KiB with 414.
        key max_header: Option<At<ByteSize>>,
        /// Header fields of a request (default `100`). More is answered with 431.
        key max_fields: Option<At<NonZeroU32>>,
        /// Time a client has to send the head of a request (default `10s`); then 408.
        key header_deadline: Option<At<Duration>>,
        /// Time a connection may stay open without a request (default `60s`).
        key idle: Option<At<Duration>>,
        /// Time a client has for the TLS handshake and the HTTP/2 preface (default `10s`).
        key handshake_deadline: Option<At<Duration>>,
    }
    later {
        "max_streams": "100 requests at once on one HTTP/2 connection; a bound of one's own comes later",
    }
}

/// The oldest TLS version of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// A protocol offered in the TLS handshake (RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alpn {
    /// HTTP/2.
    H2,
    /// HTTP/1.1.
    Http11,
}

fn check_tls(tls: &Tls, node: &Node, decoder: &mut Decoder<'_>) {
    let single = tls.cert.is_some() || tls.key.is_some();
    if let (true, Some(several)) = (single, &tls.certificates) {
        let place = several.first().map_or(node.named, |first| first.at);
        let message = "`cert` and `key` stand beside `certificates`".to_owned();
        let help = Some("move the pair into the list".to_owned());
        decoder.error(Code::Exclusive, place, message, "one or the other", help);
    } else if tls.cert.is_some() != tls.key.is_some() && !decoder.sink.covers(node.at) {
        let missing = if tls.cert.is_some() { "key" } else { "cert" };
        let message = format!("tls of a listener needs the key `{missing}` too");
        decoder.error(Code::MissingKey, node.named, message, &format!("no `{missing}` here"), None);
    } else if !single && tls.certificates.as_ref().is_none_or(Vec::is_empty) && !decoder.sink.covers(node.at)
    {
        let message = "tls of a listener names no certificate".to_owned();
        let help = Some("add `cert: FILE` and `key: FILE`, or a list in `certificates`".to_owned());
        decoder.error(Code::MissingKey, node.named, message, "no certificate", help);
    }
}
