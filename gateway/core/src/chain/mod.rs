//! The filters of one route, run in order.
//!
//! Decides what a filter's answer, fault or panic means for the exchange. A panic stops at the filter that raised it
//! and is settled like a fault, by the link's `failure`; it never ends a worker. Counts nothing: what went wrong is in
//! the [`ChainReport`], for the shell to count and log.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use portcullis_plugin_sdk::{Fault, Filter, Flow, Hooks, Reply, RequestView, ResponseView};

/// The longest text of a fault that is kept for the log, in characters.
const INCIDENT_CHARS_MAX: usize = 256;

/// What follows when a filter fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnFault {
    /// The exchange ends with an answer of the gateway.
    #[default]
    Deny,
    /// The exchange goes on as if the filter were not there. Edits it made before it failed stay.
    Bypass,
}

/// One filter in its place.
#[derive(Clone)]
pub struct ChainLink {
    /// The filter.
    pub filter: Arc<dyn Filter>,
    /// The plugin's name, for logs and metrics.
    pub name: Arc<str>,
    /// What follows when it fails.
    pub failure: OnFault,
}

impl fmt::Debug for ChainLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainLink")
            .field("name", &self.name)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

/// A hook of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hook {
    /// A CORS preflight, before the gates.
    Preflight,
    /// The request, after the gates.
    Request,
    /// The head of the reply.
    Response,
}

impl Hook {
    /// The word for it in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Hook::Preflight => "preflight",
            Hook::Request => "request",
            Hook::Response => "response",
        }
    }

    const fn bit(self) -> Hooks {
        match self {
            Hook::Preflight => Hooks::PREFLIGHT,
            Hook::Request => Hooks::REQUEST,
            Hook::Response => Hooks::RESPONSE,
        }
    }
}

/// What the chain as a whole says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainFlow {
    /// Go on.
    Continue,
    /// Answer with this, which the gateway can send as it is.
    Respond {
        /// The answer.
        reply: Reply,
        /// The plugin that made it.
        plugin: Arc<str>,
    },
    /// A filter failed and its link says `deny`: answer with `Rejection::PluginFault`.
    Deny {
        /// The plugin that failed.
        plugin: Arc<str>,
    },
}

/// A filter that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// The plugin's name.
    pub plugin: Arc<str>,
    /// Where it failed.
    pub hook: Hook,
    /// How it failed.
    pub kind: IncidentKind,
    /// What it said, shortened; for the log, never for a client.
    pub message: String,
}

/// How a filter failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IncidentKind {
    /// It returned a fault, or a reply that cannot be sent.
    Fault,
    /// It panicked.
    Panic,
}

impl IncidentKind {
    /// The word for it in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            IncidentKind::Fault => "fault",
            IncidentKind::Panic => "panic",
        }
    }
}

/// What came of running a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a chain that is not obeyed is no chain"]
pub struct ChainReport {
    /// What to do.
    pub flow: ChainFlow,
    /// The filters that failed, one entry a link at most; empty, and then without memory, when all went well.
    pub incidents: Vec<Incident>,
}

/// The filters of a route. Requests meet them first to last, replies last to first: the first is the outermost.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    links: Vec<(Hooks, ChainLink)>,
    hooks: Hooks,
}

impl Chain {
    /// A chain of these links. Each filter is asked for its hooks here, once.
    #[must_use]
    pub fn new(links: Vec<ChainLink>) -> Self {
        let links: Vec<_> = links.into_iter().map(|link| (link.filter.hooks(), link)).collect();
        let hooks = links.iter().fold(Hooks::NONE, |all, (hooks, _)| all | *hooks);
        Self { links, hooks }
    }

    /// Whether no filter is in the chain.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Whether any filter wants this hook. If not, the shell need not make a view.
    #[must_use]
    pub const fn wants(&self, hook: Hook) -> bool {
        self.hooks.contains(hook.bit())
    }

    /// The plugins in their order.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.links.iter().map(|(_, link)| &link.name)
    }

    /// What follows when a plugin fails, for each in their order.
    pub fn failures(&self) -> impl Iterator<Item = OnFault> {
        self.links.iter().map(|(_, link)| link.failure)
    }

    /// Runs the filters on a CORS preflight, before the gates.
    pub fn on_preflight(&self, request: &mut RequestView<'_>) -> ChainReport {
        self.run(Hook::Preflight, self.links.iter(), |filter| filter.on_preflight(request))
    }

    /// Runs the filters on a request the gates have let in.
    pub fn on_request(&self, request: &mut RequestView<'_>) -> ChainReport {
        self.run(Hook::Request, self.links.iter(), |filter| filter.on_request(request))
    }

    /// Runs the filters on the head of a reply.
    pub fn on_response(&self, response: &mut ResponseView<'_>) -> ChainReport {
        self.run(Hook::Response, self.links.iter().rev(), |filter| filter.on_response(response))
    }

    fn run<'c>(
        &self,
        hook: Hook,
        links: impl Iterator<Item = &'c (Hooks, ChainLink)>,
        mut call: impl FnMut(&dyn Filter) -> Result<Flow, Fault>,
    ) -> ChainReport {
        let mut incidents = Vec::new();
        if !self.wants(hook) {
            return ChainReport { flow: ChainFlow::Continue, incidents };
        }
        for (hooks, link) in links {
            if !hooks.contains(hook.bit()) {
                continue;
            }
            match settle(&link.filter, &mut call) {
                Ok(Flow::Continue) => {}
                Ok(Flow::Respond(reply)) => {
                    let flow = ChainFlow::Respond { reply, plugin: link.name.clone() };
                    return ChainReport { flow, incidents };
                }
                Err((kind, message)) => {
                    incidents.push(Incident { plugin: link.name.clone(), hook, kind, message });
                    match link.failure {
                        OnFault::Bypass => {}
                        OnFault::Deny => {
                            let flow = ChainFlow::Deny { plugin: link.name.clone() };
                            return ChainReport { flow, incidents };
                        }
                    }
                }
            }
        }
        ChainReport { flow: ChainFlow::Continue, incidents }
    }
}

/// Calls one hook; a panic and a reply that cannot be sent are failures like a fault.
///
/// Unwind safety is asserted because nothing the call can have torn is trusted afterwards: the head is edited through
/// whole operations only, and a filter's own state is its own to guard.
fn settle(
    filter: &Arc<dyn Filter>,
    call: &mut impl FnMut(&dyn Filter) -> Result<Flow, Fault>,
) -> Result<Flow, (IncidentKind, String)> {
    let fault = |fault: Fault| (IncidentKind::Fault, shorten(&fault.message));
    match catch_unwind(AssertUnwindSafe(|| call(&**filter))) {
        Ok(Ok(Flow::Continue)) => Ok(Flow::Continue),
        Ok(Ok(Flow::Respond(reply))) => reply.check().map(|()| Flow::Respond(reply)).map_err(fault),
        Ok(Err(error)) => Err(fault(error)),
        Err(payload) => Err((IncidentKind::Panic, shorten(panic_text(&*payload)))),
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "a panic without a text",
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(INCIDENT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
