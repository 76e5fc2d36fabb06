//! The parts list: builds everything once, in order, and runs it until it is told to stop.
//!
//! Whatever can fail fails here, before the first connection is taken, with a message that says
//! the way out. Long-lived work starts only from here.

mod doors;
mod signals;
mod told;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora_core::apps::HttpServerOptions;
use pingora_core::protocols::http::v2::server::default_h2_options;
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{RunArgs, Server};
use pingora_proxy::{HttpProxy, http_proxy};
use portcullis_core::headers::via::Via;
use portcullis_core::limit::LimitSeed;
use portcullis_core::snapshot::{AccessLog as AccessLogSettings, Boot, Carried};
use portcullis_discovery::Source;
use portcullis_discovery::consul::ConsulSource;
use portcullis_plugin_sdk::Catalog;
use portcullis_schema::{FileSource, Overlay, Style};
use thiserror::Error;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use crate::admin::{STREAMS_MAX, Tokens, TokensError};
use crate::catalogue::Catalogue;
use crate::follow::Follow;
use crate::listener::{ListenerService, ListenerSet};
use crate::live::Live;
use crate::operator::Operator;
use crate::proxy::{Gateway, Proxy, Reveal};
use crate::readiness::Readiness;
use crate::reload::{
    self, Candidate, Disk, Recorded, Recorder, Refusal, Reloader, candidate, listener_specs,
};
use crate::revisions::{Revisions, Store, StoreError};
use crate::state_dir::{AdminToken, StateDir, StateDirError};
use crate::store::jwks;
use crate::telemetry::access_log::{AccessLog, Destination, SampledLog};
use crate::telemetry::log_level::LogLevel;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::refusals::Refusals;
use crate::{entropy, housekeeping};
use doors::Doors;
use told::Told;

/// Attempts of one request that Pingora allows, over all policies and fallbacks; the routes' own
/// bounds are smaller.
const ATTEMPTS_MAX: usize = 32;
/// Idle connections to upstreams that are kept, for each worker thread.
const POOL_SIZE: usize = 512;
/// Longest wait for the first answers of the registry before traffic is taken.
const FIRST_ANSWERS_WAIT: Duration = Duration::from_secs(5);
/// Longest wait for issuers' keys before traffic is taken.
const FIRST_KEYS_WAIT: Duration = Duration::from_secs(2);
/// An HTTP/2 connection without streams is closed after this long.
const H2_IDLE: Duration = Duration::from_secs(60);
/// Requests on one HTTP/1.1 connection before it is closed, so that no connection lasts for ever.
const REQUESTS_PER_CONNECTION: u32 = 10_000;
/// HTTP/2 receive windows: one stream, and the connection. The protocol's own 64 KiB throttles uploads.
const H2_STREAM_WINDOW: u32 = 256 << 10;
const H2_CONNECTION_WINDOW: u32 = 1 << 20;
/// Longest wait for a connection to an issuer of tokens.
const ISSUER_CONNECT_WAIT: Duration = Duration::from_secs(2);

/// What the command line says.
#[derive(Debug)]
pub struct Options {
    /// The configuration's main file.
    pub config: PathBuf,
    /// The environment at start.
    pub env: BTreeMap<String, String>,
    /// `--state-dir`.
    pub state_dir: Option<PathBuf>,
    /// `--watch`: reload when the files change.
    pub watch: bool,
    /// `--reveal`: replies say how they came about.
    pub reveal: Reveal,
    /// Worker threads; one a core if `None`.
    pub threads: Option<usize>,
    /// Longest wait for requests in progress when told to stop.
    pub grace: Duration,
    /// The plugins of this binary.
    pub catalog: Catalog,
    /// The level of the log, which the admin API may change.
    pub log_level: Arc<LogLevel>,
}

