//! From a document to a snapshot.
//!
//! Decides what names refer to and what settings mean together, and reports every mistake at once with its place.
//! Pure: the same document, catalog and carried parts give the same snapshot. `check`, a dry run, start and reload
//! all go through here.

mod admin_tokens;
mod conditions;
mod conflicts;
mod doors;
mod explain;
mod filters;
mod fingerprint;
mod finishing;
mod gates;
mod layers;
mod report;
mod resilience;
mod routes;
mod tests_check;
mod upstreams;

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderName;
use portcullis_plugin_sdk::Catalog;
use portcullis_schema::{Code, Diagnostic, Document, Loaded, sort};

use super::carry::{Carried, Cells, LimitOwner};
use super::{Consumer, Route, Snapshot, Upstream};
use crate::headers::identity::IdentityNames;
use crate::limit::{LimitBy, LimitSettings};
use crate::router::{RouteSpec, Router};
pub use explain::{Explained, Explanation, Origin, explain, explain_all};
use finishing::Finishing;
use report::Report;
use routes::{RouteDraft, Workshop};

/// Most routes in one document.
const ROUTES_MAX: usize = 200_000;

/// What compiling gave.
#[derive(Debug)]
pub struct Compiled {
    /// The snapshot, unless there are errors.
    pub snapshot: Option<Snapshot>,
    /// All errors and warnings, by place.
    pub diagnostics: Vec<Diagnostic>,
}

/// Compiles what was loaded with the plugins of `catalog`, taking over what is unchanged from `carried`.
///
/// The findings of the load are part of the result. A load that could not read every file is not looked at further:
/// a name that is missing may be in the file that is.
#[must_use]
pub fn compile(loaded: &Loaded, catalog: &Catalog, carried: &Carried) -> Compiled {
    if !loaded.complete {
        return Compiled { snapshot: None, diagnostics: loaded.diagnostics.clone() };
    }
    let (snapshot, mut found) = compile_document(&loaded.document, catalog, carried);
    loaded.hide_variables(&mut found);
    let mut diagnostics = loaded.diagnostics.clone();
    diagnostics.extend(found.into_iter().filter(|finding| !is_told(finding, &loaded.diagnostics)));
    sort(&mut diagnostics);
    Compiled { snapshot: snapshot.filter(|_| !loaded.has_errors()), diagnostics }
}

/// Whether a setting is incomplete only because a value inside it is broken, and that has been reported.
fn is_told(finding: &Diagnostic, reported: &[Diagnostic]) -> bool {
    let Some(at) = finding.at().filter(|_| finding.code == Code::IncompleteSetting) else { return false };
    reported
        .iter()
        .filter(|other| other.is_error())
        .filter_map(Diagnostic::at)
        .any(|other| other.file == at.file && at.start <= other.start && other.end <= at.end)
}

fn compile_document(
    document: &Document,
    catalog: &Catalog,
    carried: &Carried,
) -> (Option<Snapshot>, Vec<Diagnostic>) {
    let mut report = Report::default();
    let listeners = doors::listeners(document, &mut report);
    let boot = doors::boot(document);
    doors::check(document, &boot, &mut report);
    check_size(document, &mut report);

    let mut workshop = Workshop::new(document, catalog, Cells::over(carried), report);
    let drafts: Vec<RouteDraft> =
        document.routes.iter().filter_map(|(name, entry)| workshop.read(name, &entry.value)).collect();
    let Workshop { layers, upstreams, mut cells, mut report, .. } = workshop;
    layers.report_unused(&mut report);
    upstreams.report_unused(&mut report);
    tests_check::check(document, &upstreams, &mut report);

    let upstreams = upstreams.build(&mut cells);
    let router = build_router(document, drafts, &upstreams, &mut cells, &mut report);
    let consumers = consumers(document, &router, &mut cells, &mut report);
    let has_errors = report.has_errors();
    let diagnostics = report.into_sorted();
    if has_errors {
        return (None, diagnostics);
    }
    let carried = cells.finish();
    let snapshot = Snapshot {
        generation: carried.generation(),
        identity_names: Arc::new(identity_names(&carried)),
        upstreams,
        consumers,
        listeners,
        jwks: carried.jwks(),
        limits: carried.limits(),
        boot,
        router,
        carried,
    };
    (Some(snapshot), diagnostics)
}

fn check_size(document: &Document, report: &mut Report) {
    if document.routes.is_empty() {
        let help = "add `routes:` with at least one route".to_owned();
        report.add(Diagnostic::new(Code::NoRoutes, "the document has no route").help(help));
    }
    if document.routes.len() > ROUTES_MAX {
        let message = format!("{} routes, and at most {ROUTES_MAX} are served", document.routes.len());
        report.add(Diagnostic::new(Code::TooManyRoutes, message));
    }
}

fn build_router(
    document: &Document,
    drafts: Vec<RouteDraft>,
    upstreams: &BTreeMap<Arc<str>, Arc<Upstream>>,
    cells: &mut Cells<'_>,
    report: &mut Report,
) -> Router<Arc<Route>> {
    let mut finishing = Finishing::new(upstreams, cells);
    let mut specs: Vec<RouteSpec<Arc<Route>>> = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let idx = u32::try_from(specs.len()).unwrap_or(u32::MAX);
        specs.extend(finishing.route(idx, draft));
    }
    let names: Vec<Arc<str>> = specs.iter().map(|spec| Arc::clone(&spec.name)).collect();
    let built = Router::build(specs);
    conflicts::report(document, &names, &built.conflicts, report);
    built.router
}

/// The consumers; one that can never call is warned of.
fn consumers(
    document: &Document,
    router: &Router<Arc<Route>>,
    cells: &mut Cells<'_>,
    report: &mut Report,
) -> BTreeMap<Arc<str>, Arc<Consumer>> {
    let keys_are_asked = router.iter().any(|(_, route)| route.settings.api_key.is_some());
    let mut consumers = BTreeMap::new();
    for (name, entry) in &document.consumers {
        let has_key = entry.value.api_keys.as_ref().is_some_and(|keys| !keys.is_empty());
        if !has_key || !keys_are_asked {
            let (why, help) = if has_key {
                ("no route asks for API keys", "add `api_key: X-Api-Key` to a route or policy")
            } else {
                ("it has no key", "add `api_keys: [ { sha256: … } ]`")
            };
            let message = format!("consumer `{name}` cannot call: {why}");
            report.say(Code::UnusedConsumer, entry.at, message, "cannot call", Some(help.to_owned()));
        }
        let limit = gates::on(&entry.value.rate_limit).and_then(|limit| {
            let by = limit.value.by.as_ref();
            if let Some(by) = by.filter(|by| by.value != portcullis_schema::LimitBy::Consumer) {
                let message = format!("the limit of consumer `{name}` can only count by consumer");
                let help = Some("remove `by`".to_owned());
                report.say(Code::BadCombination, by.at, message, "not by consumer", help);
            }
            let settings = gates::limit_settings(&limit, name.shared(), LimitBy::Consumer, report)?;
            let settings = LimitSettings { by: LimitBy::Consumer, ..settings };
            Some(cells.limit(LimitOwner::Consumer(name.shared()), settings))
        });
        consumers.insert(name.shared(), Arc::new(Consumer { name: name.shared(), limit }));
    }
    consumers
}

/// The headers by which any gate hands on an identity.
fn identity_names(carried: &Carried) -> IdentityNames {
    let names = carried.gates().iter().flat_map(|gate| gate.owned_headers());
    IdentityNames::new(names.map(HeaderName::clone))
}
