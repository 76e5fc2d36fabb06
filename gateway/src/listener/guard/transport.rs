//! The bytes below HTTP: a TCP socket, or TLS on one.
//!
//! Decides nothing; dispatches, and says what the handshake agreed on.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pingora_core::protocols::ALPN;
use pingora_core::protocols::tls::SslDigest;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// What a connection's HTTP bytes travel on.
#[derive(Debug)]
pub(in crate::listener) enum Transport {
    /// The socket itself.
    Plain(TcpStream),
    /// TLS after its handshake. Boxed: it is an order of magnitude larger.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    /// The server name the client asked for (SNI), in lower case.
    pub(in crate::listener) fn server_name(&self) -> Option<Arc<str>> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => tls.get_ref().1.server_name().map(|name| name.to_ascii_lowercase().into()),
        }
    }

    /// What ALPN agreed on; a TLS client without ALPN speaks HTTP/1.
    pub(super) fn alpn(&self) -> Option<ALPN> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) if tls.get_ref().1.alpn_protocol() == Some(b"h2") => Some(ALPN::H2),
            Self::Tls(_) => Some(ALPN::H1),
        }
    }

    /// Version and cipher, by which Pingora also knows that this is TLS.
    pub(super) fn tls_digest(&self) -> Option<Arc<SslDigest>> {
        let Self::Tls(tls) = self else { return None };
        let session = tls.get_ref().1;
        let version = session.protocol_version().and_then(|version| version.as_str()).unwrap_or("");
        let cipher = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("");
        Some(Arc::new(SslDigest::new(cipher, version, None, None, Vec::new())))
    }

    pub(super) fn fd(&self) -> RawFd {
        match self {
            Self::Plain(tcp) => tcp.as_raw_fd(),
            Self::Tls(tls) => tls.get_ref().0.as_raw_fd(),
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
        }
    }
}
