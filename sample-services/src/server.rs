//! From settings to a served, registered and gracefully stopped service.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use reqwest::Client;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::register::Registration;
use crate::settings::{BadSetting, Settings};
use crate::store::StoreError;

/// Longest body any of the services takes.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Time between leaving the registry and closing the door: gateways hear of it in the meantime.
const LEAVE_AHEAD: Duration = Duration::from_millis(500);
/// Longest wait for requests that are still running when the service stops.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Why a service could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A variable of the environment cannot be used.
    #[error(transparent)]
    Setting(#[from] BadSetting),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address is taken or not ours.
    #[error(
        "cannot listen on {address}: {source}; set LISTEN to another address, or to port 0 for a free one"
    )]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The operating system refused something else.
    #[error(transparent)]
    System(#[from] std::io::Error),
    /// The HTTP client cannot be built.
    #[error("the HTTP client cannot be built: {0}")]
    Client(#[from] reqwest::Error),
    /// A signing key cannot be made or read.
    #[error("the signing key cannot be used: {0}")]
    Key(String),
}

/// Builds a service's routes from its settings and the HTTP client it may use.
pub type Build = fn(&Settings, &Client) -> Result<Router, StartError>;

/// Runs a service until SIGTERM or SIGINT; the whole `main` of each of the four binaries.
#[must_use]
pub fn main(name: &'static str, build: Build) -> ExitCode {
    tracing_subscriber::fmt().json().with_max_level(tracing::Level::INFO).with_writer(std::io::stderr).init();
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(StartError::from)
        .and_then(|runtime| runtime.block_on(run(name, build)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(service = name, %error, "cannot start");
            ExitCode::FAILURE
        }
    }
}

async fn run(name: &'static str, build: Build) -> Result<(), StartError> {
    // The first to install a provider wins; a second attempt by a library is harmless.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let settings = Settings::from_environment()?;
    let client = Client::builder().connect_timeout(Duration::from_secs(1)).build()?;
    let app = build(&settings, &client)?
        .route("/healthz", get(|| async { "ok\n" }))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let listener = TcpListener::bind(settings.listen)
        .await
        .map_err(|source| StartError::Listen { address: settings.listen, source })?;
    let address = listener.local_addr()?;
    tracing::info!(service = name, %address, "serving");
    serve(name, &settings, client, app, listener, address).await
}

async fn serve(
    name: &'static str,
    settings: &Settings,
    client: Client,
    app: Router,
    listener: TcpListener,
    address: SocketAddr,
) -> Result<(), StartError> {
    let (stop, stopping) = watch::channel(false);
    let (close, mut closing) = watch::channel(false);
    let registered = settings.consul.as_deref().map(|agent| {
        let (token, tag) = (settings.consul_token.clone(), settings.version_tag.as_deref());
        spawn(Registration::new(client, agent, token, name, address, tag).keep(stopping))
    });
    let until_closed = async move {
        let _ = closing.wait_for(|closed| *closed).await;
    };
    let server = spawn(async move { axum::serve(listener, app).with_graceful_shutdown(until_closed).await });
    asked_to_stop().await?;
    let _ = stop.send(true);
    if let Some(registered) = registered {
        let _ = registered.await;
        tokio::time::sleep(LEAVE_AHEAD).await;
    }
    let _ = close.send(true);
    match tokio::time::timeout(DRAIN_MAX, server).await {
        Ok(Ok(served)) => served?,
        Ok(Err(_)) | Err(_) => tracing::warn!("stopped with requests still running"),
    }
    tracing::info!(service = name, "stopped");
    Ok(())
}

async fn asked_to_stop() -> Result<(), StartError> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "both tasks are awaited by `serve` before the process ends")]
fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> tokio::task::JoinHandle<T> {
    tokio::spawn(task)
}
