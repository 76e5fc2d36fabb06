//! From settings to a served, registered and gracefully stopped service.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use axum::{Router, middleware};
use futures_util::future::join_all;
use reqwest::Client;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use utoipa_axum::router::OpenApiRouter;

use crate::events::{BadBusUrl, ConnectError};
use crate::logs::{self, HEALTH_PATH, Logs};
use crate::mischief::{self, BadCrash, Crash, Switches};
use crate::openapi;
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
    /// `BUS_URL` names no bus.
    #[error(transparent)]
    BusUrl(#[from] BadBusUrl),
    /// The bus cannot be had.
    #[error(transparent)]
    Bus(#[from] ConnectError),
    /// `CRASH_AT` names no crash.
    #[error("CRASH_AT: {0}")]
    Crash(#[from] BadCrash),
}

/// What a service is built from.
#[derive(Debug)]
pub struct Start {
    /// Its settings.
    pub settings: Settings,
    /// The HTTP client it may use.
    pub client: Client,
    /// Turns true when the service is asked to stop.
    pub stopping: watch::Receiver<bool>,
    /// How the service misbehaves, if it was told to.
    pub switches: Switches,
}

/// Something a service does beside answering. It ends soon after [`Start::stopping`] turns true.
pub type Background = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A service, built: what it answers, and what it does beside.
pub struct Service {
    router: OpenApiRouter,
    background: Vec<Background>,
    tags: Vec<String>,
}

impl Service {
    /// A service that only answers.
    #[must_use]
    pub fn new(router: impl Into<OpenApiRouter>) -> Self {
        Self { router: router.into(), background: Vec::new(), tags: Vec::new() }
    }

    /// Does this beside answering.
    #[must_use]
    pub fn with_background(mut self, work: impl Future<Output = ()> + Send + 'static) -> Self {
        self.background.push(Box::pin(work));
        self
    }

    /// Registers under this tag too.
    #[must_use]
    pub fn with_tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// What it is made of.
    #[cfg(test)]
    pub(crate) fn into_parts(self) -> (OpenApiRouter, Vec<Background>, Vec<String>) {
        (self.router, self.background, self.tags)
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("tags", &self.tags)
            .field("background", &self.background.len())
            .finish()
    }
}

/// Runs a service until SIGTERM or SIGINT; the whole `main` of each of the four binaries.
#[must_use]
pub fn main<B>(name: &'static str, build: B) -> ExitCode
where
    B: AsyncFnOnce(&Start) -> Result<Service, StartError>,
{
    let logs = Logs::new(name);
    logs.install();
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(StartError::from)
        .and_then(|runtime| runtime.block_on(run(name, &logs, build)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            ExitCode::FAILURE
        }
    }
}

async fn run<B>(name: &'static str, logs: &Logs, build: B) -> Result<(), StartError>
where
    B: AsyncFnOnce(&Start) -> Result<Service, StartError>,
{
    // The first to install a provider wins; a second attempt by a library is harmless.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let settings = Settings::from_environment()?;
    let client = Client::builder().connect_timeout(Duration::from_secs(1)).build()?;
    let (stop, stopping) = watch::channel(false);
    let start = Start { settings, client, stopping, switches: Switches::default() };
    mischief::arm(start.settings.variables.text("CRASH_AT").map(|text| Crash::parse(&text)).transpose()?);
    let service = build(&start).await?;
    let listen = start.settings.listen;
    let listener =
        TcpListener::bind(listen).await.map_err(|source| StartError::Listen { address: listen, source })?;
    let address = listener.local_addr()?;
    logs.serving_at(address);
    tracing::info!(%address, "serving");
    serve(name, start, stop, service, listener, address).await
}

async fn serve(
    name: &'static str,
    start: Start,
    stop: watch::Sender<bool>,
    service: Service,
    listener: TcpListener,
    address: SocketAddr,
) -> Result<(), StartError> {
    let Start { settings, client, stopping, switches } = start;
    let may_misbehave = mischief::is_allowed(&settings.variables)?;
    let Service { router, background, mut tags } = service;
    tags.extend(settings.version_tag);
    let (close, mut closing) = watch::channel(false);
    let registered = settings.consul.as_deref().map(|agent| {
        let registration =
            Registration::new(client, agent, settings.consul_token.clone(), name, address, tags);
        spawn(registration.keep(stopping))
    });
    let background: Vec<_> = background.into_iter().map(spawn).collect();
    let app = app(if may_misbehave { switches.around(router) } else { router });
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
    if tokio::time::timeout(DRAIN_MAX, join_all(background)).await.is_err() {
        tracing::warn!("stopped with work still running in the background");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Everything that every service answers, around what only this one does.
pub(crate) fn app(service: OpenApiRouter) -> Router {
    openapi::described(service.route(HEALTH_PATH, get(|| async { "ok\n" })))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(logs::told))
}

async fn asked_to_stop() -> Result<(), StartError> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "`serve` awaits every task before the process ends")]
fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> tokio::task::JoinHandle<T> {
    tokio::spawn(task)
}
