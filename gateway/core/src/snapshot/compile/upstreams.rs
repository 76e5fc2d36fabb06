//! Upstreams: those under `upstreams` that a route uses, and those that routes name directly.
//!
//! Decides what a target refers to, and which breakers an upstream needs: one for each distinct setting of the
//! routes that use it. An upstream that no route uses is not watched, so it is not built.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::sync::Arc;

use portcullis_discovery_model::{Endpoint, EndpointId, EndpointSet, Health, Meta, ServiceName};
use portcullis_schema as schema;
use portcullis_schema::{At, Code, Document, Protocol, ServiceRef, Span};

use super::report::Report;
use crate::balancer::Balance;
use crate::breaker::BreakerSettings;
use crate::snapshot::carry::Cells;
use crate::snapshot::{Upstream, UpstreamSource};
use crate::upstream::{BreakerIdx, CellSettings};

/// Most distinct breaker settings towards one upstream; what a [`BreakerIdx`] can name.
const BREAKERS_MAX: usize = 256;

/// Every upstream that a route uses, while routes are still being read.
#[derive(Debug)]
pub(super) struct Upstreams<'d> {
    document: &'d Document,
    drafts: BTreeMap<Arc<str>, Draft>,
}

#[derive(Debug)]
struct Draft {
    source: UpstreamSource,
    protocol: Protocol,
    settings: CellSettings,
    timeout: Option<schema::Timeout>,
}

impl<'d> Upstreams<'d> {
    pub(super) fn new(document: &'d Document) -> Self {
        Self { document, drafts: BTreeMap::new() }
    }

    /// The name of the upstream that `target` means; `None` if it is reported, here or by the schema.
    pub(super) fn resolve(
        &mut self,
        target: &schema::Target,
        at: Span,
        report: &mut Report,
    ) -> Option<Arc<str>> {
        let (name, upstream): (Arc<str>, _) = match target {
            schema::Target::Upstream(name) => match self.document.upstreams.get(name) {
                Some(entry) => (name.shared(), Some(&entry.value)),
                None => {
                    self.unknown(name.as_str(), at, report);
                    return None;
                }
            },
            schema::Target::Service(service) => (service_text(service).into(), None),
            schema::Target::Address(address) => (format!("http://{address}").into(), None),
        };
        if !self.drafts.contains_key(&name) {
            let draft = match (target, upstream) {
                (_, Some(upstream)) => Draft::from_schema(upstream, report)?,
                (schema::Target::Service(service), None) => {
                    Draft::bare(service_source(&At::new(service.clone(), at), report)?)
                }
                (schema::Target::Address(address), None) => {
                    Draft::bare(hosts_source([(*address, NonZeroU16::MIN)]))
                }
                (schema::Target::Upstream(_), None) => return None,
            };
            self.drafts.insert(Arc::clone(&name), draft);
        }
        Some(name)
    }

    fn unknown(&self, name: &str, at: Span, report: &mut Report) {
        let known = self.document.upstreams.iter();
        let near = schema::nearest(name, known.map(|(name, _)| name.as_str()));
        let direct = format!("A Consul service can be named directly: consul://{name}");
        let help = match near.and_then(|near| Some((near, self.document.upstreams.get(near)?))) {
            Some((near, entry)) => format!("did you mean `{near}` (line {})? {direct}", entry.at.line),
            None => direct,
        };
        let message = format!("unknown upstream `{name}`");
        report.say(Code::UnknownUpstream, at, message, "no upstream has this name", Some(help));
    }

    /// The position of `breaker` among those of the upstream `name`.
    pub(super) fn breaker(
        &mut self,
        name: &str,
        breaker: &BreakerSettings,
        at: Span,
        report: &mut Report,
    ) -> Option<BreakerIdx> {
        let breakers = &mut self.drafts.get_mut(name)?.settings.breakers;
        let idx = breakers.iter().position(|known| known == breaker).unwrap_or(breakers.len());
        if idx == BREAKERS_MAX {
            let message =
                format!("more than {BREAKERS_MAX} different circuit breakers towards upstream `{name}`");
            let help = Some("put the breaker into a policy, so that routes share it".to_owned());
            report.say(Code::TooManyRoutes, at, message, "one too many", help);
            return None;
        }
        if idx == breakers.len() {
            breakers.push(breaker.clone());
        }
        u8::try_from(idx).ok().map(BreakerIdx)
    }

