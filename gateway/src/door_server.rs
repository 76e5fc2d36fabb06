//! The sockets of the service doors: accepts, keeps time and ends what takes too long.
//!
//! Knows bounds and deadlines, not operations. A head that does not come, a reader that does not read and one client
//! with very many connections cost the others nothing.

mod patient;

use std::convert::Infallible;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;

use patient::Patient;

/// Connections of one door; more are closed at once.
const CONNECTIONS_MAX: usize = 256;
/// Longest wait for a head, and for the next request on a connection.
const HEAD_WAIT: Duration = Duration::from_secs(10);
/// Largest head of a request.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// Fields of a head.
const FIELDS_MAX: usize = 100;
/// What the kernel holds for a reader that does not read.
const SEND_BUFFER_BYTES: usize = 64 << 10;
/// Pause after a failed accept: file descriptors have run out, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Somebody on the network.
    Remote(SocketAddr),
    /// A process of this machine, run by this user.
    Local {
        /// The user's id, as the kernel says.
        uid: u32,
    },
}

/// Serves connections to an address for as long as the process lives.
pub async fn serve(door: &'static str, listener: std::net::TcpListener, routes: Router) {
    match TcpListener::from_std(listener) {
        Ok(listener) => serve_all(door, listener, routes).await,
        Err(error) => closed(door, &error),
    }
}

/// Serves connections to a socket of the file system for as long as the process lives.
pub async fn serve_local(door: &'static str, listener: std::os::unix::net::UnixListener, routes: Router) {
    match UnixListener::from_std(listener) {
        Ok(listener) => serve_all(door, listener, routes).await,
        Err(error) => closed(door, &error),
    }
}

fn closed(door: &'static str, error: &io::Error) {
    tracing::error!(door, %error, "a service door is closed");
}

/// What connections come from.
trait Source {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    type Address;

    /// The next connection.
    async fn accept(&self) -> io::Result<(Self::Stream, Self::Address)>;

    /// Who is at its other end, once the stream is made ready.
    fn greet(stream: &Self::Stream, address: Self::Address) -> io::Result<Peer>;
}

impl Source for TcpListener {
    type Stream = TcpStream;
    type Address = SocketAddr;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        Self::accept(self).await
    }

    fn greet(stream: &TcpStream, address: SocketAddr) -> io::Result<Peer> {
        // Without either the door works as well, if less evenly.
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(stream).set_send_buffer_size(SEND_BUFFER_BYTES);
        Ok(Peer::Remote(address))
    }
}

impl Source for UnixListener {
    type Stream = UnixStream;
    type Address = tokio::net::unix::SocketAddr;

    async fn accept(&self) -> io::Result<(UnixStream, Self::Address)> {
        Self::accept(self).await
    }

    fn greet(stream: &UnixStream, _unnamed: Self::Address) -> io::Result<Peer> {
        stream.peer_cred().map(|peer| Peer::Local { uid: peer.uid() })
    }
}

async fn serve_all<S: Source>(door: &'static str, listener: S, routes: Router) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = open.join_next(), if !open.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) if open.len() < CONNECTIONS_MAX => match S::greet(&stream, address) {
                    Ok(peer) => {
                        open.spawn(connection(stream, peer, routes.clone()));
                    }
                    Err(error) => tracing::warn!(door, %error, "the kernel does not say who connects"),
                },
                Ok(_too_many) => {}
                Err(error) => pause(door, &error).await,
            },
        }
    }
}

async fn pause(door: &'static str, error: &io::Error) {
    tracing::warn!(door, %error, "a connection could not be accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// Serves one connection until either side ends it.
async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    routes: Router,
) {
    let routes = TowerToHyperService::new(routes);
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let answer = routes.call(request.map(Body::new));
        async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(FIELDS_MAX)
        .serve_connection(TokioIo::new(Patient::new(stream)), answer)
        .await;
    if let Err(error) = served {
        tracing::debug!(?peer, %error, "a connection to a service door ended");
    }
}

/// Opens a socket in the file system that only its owner may connect to.
///
/// # Errors
/// When another process listens there, when something else is there, or when it cannot be made.
pub fn open_local(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is no socket is there"));
        }
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"));
        }
        // Left by a process that was killed.
        Ok(_) => fs::remove_file(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    // Who connects is asked of the kernel in any case; the mode only says so earlier.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let first = open_local(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(open_local(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        drop(open_local(&path).unwrap());
        let file = folder.path().join("file");
        fs::write(&file, "precious").unwrap();
        assert_eq!(open_local(&file).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }
}
