//! What changes a request or a reply on its way: header edits and plugins.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use portcullis_plugin_sdk::Catalog;
use portcullis_plugin_sdk::view::is_gateway_owned;
use portcullis_schema as schema;
use portcullis_schema::{At, Code, Span};

use super::fingerprint;
use super::gates::header;
use super::report::Report;
use crate::chain::{Chain, ChainLink, OnFault};
use crate::snapshot::HeaderEdits;

/// Chains and edits, each built once for all routes that have the same.
#[derive(Debug)]
pub(super) struct FilterPool<'c> {
    catalog: &'c Catalog,
    chains: BTreeMap<String, Arc<Chain>>,
    edits: Vec<Arc<HeaderEdits>>,
    no_edits: Arc<HeaderEdits>,
}

impl<'c> FilterPool<'c> {
    pub(super) fn new(catalog: &'c Catalog) -> Self {
        Self { catalog, chains: BTreeMap::new(), edits: Vec::new(), no_edits: Arc::default() }
    }

    /// The chain of these plugins and its fingerprint; plugins that cannot be built are reported and left out.
    pub(super) fn chain(
        &mut self,
        plugins: &[At<schema::PluginUse>],
        report: &mut Report,
    ) -> (Arc<Chain>, u64) {
        let describe = |plugin: &At<schema::PluginUse>| {
            let failure = plugin.failure.as_ref().map(|failure| failure.value);
            format!("{} {failure:?} {}\n", plugin.name.value, plugin.settings.value)
        };
        let key: String = plugins.iter().map(describe).collect();
        let print = fingerprint::of(&key);
        if let Some(known) = self.chains.get(&key) {
            return (Arc::clone(known), print);
        }
        let links: Vec<ChainLink> = plugins.iter().filter_map(|plugin| self.link(plugin, report)).collect();
        let is_complete = links.len() == plugins.len();
        let chain = Arc::new(Chain::new(links));
        if is_complete {
            self.chains.insert(key, Arc::clone(&chain));
        }
        (chain, print)
    }

    fn link(&self, plugin: &schema::PluginUse, report: &mut Report) -> Option<ChainLink> {
        let name = plugin.name.value.as_str();
        if !self.catalog.names().any(|known| known == name) {
            report.unknown(Code::UnknownPlugin, plugin.name.at, "plugin", name, self.catalog.names());
            return None;
        }
        let nothing = serde_json::json!({});
        let settings = if plugin.settings.value.is_null() { &nothing } else { &plugin.settings.value };
        match self.catalog.build(name, settings) {
            Ok(filter) => Some(ChainLink {
                filter: Arc::from(filter),
                name: plugin.name.value.shared(),
                failure: match plugin.failure.as_ref().map(|failure| failure.value) {
                    Some(schema::OnFault::Bypass) => OnFault::Bypass,
                    Some(schema::OnFault::Deny) | None => OnFault::Deny,
                },
            }),
            Err(why) => {
                let at = plugin.settings.place(&why.pointer);
                let message = format!("plugin `{name}` refuses its settings: {}", why.message);
                report.say(Code::BadPluginSettings, at, message, "refused", None);
                None
            }
        }
    }

    /// The edits as the data path applies them.
    pub(super) fn edits(
        &mut self,
        edits: Option<&At<schema::HeaderEdits>>,
        report: &mut Report,
    ) -> Arc<HeaderEdits> {
        let Some(edits) = edits else { return Arc::clone(&self.no_edits) };
        let remove = edits.remove.iter().flatten().filter_map(|name| editable(&name.value, name.at, report));
        let compiled = HeaderEdits {
            remove: remove.collect(),
            set: fields(&edits.value.set, report),
            add: fields(&edits.value.add, report),
        };
        if let Some(known) = self.edits.iter().find(|known| ***known == compiled) {
            return Arc::clone(known);
        }
        let fresh = Arc::new(compiled);
        self.edits.push(Arc::clone(&fresh));
        fresh
    }
}

fn fields(
    fields: &schema::Map<schema::HeaderName, At<String>>,
    report: &mut Report,
) -> Box<[(HeaderName, HeaderValue)]> {
    let mut compiled = Vec::new();
    for (name, entry) in fields {
        let value = &entry.value;
        let name = editable(name, entry.at, report);
        match (name, HeaderValue::from_str(&value.value)) {
            (Some(name), Ok(value)) => compiled.push((name, value)),
            (None, Ok(_)) => {}
            (_, Err(_)) => {
                let help =
                    Some("a header value is one line of visible ASCII characters and blanks".to_owned());
                report.say(Code::BadValue, value.at, "not the value of a header", "not a header value", help);
            }
        }
    }
    compiled.into()
}

/// The name, unless the gateway is answerable for the field.
fn editable(name: &schema::HeaderName, at: Span, report: &mut Report) -> Option<HeaderName> {
    let text = name.as_str();
    let compiled = header(name)?;
    let is_way = text == "via" || text == "forwarded" || text.starts_with("x-forwarded-");
    if is_gateway_owned(&compiled) || is_way {
        let message = format!("header `{text}` is the gateway's and cannot be changed");
        report.say(Code::ProtectedHeader, at, message, "protected", None);
        return None;
    }
    Some(compiled)
}
