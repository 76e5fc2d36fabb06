//! The service doors, and the settings of the registry's client.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis_core::snapshot::{Boot, Consul, KeptSecret};
use portcullis_discovery::consul::ConsulSettings;
use portcullis_discovery::consul::client::TokenSource;
use portcullis_discovery::consul::query::Consistency;
use portcullis_discovery::fail_static::LossPolicy;
use portcullis_schema as schema;
use tokio::runtime::Runtime;

use super::BootError;
use crate::door_server;
use crate::operator::Operator;

/// Bytes of a file of certificates or a key.
const PEM_BYTES_MAX: u64 = 4 << 20;

/// The doors that are not for clients, open and not yet served.
pub(super) struct Doors {
    admin: TcpListener,
    metrics: TcpListener,
    socket: Option<(UnixListener, SocketFile)>,
}

/// A socket in the file system; it goes with the process.
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Gone already, or in the way of nobody: the next start replaces it.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Doors {
    /// Opens all of them; paths are relative to `directory`.
    pub(super) fn open(boot: &Boot, directory: &Path) -> Result<Self, BootError> {
        let admin = open("admin", boot.admin.address)?;
        let metrics = open("metrics", boot.metrics)?;
        let socket = boot.admin.socket.as_ref().map(|path| open_socket(directory.join(path))).transpose()?;
        Ok(Self { admin, metrics, socket })
    }

    /// Says where they are.
    pub(super) fn announce(&self) {
        for (door, listener) in [("admin", &self.admin), ("metrics", &self.metrics)] {
            if let Ok(address) = listener.local_addr() {
                tracing::info!(door, %address, "listening");
            }
        }
        if let Some((_, file)) = &self.socket {
            tracing::info!(door = "admin", socket = %file.0.display(), "listening");
        }
    }

    /// Serves them for as long as the runtime lives; what is returned belongs to the process's end.
    pub(super) fn serve(self, runtime: &Runtime, operator: Arc<Operator>) -> Option<SocketFile> {
        runtime.spawn(door_server::serve("metrics", self.metrics, crate::probes::routes(operator.clone())));
        let routes = crate::admin::routes(operator);
        runtime.spawn(door_server::serve("admin", self.admin, routes.clone()));
        let (listener, file) = self.socket?;
        runtime.spawn(door_server::serve_local("admin", listener, routes));
        Some(file)
    }
}

fn open_socket(path: PathBuf) -> Result<(UnixListener, SocketFile), BootError> {
    match door_server::open_local(&path) {
        Ok(listener) => Ok((listener, SocketFile(path))),
        Err(source) => Err(BootError::Socket { path, source }),
    }
}

/// Opens a door.
fn open(key: &'static str, address: SocketAddr) -> Result<TcpListener, BootError> {
    TcpListener::bind(address)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .map_err(|source| BootError::Door { key, address, source })
}

/// How the registry is asked.
pub(super) fn consul_settings(
    consul: &Consul,
    directory: &Path,
    state: &Path,
) -> Result<ConsulSettings, BootError> {
    let mut settings = ConsulSettings::new(&*consul.address);
    settings.client.token = match &consul.token {
        None => TokenSource::None,
        Some(KeptSecret::Value(token)) => TokenSource::Value(token.reveal().clone()),
        Some(KeptSecret::File(path)) => TokenSource::File(directory.join(path)),
    };
    settings.client.datacenter = consul.datacenter.as_deref().map(str::to_owned);
    settings.client.ca_pem =
        consul.ca_file.as_deref().map(|file| read_pem("tls.ca", &directory.join(file))).transpose()?;
    settings.client.identity_pem =
        consul.client_certificate.as_ref().map(|pair| read_identity(pair, directory)).transpose()?;
    settings.query.consistency = match consul.consistency {
        schema::Consistency::Default => Consistency::Default,
        schema::Consistency::Stale => Consistency::Stale,
        schema::Consistency::Consistent => Consistency::Consistent,
    };
    settings.query.wait = consul.wait;
    settings.brake.policy = LossPolicy::Grace(consul.empty_grace);
    settings.state_dir = Some(state.to_path_buf());
    Ok(settings)
}

/// The certificate, then its key: the order the client wants them in.
fn read_identity((cert, key): &(PathBuf, PathBuf), directory: &Path) -> Result<Vec<u8>, BootError> {
    let mut pem = read_pem("tls.cert", &directory.join(cert))?;
    pem.push(b'\n');
    pem.extend(read_pem("tls.key", &directory.join(key))?);
    Ok(pem)
}

fn read_pem(key: &str, file: &Path) -> Result<Vec<u8>, BootError> {
    let mut pem = Vec::new();
    let read = std::fs::File::open(file).and_then(|open| open.take(PEM_BYTES_MAX).read_to_end(&mut pem));
    match read {
        Ok(_) => Ok(pem),
        Err(error) => Err(BootError::Discovery(format!("`{key}`: cannot read {}: {error}", file.display()))),
    }
}
