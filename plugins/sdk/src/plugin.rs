//! A kind of filter: its name, its settings and how one is built from them.
//!
//! Decides nothing at run time: a plugin exists while a configuration is compiled, its filters while traffic flows.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{BuildError, Filter};

/// A kind of filter that configuration can ask for by name.
///
/// The settings type must carry `#[serde(deny_unknown_fields)]`: a mistyped setting is an error, never silence.
/// [`Catalog::with`](crate::Catalog::with) refuses a plugin whose settings accept any key.
pub trait Plugin: 'static {
    /// The name used in a route's `plugins` list: lower-case letters, digits and `-`, starting with a letter,
    /// at most [`NAME_BYTES_MAX`](crate::catalog::NAME_BYTES_MAX) bytes.
    const NAME: &'static str;

    /// What an operator may write under the plugin's name.
    type Settings: DeserializeOwned + JsonSchema;

    /// Builds one filter. Called once for every use in a configuration, at load and at every reload.
    ///
    /// # Errors
    /// A [`BuildError`] when the settings have the right shape and the wrong meaning; its pointer names the setting.
    fn build(settings: Self::Settings) -> Result<Box<dyn Filter>, BuildError>;
}
