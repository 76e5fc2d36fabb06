//! The whole document: its top-level keys, one file each.

use crate::consumers::Consumer;
use crate::decode::keys;
use crate::discovery::Discovery;
use crate::listeners::{Listener, Network};
use crate::operation::{Admin, Metrics};
use crate::policies::PolicyKeys;
use crate::routes::Route;
use crate::span::{At, Map};
use crate::telemetry::Telemetry;
use crate::upstreams::Upstream;
use crate::value::Name;
use crate::yaml::Node;

keys! {
    /// The configuration of a Portcullis gateway.
    pub struct Document is "the document" {
        /// The version of the language. This gateway reads version `1`.
        required version: Option<At<u32>>,
        /// More files to read, as patterns inside the directory of this file. A name defined twice is an error.
        key include: Option<Vec<At<String>>>,
        /// Where clients connect, by name (default: one named `web` on 0.0.0.0:8080).
        key listeners: Map<Name, Listener>,
        /// The admin API: for operators, on loopback unless you say otherwise. Read at start; a change needs a restart.
        key admin: Option<At<Admin>>,
        /// Metrics and probes: for scrapers, without any rights. Read at start; a change needs a restart.
        key metrics: Option<At<Metrics>>,
        /// Where services are looked up. Read at start; a change needs a restart.
        key discovery: Option<At<Discovery>>,
        /// What the gateway writes down. Read at start; a change needs a restart.
        key telemetry: Option<At<Telemetry>>,
        /// Networks whose `X-Forwarded-*` headers are believed, for every listener that names none of its own.
        key trusted_proxies: Option<Vec<At<Network>>>,
        /// Settings under every route; a policy or a route may override each.
        key defaults: Option<At<PolicyKeys>>,
        /// Named sets of endpoints. A route names one in `to`.
        key upstreams: Map<Name, Upstream>,
        /// Named bundles of settings. A route lists them in `use`.
        key policies: Map<Name, PolicyKeys>,
        /// Who may call, by name, and with which keys.
        key consumers: Map<Name, Consumer>,
        /// What goes where, by name. Without any, every request is answered with 404.
        key routes: Map<Name, Route>,
    }
    later {
        "plugins": "WebAssembly plugins come later; native plugins are listed in a route's `plugins`",
        "tcp": "TCP proxying comes later",
        "grpc": "gRPC passes through ordinary routes; settings of its own come later",
        "namespaces": "namespaces come later",
        "cache": "the response cache comes later",
    }
    check check_version;
}

/// The version of the language that this crate reads.
pub const VERSION: u32 = 1;

fn check_version(document: &Document, _: &Node, decoder: &mut crate::decode::Decoder<'_>) {
    if let Some(version) = document.version.as_ref().filter(|version| version.value != VERSION) {
        let message = format!("version {} of the language is not known", version.value);
        let help = Some(format!("this gateway reads `version: {VERSION}`"));
        decoder.error(crate::codes::Code::BadVersion, version.at, message, "not known", help);
    }
}
