//! Addresses: listeners, the admin API, metrics; and the settings that are read once, at start.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use portcullis_schema as schema;
use portcullis_schema::{Alpn, At, Code, Consistency, Document, SecretSource, Setting, Span, TlsVersion};

use super::admin_tokens;
use super::report::Report;
use crate::headers::TrustedProxies;
use crate::snapshot::{
    AccessLog, AdminDoor, Boot, CertificateFiles, Consul, KeptSecret, Listener, ListenerLimits, ListenerTls,
};

/// The name of the listener of a document that names none.
pub(super) const LISTENER_DEFAULT: &str = "web";
const WEB_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080);
const ADMIN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);
const METRICS_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9902);
const CONSUL_DEFAULT: &str = "http://127.0.0.1:8500";
const EMPTY_GRACE_DEFAULT: Duration = Duration::from_secs(30);
const WAIT_DEFAULT: Duration = Duration::from_secs(30);

/// The listeners; without any in the document, one named `web`.
pub(super) fn listeners(document: &Document, report: &mut Report) -> BTreeMap<Arc<str>, Arc<Listener>> {
    let common = proxies(document.trusted_proxies.as_deref().unwrap_or_default(), report);
    if document.listeners.is_empty() {
        let web = Listener {
            name: LISTENER_DEFAULT.into(),
            address: WEB_DEFAULT,
            tls: None,
            trusted_proxies: common,
            limits: ListenerLimits::default(),
        };
        return BTreeMap::from([(Arc::clone(&web.name), Arc::new(web))]);
    }
    let mut listeners = BTreeMap::new();
    for (name, entry) in &document.listeners {
        let written = &entry.value;
        let Some(address) = &written.address else { continue };
        let trusted_proxies = match &written.trusted_proxies {
            Some(own) => proxies(own, report),
            None => common.clone(),
        };
        let listener = Listener {
            name: name.shared(),
            address: address.value,
            tls: written.tls.as_ref().map(|tls| listener_tls(&tls.value)),
            trusted_proxies,
            limits: written
                .limits
                .as_ref()
                .map_or_else(ListenerLimits::default, |limits| bounds(&limits.value)),
        };
        listeners.insert(name.shared(), Arc::new(listener));
    }
    listeners
}

fn proxies(networks: &[At<schema::Network>], report: &mut Report) -> TrustedProxies {
    for network in networks.iter().filter(|network| network.value.prefix_len() == 0) {
        let message = format!("`{}` trusts everybody's X-Forwarded-For", network.value);
        let help = Some("name the networks of your own proxies, such as `10.0.0.0/8`".to_owned());
        report.say(Code::TrustsEveryone, network.at, message, "every address", help);
    }
    TrustedProxies::new(networks.iter().map(|network| network.value))
}

fn listener_tls(tls: &schema::Tls) -> ListenerTls {
    let files = |cert: &Option<At<schema::FilePath>>, key: &Option<At<schema::FilePath>>| {
        let path = |path: &At<schema::FilePath>| path.value.as_path().to_path_buf();
        Some(CertificateFiles { cert: path(cert.as_ref()?), key: path(key.as_ref()?) })
    };
    let several = tls.certificates.iter().flatten().filter_map(|pair| files(&pair.cert, &pair.key));
    ListenerTls {
        certificates: files(&tls.cert, &tls.key).into_iter().chain(several).collect(),
        min_version: tls.min_version.as_ref().map_or(TlsVersion::V1_2, |version| version.value),
        alpn: match &tls.alpn {
            Some(alpn) => alpn.iter().map(|protocol| protocol.value).collect(),
            None => vec![Alpn::H2, Alpn::Http11],
        },
    }
}

fn bounds(limits: &schema::ListenerLimits) -> ListenerLimits {
    let default = ListenerLimits::default();
    ListenerLimits {
        connections_max: limits
            .max_connections
            .as_ref()
            .map_or(default.connections_max, |max| max.value.get()),
        header_bytes_max: limits.max_header.as_ref().map_or(default.header_bytes_max, |max| max.value.0),
        fields_max: limits.max_fields.as_ref().map_or(default.fields_max, |max| max.value.get()),
        header_deadline: limits.header_deadline.as_ref().map_or(default.header_deadline, |time| time.value),
        idle: limits.idle.as_ref().map_or(default.idle, |time| time.value),
        handshake_deadline: limits
            .handshake_deadline
            .as_ref()
            .map_or(default.handshake_deadline, |time| time.value),
    }
}

/// What only a restart can change.
pub(super) fn boot(document: &Document) -> Boot {
    let admin = document.admin.as_ref().and_then(|admin| admin.address.as_ref());
    let socket = document.admin.as_ref().and_then(|admin| admin.socket.as_ref());
    let writes = document.admin.as_ref().and_then(|admin| admin.writes.as_ref());
    let metrics = document.metrics.as_ref().and_then(|metrics| metrics.address.as_ref());
    let consul = document.discovery.as_ref().and_then(|discovery| discovery.consul.as_ref());
    Boot {
        admin: AdminDoor {
            address: admin.map_or(ADMIN_DEFAULT, |address| address.value),
            socket: socket.map(|path| PathBuf::from(path.value.as_path())),
            tokens: admin_tokens::read(document),
        },
        writes: writes.map_or(schema::Writes::default(), |writes| writes.value),
        metrics: metrics.map_or(METRICS_DEFAULT, |address| address.value),
        consul: consul_settings(consul.map(|consul| &consul.value)),
        access_log: access_log(document),
    }
}