/// Why the gateway did not start.
#[derive(Debug, Error)]
pub enum BootError {
    /// The configuration cannot be used.
    #[error("{}", .0.rendered(Style::Plain))]
    Config(Box<Refusal>),
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateDirError),
    /// A token of the admin API cannot be used.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The overlay in it cannot be used.
    #[error(transparent)]
    Overlay(#[from] StoreError),
    /// One of the two service doors cannot be opened.
    #[error(
        "`{key}` cannot listen on {address}: {source}; stop what listens there, or set `{key}: {{ address: … }}`"
    )]
    Door {
        /// `admin` or `metrics`.
        key: &'static str,
        /// The address asked for.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The admin API's socket cannot be made.
    #[error("`admin.socket`: {path}: {source}; move what is there, or set another path", path = path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A listener cannot be opened.
    #[error("{0}")]
    Listener(String),
    /// The access log cannot be written.
    #[error("`telemetry.access_log.path`: {path} cannot be opened for appending: {source}", path = path.display())]
    AccessLog {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The settings of the registry cannot be used.
    #[error("`discovery.consul`: {0}")]
    Discovery(String),
    /// The operating system refused something every process needs.
    #[error("{what}: {reason}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// Why not.
        reason: String,
    },
}

/// Starts the gateway and serves until it is told to stop and has drained.
///
/// # Errors
/// Why it did not start; nothing is listening then.
pub fn run(options: Options) -> Result<(), BootError> {
    // The first to install a provider wins; libraries that try later are refused, as they should be.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let seed = LimitSeed([entropy::number(), entropy::number()]);
    let state = StateDir::open(options.state_dir.as_deref(), &options.env)?;
    let store = Arc::new(Store::open(state.path())?);
    let overlay = store.current()?;
    let recorder = Recorder::over(&Disk);
    let (env, catalog) = (&options.env, &options.catalog);
    let carried = Carried::nothing(seed);
    let candidate = candidate(&options.config, &recorder, overlay.as_ref(), env, catalog, &carried)
        .map_err(|refusal| BootError::Config(Box::new(refusal)))?;
    warn(&candidate);
    let token = state.admin_token()?;
    let origin = Origin { files: recorder.finish(), overlay, store };
    let parts = assemble(options, candidate, origin, &state, &token)?;
    announce(&parts, &state, &token);
    serve(parts)
}

/// What the first configuration was made of.
struct Origin {
    files: Recorded,
    overlay: Option<Overlay>,
    store: Arc<Store>,
}

/// Everything that is built before anything runs.
struct Parts {
    control: Runtime,
    service: ListenerService<HttpProxy<Proxy>>,
    listeners: ListenerSet,
    gateway: Arc<Gateway>,
    reloader: Arc<Reloader>,
    follow: Arc<Follow>,
    fetcher: jwks::JwksFetcher,
    readiness: Arc<Readiness>,
    tokens: Arc<Tokens>,
    doors: Doors,
    told: Told,
    conf: ServerConf,
    grace: Duration,
    watch: bool,
}

