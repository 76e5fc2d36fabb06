//! The listeners that are wanted and the ones that run; the reload's only way to change them.
//!
//! Decides what is bound, kept, changed in place and stopped, all or nothing: everything that can fail is done
//! before anything is changed. Never accepts a connection (`accept.rs`) and never reads one (`guard/`).

use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use rustls::pki_types::CertificateDer;
use tokio::sync::{Notify, watch};

use super::bind::{self, BindError};
use super::certs::{CertError, CertReload, CertStore, Fresh};
use super::gauge::InFlight;
use super::limits::{CONNECTIONS_MAX, Limits};
use super::refusal::RefusalSink;
use super::tls::{TlsError, TlsServer, TlsSpec};

/// One listener as the configuration wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerSpec {
    /// Its name in the configuration, unique.
    pub name: Arc<str>,
    /// Where it listens; port 0 lets the system choose (see [`ListenerSet::listening`]).
    pub address: SocketAddr,
    /// TLS, or plain HTTP/1.1 and h2c on one port.
    pub tls: Option<TlsSpec>,
    /// What its clients are granted.
    pub limits: Limits,
}

/// Why a set of listeners was refused; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A listener's certificates or TLS settings cannot be used.
    #[error("listener `{listener}`: {source}")]
    Tls {
        /// The listener's name.
        listener: Arc<str>,
        /// What is wrong.
        source: TlsError,
    },
    /// Two listeners share a name or an address.
    #[error("two listeners have the {what} `{value}`")]
    Duplicate {
        /// `name` or `address`.
        what: &'static str,
        /// The shared one.
        value: String,
    },
    /// The gateway is shutting down and opens nothing any more.
    #[error("the gateway is shutting down, its listeners can no longer change")]
    Draining,
}

/// What a successful [`ListenerSet::apply`] did, by listener name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Newly bound.
    pub added: Vec<Arc<str>>,
    /// Kept as they were.
    pub kept: Vec<Arc<str>>,
    /// Socket kept; TLS, limits or name replaced for new connections.
    pub changed: Vec<Arc<str>>,
    /// No longer listening; their connections drain.
    pub removed: Vec<Arc<str>>,
}

/// What a look at all certificate files led to, by listener name.
#[derive(Debug, Default)]
pub struct CertificateReport {
    /// New handshakes use new certificates.
    pub replaced: Vec<Arc<str>>,
    /// New files cannot be used; the old certificates stay.
    pub refused: Vec<(Arc<str>, CertError)>,
}

/// A listener that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// Its name.
    pub name: Arc<str>,
    /// The address it is bound to, with the port the system chose.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Connections open on it.
    pub connections: usize,
}

/// What a new connection of a listener is served with; swapped whole by a reload.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) name: Arc<str>,
    pub(super) limits: Limits,
    pub(super) tls: Option<TlsServer>,
}

/// A bound socket on its way to its accept loop.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) socket: TcpListener,
    /// Where it is bound, with the port the system chose.
    pub(super) address: SocketAddr,
    pub(super) live: Arc<ArcSwap<Live>>,
    pub(super) in_flight: InFlight,
    /// Turns true when this listener, or the whole process, drains.
    pub(super) drain: watch::Receiver<bool>,
}

#[derive(Debug)]
struct Running {
    spec: ListenerSpec,
    address: SocketAddr,
    live: Arc<ArcSwap<Live>>,
    in_flight: InFlight,
    drain: watch::Sender<bool>,
}

impl Running {
    fn with(mut self, kept: Kept) -> Self {
        if let Some((store, fresh)) = kept.certs {
            store.adopt(fresh);
        }
        if let Some(live) = kept.live {
            self.live.store(Arc::new(live));
        }
        self.spec = kept.spec;
        self
    }
}

#[derive(Debug, Default)]
struct State {
    running: Vec<Running>,
    /// Bound, not yet taken by the service: accepted by the kernel's backlog meanwhile.
    starting: Vec<Bound>,
    draining: bool,
}

/// The handle to all listeners. Clones are the same set.
#[derive(Clone)]
pub struct ListenerSet(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    changed: Notify,
    in_flight: InFlight,
    max_connections: usize,
    sink: Arc<dyn RefusalSink>,
}

impl std::fmt::Debug for ListenerSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ListenerSet").field("listening", &self.listening()).finish()
    }
}

/// One step of a plan: a desired listener and the running one it takes over, if any.
enum Step {
    Bind(Box<(Running, Bound)>),
    Keep(Box<Kept>),
}

