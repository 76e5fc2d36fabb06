//! `plugins`: which plugins run on a route, in which order, with which settings.

use serde_json::{Value, json};

use crate::codes::Code;
use crate::decode::{Decode, Decoder, Definitions};
use crate::merge::Merge;
use crate::span::At;
use crate::value::{Name, Raw};
use crate::yaml::{Kind, Node};

/// One plugin in a route's list: `maintenance`, or `{ cors: { … }, failure: bypass }`.
#[derive(Debug, Clone)]
pub struct PluginUse {
    /// Which plugin.
    pub name: At<Name>,
    /// Its settings; null when only the name was written.
    pub settings: Raw,
    /// What happens to the request when the plugin breaks. Unset means deny.
    pub failure: Option<At<OnFault>>,
}

/// What happens to a request when a plugin on its way breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnFault {
    /// It goes on without the plugin.
    Bypass,
    /// It is refused.
    Deny,
}

impl Merge for PluginUse {}

impl Decode for PluginUse {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        match &node.kind {
            Kind::Scalar(_) => {
                let name = <At<Name>>::decode(node, decoder)?;
                Some(Self { name, settings: Raw { at: node.at, ..Raw::default() }, failure: None })
            }
            Kind::Map(entries) => decode_map(node, entries, decoder),
            Kind::List(_) => {
                decoder.wrong_shape(node, "a plugin's name, or a map of its name to its settings");
                None
            }
        }
    }

    fn describe(_: &mut Definitions) -> Value {
        json!({ "title": "plugin", "anyOf": [
            { "type": "string", "description": "the plugin's name" },
            { "type": "object", "description": "the plugin's name with its settings",
              "properties": { "failure": { "enum": ["bypass", "deny"],
                  "description": "What happens to the request when the plugin breaks (default `deny`)." } },
              "minProperties": 1, "maxProperties": 2 }
        ] })
    }
}

fn decode_map(
    node: &Node,
    entries: &[(crate::yaml::Key, Node)],
    decoder: &mut Decoder<'_>,
) -> Option<PluginUse> {
    let mut failure = None;
    let mut plugin = None;
    for (key, value) in entries {
        if key.text == "failure" {
            failure = <At<OnFault>>::decode(value, decoder);
        } else if plugin.is_none() {
            plugin = Some((key, value));
        } else {
            let message = "one entry of `plugins` names one plugin".to_owned();
            let help = Some(format!("give `{}` an entry of its own, so that the order is plain", key.text));
            decoder.error(Code::Exclusive, key.at, message, "a second plugin", help);
        }
    }
    let Some((key, value)) = plugin else {
        let message = "an entry of `plugins` names a plugin".to_owned();
        decoder.error(Code::MissingKey, node.at, message, "no plugin here", None);
        return None;
    };
    match Name::parse(&key.text) {
        Ok(name) => {
            let settings = Raw::decode(value, decoder)?;
            Some(PluginUse { name: At::new(name, key.at), settings, failure })
        }
        Err(why) => {
            let message = format!("`{}` is not the name of a plugin", key.text);
            decoder.error(Code::BadValue, key.at, message, "not a name", Some(why.to_owned()));
            None
        }
    }
}