fn assemble(
    options: Options,
    candidate: Candidate,
    origin: Origin,
    state: &StateDir,
    token: &AdminToken,
) -> Result<Parts, BootError> {
    let boot = candidate.snapshot.boot.clone();
    let directory = options.config.parent().unwrap_or(Path::new(""));
    let tokens = Tokens::open(&token.value, &boot.admin.tokens, directory, state.path())?;
    let metrics = Arc::new(Metrics::new().map_err(|error| system("metrics", &error))?);
    let access_log = open_access_log(boot.access_log.as_ref(), &options.config, &metrics)?;
    let log = access_log.map(Arc::new);
    let doors = Doors::open(&boot, directory)?;
    let told = Told::new(options.log_level.clone());
    let refusals = Refusals::new(metrics.clone(), log.clone(), told.recent.clone());
    let listeners = ListenerSet::new(Arc::new(refusals));
    let specs = listener_specs(candidate.snapshot.listeners.values(), &options.config);
    listeners.apply(specs).map_err(|error| BootError::Listener(error.to_string()))?;
    let control = runtime()?;
    let source = registry(&boot, state, &options, control.handle().clone())?;
    metrics.show_generation(candidate.snapshot.generation);
    let live = Arc::new(ArcSwap::from_pointee(Live::new(candidate.snapshot, metrics.clone())));
    let handle = control.handle().clone();
    let follow = Arc::new(Follow::new(source, live.clone(), told.events.clone(), handle));
    let client = reqwest::Client::builder().connect_timeout(ISSUER_CONNECT_WAIT).no_proxy().build();
    let (jwks, fetcher) =
        jwks::keeper(live.clone(), follow.clone(), client.map_err(|error| system("HTTP client", &error))?);
    let via = Via::new(&format!("portcullis-{:08x}", entropy::number() as u32))
        .ok_or(BootError::System { what: "node id", reason: "not a token".to_owned() })?;
    let gateway = Arc::new(Gateway {
        live: live.clone(),
        via,
        metrics: metrics.clone(),
        access_log: log,
        recent: told.recent.clone(),
        jwks,
        reveal: options.reveal,
    });
    let parts = reload::Parts {
        root: options.config,
        env: options.env,
        catalog: options.catalog,
        live,
        listeners: listeners.clone(),
        follow: follow.clone(),
        metrics,
        store: origin.store,
        events: told.events.clone(),
    };
    let reloader = Arc::new(Reloader::new(parts, origin.files, origin.overlay));
    let conf = server_conf(options.threads);
    let service = ListenerService::new(Arc::new(http(&gateway, options.threads)), listeners.clone());
    Ok(Parts {
        control,
        service,
        listeners,
        gateway,
        reloader,
        follow,
        fetcher,
        readiness: Arc::default(),
        tokens: Arc::new(tokens),
        doors,
        told,
        conf,
        grace: options.grace,
        watch: options.watch,
    })
}

/// Pingora's proxy with every bound that it leaves open.
fn http(gateway: &Arc<Gateway>, threads: Option<usize>) -> HttpProxy<Proxy> {
    let mut proxy = http_proxy(&Arc::new(server_conf(threads)), Proxy(gateway.clone()));
    let mut server = HttpServerOptions::default();
    server.h2c = true;
    server.keepalive_request_limit = Some(REQUESTS_PER_CONNECTION);
    server.h2_idle_timeout = Some(H2_IDLE);
    proxy.server_options = Some(server);
    // From the defaults: a fresh set of options would lose their bounds on header lists and streams.
    let mut h2 = default_h2_options();
    h2.initial_window_size(H2_STREAM_WINDOW).initial_connection_window_size(H2_CONNECTION_WINDOW);
    proxy.h2_options = Some(h2);
    proxy
}

fn server_conf(threads: Option<usize>) -> ServerConf {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    ServerConf {
        threads: threads.unwrap_or(cores),
        max_retries: ATTEMPTS_MAX,
        upstream_keepalive_pool_size: POOL_SIZE,
        // We drain ourselves, so that an idle gateway stops at once.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    }
}

fn runtime() -> Result<Runtime, BootError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|error| system("control threads", &error))
}

fn registry(
    boot: &Boot,
    state: &StateDir,
    options: &Options,
    runtime: tokio::runtime::Handle,
) -> Result<Arc<dyn Source>, BootError> {
    let directory = options.config.parent().unwrap_or(Path::new(""));
    let settings = doors::consul_settings(&boot.consul, directory, state.path())?;
    let source = ConsulSource::new(settings, runtime, entropy::number());
    Ok(Arc::new(source.map_err(|error| BootError::Discovery(error.to_string()))?))
}

fn open_access_log(
    settings: Option<&AccessLogSettings>,
    config: &Path,
    metrics: &Metrics,
) -> Result<Option<SampledLog>, BootError> {
    let Some(AccessLogSettings { path, sample }) = settings else { return Ok(None) };
    // Like every path in the configuration, relative to its main file.
    let path = path.as_ref().map(|path| config.parent().unwrap_or(Path::new("")).join(path));
    let destination = path.clone().map_or(Destination::Stdout, Destination::File);
    let lines = AccessLog::open(&destination, metrics.log_lines_dropped.clone())
        .map_err(|source| BootError::AccessLog { path: path.unwrap_or_default(), source })?;
    Ok(Some(SampledLog { lines, share: *sample }))
}