    /// The upstream's own times.
    pub(super) fn timeout(&self, name: &str) -> Option<&schema::Timeout> {
        self.drafts.get(name)?.timeout.as_ref()
    }

    /// Whether a route uses the upstream.
    pub(super) fn is_used(&self, name: &str) -> bool {
        self.drafts.contains_key(name)
    }

    /// Warns of upstreams that no route uses, and checks them all the same.
    pub(super) fn report_unused(&self, report: &mut Report) {
        for (name, entry) in &self.document.upstreams {
            if !self.is_used(name.as_str()) {
                let _ = Draft::from_schema(&entry.value, report);
                let message = format!("upstream `{name}` is used by no route");
                let help = Some(format!("route to it: `to: {name}`, or remove it"));
                report.say(Code::UnusedUpstream, entry.at, message, "unused", help);
            }
        }
    }

    /// Builds them; unchanged ones keep their cells.
    pub(super) fn build(self, cells: &mut Cells<'_>) -> BTreeMap<Arc<str>, Arc<Upstream>> {
        let build = |(name, draft): (Arc<str>, Draft)| {
            let Draft { source, protocol, settings, timeout: _ } = draft;
            let upstream = cells.upstream(Arc::clone(&name), source, protocol, settings);
            (name, upstream)
        };
        self.drafts.into_iter().map(build).collect()
    }
}

impl Draft {
    fn bare(source: UpstreamSource) -> Self {
        Self { source, protocol: Protocol::Http1, settings: CellSettings::default(), timeout: None }
    }

    fn from_schema(upstream: &schema::Upstream, report: &mut Report) -> Option<Self> {
        let source = match (&upstream.service, &upstream.hosts) {
            (Some(service), _) => service_source(service, report)?,
            (None, Some(hosts)) if !hosts.is_empty() => hosts_source(hosts.iter().filter_map(|host| {
                let weight = host.weight.as_ref().map_or(NonZeroU16::MIN, |weight| weight.value);
                Some((host.address.as_ref()?.value, weight))
            })),
            // the schema has said that the upstream names nobody
            (None, Some(_) | None) => return None,
        };
        let balance = match upstream.balance.as_ref().map(|balance| balance.value) {
            Some(schema::Balance::LeastRequest) => Balance::LeastRequest,
            Some(schema::Balance::RoundRobin) | None => Balance::RoundRobin,
        };
        Some(Self {
            source,
            protocol: upstream.protocol.as_ref().map_or(Protocol::Http1, |protocol| protocol.value),
            settings: CellSettings {
                balance,
                max_requests: upstream.max_requests.as_ref().map(|max| max.value),
                breakers: Vec::new(),
            },
            timeout: upstream.timeout.as_ref().map(|timeout| timeout.value.clone()),
        })
    }
}

fn service_source(service: &At<ServiceRef>, report: &mut Report) -> Option<UpstreamSource> {
    match ServiceName::new(&service.value.name) {
        Ok(name) => Some(UpstreamSource::Service {
            name,
            tag: service.value.tag.clone(),
            datacenter: service.value.dc.clone(),
            passing_only: service.value.passing == Some(true),
        }),
        Err(why) => {
            let message = format!("`{}` is not the name of a service", service.value.name);
            report.say(Code::BadValue, service.at, message, "not a service", Some(why.to_string()));
            None
        }
    }
}

fn hosts_source(hosts: impl IntoIterator<Item = (std::net::SocketAddr, NonZeroU16)>) -> UpstreamSource {
    let endpoint = |(address, weight)| Endpoint {
        id: EndpointId::of_address(address),
        address,
        weight,
        health: Health::Passing,
        tags: Arc::default(),
        meta: Meta::default(),
        datacenter: None,
    };
    UpstreamSource::Hosts(EndpointSet::new(hosts.into_iter().map(endpoint).collect()))
}

/// A service as a route may write it; the name of the upstream that it then is.
fn service_text(service: &ServiceRef) -> String {
    let mut text = format!("consul://{}", service.name);
    let pairs = [
        ("tag", service.tag.as_deref()),
        ("dc", service.dc.as_deref()),
        ("passing", service.passing.map(|passing| if passing { "true" } else { "false" })),
    ];
    let mut separator = '?';
    for (key, value) in pairs {
        if let Some(value) = value {
            text.push(separator);
            text.push_str(key);
            text.push('=');
            text.push_str(value);
            separator = '&';
        }
    }
    text
}