fn consul_settings(consul: Option<&schema::Consul>) -> Consul {
    let tls = consul.and_then(|consul| consul.tls.as_ref());
    let path = |path: &At<schema::FilePath>| path.value.as_path().to_path_buf();
    let address = consul.and_then(|consul| consul.address.as_ref());
    Consul {
        address: address.map_or(CONSUL_DEFAULT, |address| address.value.as_str()).into(),
        token: consul.and_then(|consul| consul.token.as_ref()).map(|token| match token {
            SecretSource::Value(value) => KeptSecret::Value(value.value.clone()),
            SecretSource::File(file) => KeptSecret::File(file.value.clone()),
        }),
        datacenter: consul
            .and_then(|consul| consul.datacenter.as_ref())
            .map(|datacenter| datacenter.value.as_str().into()),
        consistency: consul
            .and_then(|consul| consul.consistency.as_ref())
            .map_or(Consistency::Default, |consistency| consistency.value),
        ca_file: tls.and_then(|tls| tls.ca.as_ref()).map(path),
        client_certificate: tls.and_then(|tls| Some((path(tls.cert.as_ref()?), path(tls.key.as_ref()?)))),
        empty_grace: consul
            .and_then(|consul| consul.empty_grace.as_ref())
            .map_or(EMPTY_GRACE_DEFAULT, |grace| grace.value),
        wait: consul.and_then(|consul| consul.wait.as_ref()).map_or(WAIT_DEFAULT, |wait| wait.value),
    }
}

fn access_log(document: &Document) -> Option<AccessLog> {
    let written = document.telemetry.as_ref().and_then(|telemetry| telemetry.access_log.as_ref());
    let everything = AccessLog { path: None, sample: 1.0 };
    match written.map(|log| &log.value) {
        None => Some(everything),
        Some(Setting::Off) => None,
        Some(Setting::On(log)) => Some(AccessLog {
            path: log.path.as_ref().map(|path| PathBuf::from(path.value.as_path())),
            sample: log.sample.as_ref().map_or(everything.sample, |sample| sample.value.0),
        }),
    }
}

/// Reports addresses that two doors would share, half a client certificate, and service doors that others can reach.
pub(super) fn check(document: &Document, boot: &Boot, report: &mut Report) {
    let admin = document.admin.as_ref().and_then(|admin| admin.address.as_ref());
    let metrics = document.metrics.as_ref().and_then(|metrics| metrics.address.as_ref());
    let mut doors: Vec<(String, SocketAddr, Option<Span>)> = document
        .listeners
        .iter()
        .filter_map(|(name, entry)| Some((name, entry.value.address.as_ref()?)))
        .map(|(name, address)| (format!("listener `{name}`"), address.value, Some(address.at)))
        .collect();
    if document.listeners.is_empty() {
        doors.push((format!("listener `{LISTENER_DEFAULT}`"), WEB_DEFAULT, None));
    }
    doors.push(("`admin`".to_owned(), boot.admin.address, admin.map(|address| address.at)));
    doors.push(("`metrics`".to_owned(), boot.metrics, metrics.map(|address| address.at)));
    for (idx, (name, address, at)) in doors.iter().enumerate() {
        for (other, other_address, other_at) in
            doors.iter().take(idx).filter(|door| collide(door.1, *address))
        {
            shared(report, (name, *address, *at), (other, *other_address, *other_at));
        }
    }
    check_consul_tls(document, report);
    admin_tokens::check(document, report);
    if let Some(address) = admin.filter(|address| !address.value.ip().is_loopback()) {
        let message = format!("the admin API can be reached from elsewhere at {}", address.value);
        let help = Some("write `address: 127.0.0.1:9901`, and reach it by SSH or a sidecar".to_owned());
        report.say(Code::Exposed, address.at, message, "not loopback", help);
    }
    if let Some(address) = metrics.filter(|address| !address.value.ip().is_loopback()) {
        let message = format!("metrics can be read from elsewhere, by anybody, at {}", address.value);
        let help = "write `address: 127.0.0.1:9902`, or keep the address where only your scraper reaches it";
        report.say(Code::Exposed, address.at, message, "not loopback", Some(help.to_owned()));
    }
}

/// Whether the kernel would refuse the second of two sockets; port 0 is a new port each time.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let same_host = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && same_host
}

fn shared(
    report: &mut Report,
    (name, address, at): (&str, SocketAddr, Option<Span>),
    (other, other_address, other_at): (&str, SocketAddr, Option<Span>),
) {
    let message = format!("{name} and {other} would both listen on {address}");
    let mut diagnostic = schema::Diagnostic::new(Code::SharedAddress, message);
    if let Some(at) = at {
        diagnostic = diagnostic.label(at, "taken");
    }
    if let Some(at) = other_at {
        diagnostic = diagnostic.label(at, format!("{other} is at {other_address}"));
    }
    report.add(diagnostic.help("give each a port of its own"));
}

fn check_consul_tls(document: &Document, report: &mut Report) {
    let consul = document.discovery.as_ref().and_then(|discovery| discovery.consul.as_ref());
    let Some(tls) = consul.and_then(|consul| consul.tls.as_ref()) else { return };
    if tls.cert.is_some() != tls.key.is_some() {
        let missing = if tls.cert.is_some() { "key" } else { "cert" };
        let message = format!("`discovery.consul.tls` needs `{missing}` too");
        report.say(Code::IncompleteSetting, tls.at, message, "half a client certificate", None);
    }
    let address = consul.and_then(|consul| consul.address.as_ref());
    if !address.is_some_and(|address| address.value.is_https()) {
        let message = "`discovery.consul.tls` has no effect: the address is not https";
        report.say(
            Code::NoEffect,
            tls.at,
            message,
            "no effect",
            Some("write `address: https://…`".to_owned()),
        );
    }
}
