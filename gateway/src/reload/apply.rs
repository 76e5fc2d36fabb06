//! One path from files to traffic, for every door.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use portcullis_core::framing;
use portcullis_core::snapshot::{
    Carried, Listener, RouteTestResult, Snapshot, Writes, compile, run_route_tests,
};
use portcullis_plugin_sdk::Catalog;
use portcullis_schema::{
    Alpn, Diagnostic, FileSource, Loaded, Overlay, Sources, Style, TlsVersion, load, load_with,
};
use serde_json::json;
use tokio::sync::watch;

use super::record::{Recorded, Recorder};
use super::report::{Outcome, Refusal, Report};
use super::session::{InUse, Session};
use crate::clock;
use crate::events::{Events, Kind};
use crate::follow::Follow;
use crate::listener::{self, ListenerSet, ListenerSpec};
use crate::live::Live;
use crate::revisions::{Pending, Store};
use crate::telemetry::metrics::Metrics;

/// A configuration that could be put into use.
#[derive(Debug)]
pub struct Candidate {
    /// What it means.
    pub snapshot: Snapshot,
    /// What it says that is probably not meant; warnings only.
    pub warnings: Vec<Diagnostic>,
    /// Its files.
    pub sources: Arc<Sources>,
}

/// Reads, compiles and tests a configuration; changes nothing.
///
/// Works on a thread of its own, which ends with it: the text and the tree of ten thousand routes
/// are several times as large as what they mean, and an allocator gives the memory of a thread back
/// when the thread is gone.
///
/// # Errors
/// Every error at once, or every route test that fails.
pub fn candidate(
    root: &Path,
    files: &(dyn FileSource + Sync),
    overlay: Option<&Overlay>,
    env: &BTreeMap<String, String>,
    catalog: &Catalog,
    carried: &Carried,
) -> Result<Candidate, Refusal> {
    on_own_thread(|| meaning(load_with(root, files, env, overlay), catalog, carried))
}

/// Works on a thread that ends with the work, and gives its memory back.
pub(super) fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    // A panic in there is a bug of ours; it goes on as the caller's.
    let result = std::thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    portcullis_allocator::give_back_free_memory();
    result
}

/// What was read, compiled and tested.
fn meaning(loaded: Loaded, catalog: &Catalog, carried: &Carried) -> Result<Candidate, Refusal> {
    let compiled = compile(&loaded, catalog, carried);
    let Loaded { document, sources, .. } = loaded;
    let sources = Arc::new(sources);
    let Some(snapshot) = compiled.snapshot else {
        return Err(Refusal::Invalid { diagnostics: compiled.diagnostics, sources });
    };
    let failed: Vec<Diagnostic> = run_route_tests(&document, &snapshot)
        .iter()
        .flat_map(|result| result.diagnostics().collect::<Vec<_>>())
        .collect();
    if !failed.is_empty() {
        return Err(Refusal::TestsFailed { diagnostics: failed, sources });
    }
    Ok(Candidate { snapshot, warnings: compiled.diagnostics, sources })
}

/// Puts configurations into use, one at a time.
#[derive(Debug)]
pub struct Reloader {
    pub(super) parts: Parts,
    /// Held through a reload or a change: two never mix. The data path never takes it.
    in_use: Mutex<InUse>,
    last: Mutex<Option<Outcome>>,
    /// What is told of what is in use, so that nobody has to wait for the lock to read it.
    standing: watch::Sender<Standing>,
}

/// Which revision of the overlay is in use, and whether it is on trial.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// The revision; 0 for the files alone.
    pub revision: u64,
    /// It is in use on trial.
    pub pending: Option<Pending>,
}

/// What a configuration is made with and put into.
#[derive(Debug)]
pub struct Parts {
    /// The main file.
    pub root: PathBuf,
    /// The environment as it was at start.
    pub env: BTreeMap<String, String>,
    /// The plugins of this binary.
    pub catalog: Catalog,
    /// The snapshot in use.
    pub live: Arc<ArcSwap<Live>>,
    /// Where clients connect.
    pub listeners: ListenerSet,
    /// Keeps endpoints up to date.
    pub follow: Arc<Follow>,
    /// Every metric.
    pub metrics: Arc<Metrics>,
    /// Where the overlay is kept.
    pub store: Arc<Store>,
    /// Told what comes of every reload and change.
    pub events: Arc<Events>,
}

