//! An endpoint and the time it is given, as a Pingora peer.
//!
//! Sets every option that Pingora leaves open: what is not said here has no bound there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora_core::connectors::l4::Connect;
use pingora_core::upstreams::peer::HttpPeer;
use portcullis_schema::Protocol;

use super::connect::TimedConnect;

/// Concurrent HTTP/2 streams on one connection to an endpoint. Pingora's own default is one.
const H2_STREAMS_MAX: usize = 100;

/// How long an idle HTTP/2 connection is kept for reuse; for HTTP/1 the connection's timer says so.
const H2_IDLE: Duration = Duration::from_secs(55);

thread_local! {
    /// Each peer takes a share of it; one for each thread, so that workers do not all count on one counter.
    static TIMED_CONNECT: Arc<dyn Connect + Send + Sync> = Arc::new(TimedConnect);
}

/// What one attempt is given.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    /// To open a connection.
    pub connect: Duration,
    /// Over HTTP/2: longest silence of the endpoint, and the whole wait for the head of its reply. Over HTTP/1 that is the
    /// connection's timer's: a bound of Pingora's would arm and drop a timer for every request.
    pub h2_read: Duration,
    /// Longest wait for the endpoint to take bytes.
    pub write: Duration,
}

/// The peer for one attempt. `group` keeps the connections of different upstreams apart.
#[must_use]
pub fn peer(address: SocketAddr, protocol: Protocol, group: u64, allowance: Allowance) -> Box<HttpPeer> {
    // A socket address resolves to itself: no DNS here, unlike a host name, which would block.
    let mut peer = HttpPeer::new(address, false, String::new());
    peer.group_key = group;
    let options = &mut peer.options;
    options.connection_timeout = Some(allowance.connect);
    options.total_connection_timeout = Some(allowance.connect);
    options.write_timeout = Some(allowance.write);
    options.max_h2_streams = H2_STREAMS_MAX;
    match protocol {
        Protocol::Http1 => {
            options.set_http_version(1, 1);
            options.custom_l4 = Some(TIMED_CONNECT.with(Arc::clone));
        }
        Protocol::H2c => {
            options.set_http_version(2, 2);
            options.read_timeout = Some(allowance.h2_read);
            options.idle_timeout = Some(H2_IDLE);
        }
    }
    Box::new(peer)
}
