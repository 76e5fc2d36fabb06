//! One path from files to traffic, for every door.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use portcullis_core::framing;
use portcullis_core::snapshot::{Carried, Difference, Listener, Snapshot, compile, run_route_tests};
use portcullis_plugin_sdk::Catalog;
use portcullis_schema::{Alpn, Diagnostic, FileSource, Loaded, Sources, Style, TlsVersion, load, render};
use serde_json::json;

use super::report::{Outcome, Refusal, Report};
use crate::clock;
use crate::events::{Events, Kind};
use crate::follow::Follow;
use crate::listener::{self, ListenerSet, ListenerSpec};
use crate::live::Live;
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
    env: &BTreeMap<String, String>,
    catalog: &Catalog,
    carried: &Carried,
) -> Result<Candidate, Refusal> {
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| read(root, files, env, catalog, carried));
        // A panic in there is a bug of ours; it goes on as the caller's.
        reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn read(
    root: &Path,
    files: &dyn FileSource,
    env: &BTreeMap<String, String>,
    catalog: &Catalog,
    carried: &Carried,
) -> Result<Candidate, Refusal> {
    let loaded = load(root, files, env);
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
    root: PathBuf,
    env: BTreeMap<String, String>,
    catalog: Catalog,
    live: Arc<ArcSwap<Live>>,
    listeners: ListenerSet,
    follow: Arc<Follow>,
    metrics: Arc<Metrics>,
    events: Arc<Events>,
    /// Held through a reload: two never mix. The data path never takes it.
    last: Mutex<Option<Outcome>>,
}

impl Reloader {
    /// A reloader of the configuration at `root`.
    #[must_use]
    pub fn new(
        root: PathBuf,
        env: BTreeMap<String, String>,
        catalog: Catalog,
        live: Arc<ArcSwap<Live>>,
        listeners: ListenerSet,
        follow: Arc<Follow>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let events = Arc::default();
        Self { root, env, catalog, live, listeners, follow, metrics, events, last: Mutex::default() }
    }

    /// Tells these what comes of every reload.
    #[must_use]
    pub fn telling(self, events: Arc<Events>) -> Self {
        Self { events, ..self }
    }

    /// The main file.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The plugins of this binary.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The environment as it was at start.
    pub(super) fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// The last reload, if there was one.
    #[must_use]
    pub fn last(&self) -> Option<Outcome> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files again and puts what they say into use. Blocks for file reads and binds.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn reload(&self, files: &(dyn FileSource + Sync)) -> Result<Report, Refusal> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.apply(files);
        self.count(&result);
        *last = Some(Outcome { at: clock::since_epoch(), result: result.clone() });
        result
    }

    /// What a reload with these files would do; changes nothing.
    ///
    /// # Errors
    /// Why it would be refused.
    pub fn validate(&self, root: &Path, files: &(dyn FileSource + Sync)) -> Result<Candidate, Refusal> {
        let live = self.live.load_full();
        let candidate = candidate(root, files, &self.env, &self.catalog, live.snapshot.carried())?;
        refuse_boot_changes(&live.snapshot, &candidate.snapshot)?;
        Ok(candidate)
    }

    fn apply(&self, files: &(dyn FileSource + Sync)) -> Result<Report, Refusal> {
        let began = clock::now();
        let candidate = self.validate(&self.root, files)?;
        let old = self.live.load_full();
        let specs = listener_specs(candidate.snapshot.listeners.values(), &self.root);
        let difference = Difference::between(&old.snapshot, &candidate.snapshot);
        self.listeners.apply(specs).map_err(|error| Refusal::Listeners { reason: error.to_string() })?;
        let generation = candidate.snapshot.generation;
        self.live.store(Arc::new(Live::new(candidate.snapshot, self.metrics.clone())));
        self.follow.reconcile();
        let warnings = render(&candidate.warnings, &candidate.sources, Style::Plain);
        let took = clock::now().saturating_since(began);
        Ok(Report { generation, difference, warnings, took })
    }

    fn count(&self, result: &Result<Report, Refusal>) {
        let (label, ok) = match result {
            Ok(report) => {
                self.metrics.show_generation(report.generation);
                tracing::info!(
                    generation = report.generation,
                    took_ms = report.took.as_secs_f64() * 1000.0,
                    changes = %report.difference,
                    "configuration applied"
                );
                let changes = report.difference.to_string();
                let detail = json!({ "generation": report.generation, "changes": changes });
                self.events.tell(Kind::ConfigApplied, detail);
                ("applied", 1)
            }
            Err(refusal) => {
                let why = refusal.rendered(Style::Plain);
                tracing::error!(
                    reason = refusal.code(),
                    "configuration refused, the old one stays in use\n{why}"
                );
                let detail = json!({ "reason": refusal.code(), "detail": refusal.to_string() });
                self.events.tell(Kind::ConfigRefused, detail);
                ("refused", 0)
            }
        };
        self.metrics.reloads.with_label_values(&[label]).inc();
        self.metrics.last_reload_ok.set(ok);
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