impl Reloader {
    /// A reloader that takes over what is in use: these files, and this overlay over them.
    #[must_use]
    pub fn new(parts: Parts, files: Recorded, overlay: Option<Overlay>) -> Self {
        let in_use = InUse::new(files, overlay);
        let standing = watch::Sender::new(in_use.standing());
        Self { parts, in_use: Mutex::new(in_use), last: Mutex::default(), standing }
    }

    /// The main file.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.parts.root
    }

    /// The plugins of this binary.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.parts.catalog
    }

    /// The environment as it was at start.
    pub(crate) fn env(&self) -> &BTreeMap<String, String> {
        &self.parts.env
    }

    /// Where the overlay is kept.
    pub(crate) fn store(&self) -> &Store {
        &self.parts.store
    }

    /// The last reload or change, if there was one.
    #[must_use]
    pub fn last(&self) -> Option<Outcome> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until no configuration is in use on trial.
    pub async fn settled(&self) {
        // The sender lives as long as the reloader, so the wait cannot fail.
        let _ = self.standing.subscribe().wait_for(|standing| standing.pending.is_none()).await;
    }

    /// Which revision is in use, and whether it is on trial.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// The snapshot in use.
    pub(crate) fn live(&self) -> Arc<Live> {
        self.parts.live.load_full()
    }

    /// Where changes through the API go.
    pub(crate) fn writes(&self) -> Writes {
        self.parts.live.load().snapshot.boot.writes
    }

    pub(super) fn show(&self, standing: Standing) {
        self.standing.send_if_modified(|shown| {
            let is_modified = *shown != standing;
            *shown = standing;
            is_modified
        });
    }

    /// Takes the lock under which what is in use is changed. Blocks while another holds it.
    pub(crate) fn session(&self) -> Session<'_> {
        Session::new(self, self.in_use.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files and the overlay again and puts what they say into use. Blocks for file reads and binds.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn reload(&self, files: &(dyn FileSource + Sync)) -> Result<Report, Refusal> {
        let mut session = self.session();
        let result = self.apply(&mut session, files);
        self.tell(result.clone());
        result
    }

    /// What a configuration would do; changes nothing.
    ///
    /// # Errors
    /// Why it would be refused.
    pub fn validate(&self, root: &Path, files: &(dyn FileSource + Sync)) -> Result<Candidate, Refusal> {
        self.candidate(root, files, None, self.parts.live.load().snapshot.carried())
    }

    /// Runs the route tests of a configuration; changes nothing.
    ///
    /// # Errors
    /// Why it has no meaning that could be tested.
    pub fn test(
        &self,
        root: &Path,
        files: &dyn FileSource,
    ) -> Result<(Vec<RouteTestResult>, Arc<Sources>), Refusal> {
        let loaded = load(root, files, &self.parts.env);
        let live = self.parts.live.load();
        let compiled = compile(&loaded, &self.parts.catalog, live.snapshot.carried());
        let Loaded { document, sources, .. } = loaded;
        let sources = Arc::new(sources);
        match compiled.snapshot {
            Some(snapshot) => Ok((run_route_tests(&document, &snapshot), sources)),
            None => Err(Refusal::Invalid { diagnostics: compiled.diagnostics, sources }),
        }
    }

    /// A configuration that may follow the one in use.
    pub(super) fn candidate(
        &self,
        root: &Path,
        files: &(dyn FileSource + Sync),
        overlay: Option<&Overlay>,
        carried: &Carried,
    ) -> Result<Candidate, Refusal> {
        let candidate = candidate(root, files, overlay, &self.parts.env, &self.parts.catalog, carried)?;
        refuse_boot_changes(&self.parts.live.load().snapshot, &candidate.snapshot)?;
        Ok(candidate)
    }

    /// What was read, as a configuration that may follow the one in use.
    pub(super) fn follower(&self, loaded: Loaded, carried: &Carried) -> Result<Candidate, Refusal> {
        let candidate = meaning(loaded, &self.parts.catalog, carried)?;
        refuse_boot_changes(&self.parts.live.load().snapshot, &candidate.snapshot)?;
        Ok(candidate)
    }

    fn apply(&self, session: &mut Session<'_>, files: &(dyn FileSource + Sync)) -> Result<Report, Refusal> {
        if session.in_use().trial.is_some() {
            return Err(Refusal::OnTrial);
        }
        let began = clock::now();
        let overlay =
            self.parts.store.current().map_err(|error| Refusal::Store { reason: error.to_string() })?;
        let recorder = Recorder::over(files);
        let live = self.parts.live.load_full();
        let candidate = self.candidate(self.root(), &recorder, overlay.as_ref(), live.snapshot.carried())?;
        let next = InUse::new(recorder.finish(), overlay);
        session.swap(candidate, next, began).map(|(report, _)| report)
    }

    /// Remembers and counts how a reload or a change went.
    pub(crate) fn tell(&self, result: Result<Report, Refusal>) {
        self.count(&result);
        let outcome = Outcome { at: clock::since_epoch(), result };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    fn count(&self, result: &Result<Report, Refusal>) {
        let (label, ok) = match result {
            Ok(report) => {
                self.parts.metrics.show_generation(report.generation);
                tracing::info!(
                    generation = report.generation,
                    took_ms = report.took.as_secs_f64() * 1000.0,
                    changes = %report.difference,
                    "configuration applied"
                );
                let changes = report.difference.to_string();
                let detail = json!({ "generation": report.generation, "changes": changes });
                self.parts.events.tell(Kind::ConfigApplied, detail);
                ("applied", 1)
            }
            Err(refusal) => {
                let why = refusal.rendered(Style::Plain);
                tracing::error!(
                    reason = refusal.code(),
                    "configuration refused, the old one stays in use\n{why}"
                );
                let detail = json!({ "reason": refusal.code(), "detail": refusal.to_string() });
                self.parts.events.tell(Kind::ConfigRefused, detail);
                ("refused", 0)
            }
        };
        self.parts.metrics.reloads.with_label_values(&[label]).inc();
        self.parts.metrics.last_reload_ok.set(ok);
    }
}

fn refuse_boot_changes(old: &Snapshot, new: &Snapshot) -> Result<(), Refusal> {
    let keys = old.boot.changed_keys(&new.boot);
    if keys.is_empty() { Ok(()) } else { Err(Refusal::NeedsRestart { keys }) }
}

/// The listeners as they are opened; paths are relative to the main file's directory.
pub fn listener_specs<'a>(
    listeners: impl Iterator<Item = &'a Arc<Listener>>,
    root: &Path,
) -> Vec<ListenerSpec> {
    let directory = root.parent().unwrap_or(Path::new(""));
    listeners.map(|listener| spec(listener, directory)).collect()
}