/// What a kept listener gets.
struct Kept {
    running_idx: usize,
    spec: ListenerSpec,
    live: Option<Live>,
    certs: Option<Renewal>,
}

/// Certificate files of a kept listener that were read again, to be used when the whole set is.
type Renewal = (Arc<CertStore>, Fresh);

impl ListenerSet {
    /// An empty set with the process-wide cap of [`CONNECTIONS_MAX`] connections.
    #[must_use]
    pub fn new(sink: Arc<dyn RefusalSink>) -> Self {
        Self::with_max_connections(sink, CONNECTIONS_MAX)
    }

    /// An empty set that never holds more than `max_connections` connections over all listeners.
    #[must_use]
    pub fn with_max_connections(sink: Arc<dyn RefusalSink>, max_connections: usize) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::default(),
            changed: Notify::new(),
            in_flight: InFlight::default(),
            max_connections,
            sink,
        }))
    }

    /// Makes the running listeners the `desired` ones: binds what is new, keeps every socket that stays, replaces TLS
    /// and limits of kept ones for their next connections, stops the rest and lets their connections drain.
    /// Certificates of unchanged TLS listeners are read again. Blocks for file reads and binds only.
    ///
    /// # Errors
    /// Nothing is changed: an address that cannot be bound, a certificate that cannot be used, two listeners with one
    /// name or address, or a shutdown in progress.
    pub fn apply(&self, desired: Vec<ListenerSpec>) -> Result<Applied, ApplyError> {
        refuse_duplicates(&desired)?;
        let mut state = self.lock();
        if state.draining {
            return Err(ApplyError::Draining);
        }
        let steps = plan(&state.running, desired)?;
        let applied = commit(&mut state, steps);
        drop(state);
        self.0.changed.notify_one();
        Ok(applied)
    }

    /// The listeners that run, in the order of the configuration.
    #[must_use]
    pub fn listening(&self) -> Vec<Listening> {
        let entry = |running: &Running| Listening {
            name: running.spec.name.clone(),
            address: running.address,
            tls: running.spec.tls.is_some(),
            connections: running.in_flight.count(),
        };
        self.lock().running.iter().map(entry).collect()
    }

    /// The certificates in use by listener: the file, and the server's own certificate in DER.
    #[must_use]
    pub fn certificates(&self) -> Vec<(Arc<str>, PathBuf, CertificateDer<'static>)> {
        let live: Vec<_> = self.lock().running.iter().map(|running| running.live.load_full()).collect();
        let of_listener = |live: &Arc<Live>| {
            let name = live.name.clone();
            let in_use = live.tls.as_ref().map(|tls| tls.certs.in_use()).unwrap_or_default();
            in_use.into_iter().map(move |(file, der)| (name.clone(), file, der))
        };
        live.iter().flat_map(of_listener).collect()
    }

    /// The open connections of all listeners, drained ones included.
    #[must_use]
    pub fn in_flight(&self) -> InFlight {
        self.0.in_flight.clone()
    }

    /// Looks at the certificate files of every listener and uses those that changed and are sound; the others stay
    /// with what they have. The service does this every [`super::CERTIFICATE_POLL`].
    #[must_use]
    pub fn reload_certificates(&self) -> CertificateReport {
        // Files are read outside the lock: a slow disk must not hold up a reload.
        let all: Vec<_> = self.lock().running.iter().map(|running| running.live.load_full()).collect();
        let mut report = CertificateReport::default();
        for live in all {
            match live.tls.as_ref().map(|tls| tls.certs.reload_if_touched()) {
                Some(Ok(CertReload::Replaced)) => report.replaced.push(live.name.clone()),
                Some(Err(refusal)) => report.refused.push((live.name.clone(), refusal)),
                Some(Ok(CertReload::Unchanged)) | None => {}
            }
        }
        report
    }

    /// Stops every listener for good and lets the connections drain: idle ones close at once, HTTP/2 is told to go away.
    /// The service does this itself when its shutdown watch turns.
    pub fn drain(&self) {
        let mut state = self.lock();
        state.draining = true;
        for running in &state.running {
            running.drain.send_replace(true);
        }
        state.running.clear();
        state.starting.clear();
    }

    pub(super) fn take_starting(&self) -> Vec<Bound> {
        std::mem::take(&mut self.lock().starting)
    }

    pub(super) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    pub(super) fn max_connections(&self) -> usize {
        self.0.max_connections
    }

    pub(super) fn sink(&self) -> &Arc<dyn RefusalSink> {
        &self.0.sink
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refuse_duplicates(desired: &[ListenerSpec]) -> Result<(), ApplyError> {
    let (mut names, mut addresses) = (HashSet::new(), HashSet::new());
    for spec in desired {
        if !names.insert(&spec.name) {
            return Err(ApplyError::Duplicate { what: "name", value: spec.name.to_string() });
        }
        if spec.address.port() != 0 && !addresses.insert(spec.address) {
            return Err(ApplyError::Duplicate { what: "address", value: spec.address.to_string() });
        }
    }
    Ok(())
}

/// Everything that can fail; changes nothing.
fn plan(running: &[Running], desired: Vec<ListenerSpec>) -> Result<Vec<Step>, ApplyError> {
    desired.into_iter().map(|spec| plan_one(running, spec)).collect()
}

fn plan_one(running: &[Running], spec: ListenerSpec) -> Result<Step, ApplyError> {
    let found = running.iter().enumerate().find(|(_, old)| continues(&old.spec, &spec));
    let Some((running_idx, old)) = found else {
        return bind(spec).map(|new| Step::Bind(Box::new(new)));
    };
    let certs = if old.spec.tls == spec.tls { renewal(old)? } else { None };
    let live = if old.spec == spec { None } else { Some(replacement(old, &spec)?) };
    Ok(Step::Keep(Box::new(Kept { running_idx, spec, live, certs })))
}

/// Whether `new` takes over the socket of `old`: the same address, and for a port the system chose the same name.
fn continues(old: &ListenerSpec, new: &ListenerSpec) -> bool {
    old.address == new.address && (new.address.port() != 0 || old.name == new.name)
}

/// Unchanged TLS settings have their files read again: a reload also picks up a renewed certificate.
fn renewal(old: &Running) -> Result<Option<Renewal>, ApplyError> {
    let Some(certs) = old.live.load().tls.as_ref().map(|tls| tls.certs.clone()) else { return Ok(None) };
    let refused =
        |refusal| ApplyError::Tls { listener: old.spec.name.clone(), source: TlsError::from(refusal) };
    let fresh = certs.read().map_err(refused)?;
    Ok(Some((certs, fresh)))
}

fn replacement(old: &Running, spec: &ListenerSpec) -> Result<Live, ApplyError> {
    let tls = if old.spec.tls == spec.tls { old.live.load().tls.clone() } else { build_tls(spec)? };
    Ok(Live { name: spec.name.clone(), limits: spec.limits.clone(), tls })
}

fn build_tls(spec: &ListenerSpec) -> Result<Option<TlsServer>, ApplyError> {
    let built = spec.tls.as_ref().map(TlsServer::build).transpose();
    built.map_err(|source| ApplyError::Tls { listener: spec.name.clone(), source })
}

fn bind(spec: ListenerSpec) -> Result<(Running, Bound), ApplyError> {
    let tls = build_tls(&spec)?;
    let (socket, address) = bind::listen(&spec.name, spec.address)?;
    let live = Live { name: spec.name.clone(), limits: spec.limits.clone(), tls };
    let live = Arc::new(ArcSwap::from_pointee(live));
    let (drain, drained) = watch::channel(false);
    let in_flight = InFlight::default();
    let bound = Bound { socket, address, live: live.clone(), in_flight: in_flight.clone(), drain: drained };
    Ok((Running { spec, address, live, in_flight, drain }, bound))
}

/// Nothing here can fail.
fn commit(state: &mut State, steps: Vec<Step>) -> Applied {
    let mut applied = Applied::default();
    let mut old: Vec<Option<Running>> = std::mem::take(&mut state.running).into_iter().map(Some).collect();
    for step in steps {
        match step {
            Step::Bind(new) => {
                let (running, bound) = *new;
                applied.added.push(running.spec.name.clone());
                state.running.push(running);
                state.starting.push(bound);
            }
            Step::Keep(kept) => {
                let Some(running) = old.get_mut(kept.running_idx).and_then(Option::take) else { continue };
                let list = if kept.live.is_some() { &mut applied.changed } else { &mut applied.kept };
                list.push(kept.spec.name.clone());
                state.running.push(running.with(*kept));
            }
        }
    }
    for gone in old.into_iter().flatten() {
        gone.drain.send_replace(true);
        applied.removed.push(gone.spec.name);
    }
    applied
}
