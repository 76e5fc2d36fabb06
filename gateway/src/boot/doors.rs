//! The two service doors, and the settings of the registry's client.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use axum::Router;
use portcullis_core::snapshot::{Consul, KeptSecret};
use portcullis_discovery::consul::ConsulSettings;
use portcullis_discovery::consul::client::TokenSource;
use portcullis_discovery::consul::query::Consistency;
use portcullis_discovery::fail_static::LossPolicy;
use portcullis_schema as schema;

use super::BootError;

/// Bytes of a file of certificates or a key.
const PEM_BYTES_MAX: u64 = 4 << 20;

/// Opens a door.
pub(super) fn open(key: &'static str, address: SocketAddr) -> Result<TcpListener, BootError> {
    TcpListener::bind(address)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .map_err(|source| BootError::Door { key, address, source })
}

/// Serves a door for as long as the process lives.
pub(super) async fn serve(key: &'static str, door: TcpListener, routes: Router) {
    let served = match tokio::net::TcpListener::from_std(door) {
        Ok(door) => axum::serve(door, routes.into_make_service_with_connect_info::<SocketAddr>()).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        tracing::error!(door = key, %error, "a service door is closed");
    }
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
