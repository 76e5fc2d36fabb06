//! The bounds that protect the process from one listener's clients.
//!
//! Names every default; never enforces one (that is `accept.rs` for connections, `guard/` for bytes).

use std::time::Duration;

use portcullis_core::framing;

/// Connections open at once, in one listener and in the whole process.
pub const CONNECTIONS_MAX: usize = 10_000;
/// From a request's first byte to the end of its head; also to the first byte of a new connection.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A kept-alive connection with no request.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// From accept to the end of the TLS handshake.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// To the end of the HTTP/2 connection preface.
pub const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);
/// An HTTP/2 connection or a tunnel on which no byte travels in either direction.
pub const SILENCE_TIMEOUT: Duration = Duration::from_secs(3600);

/// What one listener grants its clients. A zero duration would refuse everyone; the schema refuses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once on this listener; the process has its own cap beside it.
    pub max_connections: usize,
    /// How large a request's head may be; more is 414 or 431.
    pub head: framing::Limits,
    /// See [`HEAD_TIMEOUT`]. A head that misses it is answered with 408, silence is closed without a word.
    pub head_timeout: Duration,
    /// See [`IDLE_TIMEOUT`].
    pub idle_timeout: Duration,
    /// See [`TLS_HANDSHAKE_TIMEOUT`].
    pub tls_handshake_timeout: Duration,
    /// See [`PREFACE_TIMEOUT`].
    pub preface_timeout: Duration,
    /// See [`SILENCE_TIMEOUT`].
    pub silence_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: CONNECTIONS_MAX,
            head: framing::Limits::default(),
            head_timeout: HEAD_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            tls_handshake_timeout: TLS_HANDSHAKE_TIMEOUT,
            preface_timeout: PREFACE_TIMEOUT,
            silence_timeout: SILENCE_TIMEOUT,
        }
    }
}