fn warn(candidate: &Candidate) {
    if !candidate.warnings.is_empty() {
        let text = portcullis_schema::render(&candidate.warnings, &candidate.sources, Style::Plain);
        tracing::warn!("the configuration has warnings\n{text}");
    }
}

fn announce(parts: &Parts, state: &StateDir, token: &AdminToken) {
    for listening in parts.listeners.listening() {
        tracing::info!(listener = %listening.name, address = %listening.address, tls = listening.tls, "listening");
    }
    parts.doors.announce();
    tracing::info!(state_dir = %state.path().display(), "state directory in use");
    if token.is_new {
        tracing::info!(token = %token.value, "admin token made; it is shown this once and kept in the state directory");
    }
}

/// Runs the parts until the process is told to stop; then lets requests finish and stops.
fn serve(parts: Parts) -> Result<(), BootError> {
    let Parts { control, service, listeners, gateway, reloader, follow, fetcher, readiness, told, .. } =
        parts;
    let stopping = told.stopping.clone();
    let revisions = Arc::new(Revisions::new(reloader.clone(), gateway.metrics.clone()));
    let operator = Arc::new(Operator {
        live: gateway.live.clone(),
        reloader: reloader.clone(),
        follow: follow.clone(),
        listeners: listeners.clone(),
        metrics: gateway.metrics.clone(),
        readiness: readiness.clone(),
        catalogue: Catalogue::default(),
        explaining: Semaphore::new(1),
        events: told.events.clone(),
        recent: told.recent.clone(),
        streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        log_level: told.log_level.clone(),
        stopping: stopping.clone(),
        tokens: parts.tokens,
        started: crate::clock::now(),
        revisions: revisions.clone(),
    });
    control.spawn(revisions.clone().watch());
    control.spawn(housekeeping::run(gateway.live.clone()));
    told.start(&control, gateway.live.clone(), &revisions);
    let socket = parts.doors.serve(&control, operator);
    follow.reconcile();
    let silent = control.block_on(follow.first_answers(FIRST_ANSWERS_WAIT));
    if !silent.is_empty() {
        tracing::warn!(services = ?silent, "the registry has not answered yet; going on without it");
    }
    let mut fetcher = fetcher;
    let primed = control.block_on(async { tokio::time::timeout(FIRST_KEYS_WAIT, fetcher.prime()).await });
    if primed.is_err() {
        tracing::warn!("an issuer of tokens has not answered yet; going on without its keys");
    }
    control.spawn(fetcher.run());
    control.spawn(signals::hangup(reloader.clone()));
    if parts.watch {
        control.spawn(signals::changes(reloader));
    }
    let mut server = Server::new_with_opt_and_conf(None, parts.conf);
    server.bootstrap();
    server.add_service(service);
    // From here on a signal drains; whoever is told that the gateway is ready may send one.
    let asked = control.block_on(async { signals::Asked::listen() }).into();
    readiness.ready();
    let stop = signals::Stop { listeners, readiness, grace: parts.grace, asked, stopping };
    server.run(RunArgs { shutdown_signal: Box::new(stop) });
    if let Some(log) = &gateway.access_log {
        log.lines.close();
    }
    control.shutdown_background();
    drop(socket);
    tracing::info!("stopped");
    Ok(())
}

fn system(what: &'static str, reason: &dyn std::error::Error) -> BootError {
    BootError::System { what, reason: reason.to_string() }
}

/// Reads a configuration the way `run` does, without starting anything.
///
/// # Errors
/// Every error at once.
pub fn check(
    config: &Path,
    files: &(dyn FileSource + Sync),
    overlay: Option<&Overlay>,
    env: &BTreeMap<String, String>,
    catalog: &Catalog,
) -> Result<Candidate, Refusal> {
    candidate(config, files, overlay, env, catalog, &Carried::nothing(LimitSeed([0; 2])))
}
