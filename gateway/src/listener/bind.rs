//! One listening socket, or a clear word on why there is none.
//!
//! Decides the socket's options and the way out that is shown with a refusal; never accepts.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};

/// Connections the kernel may hold for us before we accept them; it cuts this to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("listener `{listener}` cannot listen on {address}: {source}; {help}")]
pub struct BindError {
    /// The listener's name.
    pub listener: Arc<str>,
    /// The address it wants.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
    /// The way out, lower case, no full stop.
    pub help: String,
}

/// Listens on `address`; also returns the address with the port the system chose if it was 0.
pub(super) fn listen(
    listener: &Arc<str>,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), BindError> {
    open(address).map_err(|source| BindError {
        listener: listener.clone(),
        address,
        help: help_for(&source, address),
        source,
    })
}

fn open(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Without it a restart would fail while old connections sit in TIME_WAIT. SO_REUSEPORT is refused on purpose:
    // a second gateway on the same port must be told so, not share the traffic in silence.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from(socket);
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn help_for(refusal: &io::Error, address: SocketAddr) -> String {
    let port = address.port();
    if refusal.kind() == io::ErrorKind::AddrInUse {
        format!(
            "another process holds port {port} (`ss -ltnp` shows which), or at a reload a listener that goes away with it; choose another port, or stop what holds it first"
        )
    } else if refusal.kind() == io::ErrorKind::PermissionDenied {
        format!("port {port} is privileged; choose one from 1024 up, or grant CAP_NET_BIND_SERVICE")
    } else if refusal.kind() == io::ErrorKind::AddrNotAvailable {
        format!(
            "no interface of this machine has {}; use one that has, or 0.0.0.0 or [::] for all",
            address.ip()
        )
    } else {
        "choose another address".to_owned()
    }
}