fn spec(listener: &Listener, directory: &Path) -> ListenerSpec {
    let tls = listener.tls.as_ref().map(|tls| listener::TlsSpec {
        certificates: tls
            .certificates
            .iter()
            .map(|files| listener::CertificateFiles {
                cert: directory.join(&files.cert),
                key: directory.join(&files.key),
            })
            .collect(),
        min_version: match tls.min_version {
            TlsVersion::V1_2 => listener::TlsVersion::Tls12,
            TlsVersion::V1_3 => listener::TlsVersion::Tls13,
        },
        alpn: tls
            .alpn
            .iter()
            .map(|protocol| match protocol {
                Alpn::H2 => listener::Alpn::Http2,
                Alpn::Http11 => listener::Alpn::Http1,
            })
            .collect(),
    });
    let limits = &listener.limits;
    ListenerSpec {
        name: listener.name.clone(),
        address: listener.address,
        tls,
        limits: listener::Limits {
            max_connections: limits.connections_max as usize,
            head: framing::Limits {
                head_bytes_max: usize::try_from(limits.header_bytes_max).unwrap_or(usize::MAX),
                fields_max: limits.fields_max as usize,
                ..framing::Limits::default()
            },
            head_timeout: limits.header_deadline,
            idle_timeout: limits.idle,
            tls_handshake_timeout: limits.handshake_deadline,
            preface_timeout: limits.handshake_deadline,
            ..listener::Limits::default()
        },
    }
}
