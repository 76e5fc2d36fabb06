//! Sockets in: listeners that come and go with the configuration, TLS, and a guard on every connection.
//!
//! Decides who may connect, what is passed on to Pingora byte by byte, and when a connection has lasted long enough.
//! Never routes and never sees a parsed request: that begins in `proxy/`.

mod accept;
mod afterwards;
mod bind;
mod carried;
mod certs;
mod connection;
mod gauge;
mod guard;
mod limits;
mod refusal;
mod set;
mod tls;

pub use accept::{CERTIFICATE_POLL, ListenerService};
pub use afterwards::{Afterwards, Errand};
pub use bind::BindError;
pub use carried::{carried, carrying};
pub use certs::{CertError, CertReload, CertStore, CertificateFiles, PEM_FILE_MAX_BYTES};
pub use connection::{ConnectionInfo, connection_info};
pub use gauge::InFlight;
pub use guard::BrokenBody;
pub use limits::{
    CONNECTIONS_MAX, HEAD_TIMEOUT, IDLE_TIMEOUT, Limits, PREFACE_TIMEOUT, SILENCE_TIMEOUT,
    TLS_HANDSHAKE_TIMEOUT,
};
pub use refusal::{Refusal, RefusalCause, RefusalSink};
pub use set::{Applied, ApplyError, CertificateReport, ListenerSet, ListenerSpec, Listening};
pub use tls::{Alpn, SESSION_CACHE_ENTRIES, TlsError, TlsSpec, TlsVersion};
