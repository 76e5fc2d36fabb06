//! The explicit list of plugins a binary carries, and the one door through which filters are built.
//!
//! Built-in and foreign plugins enter the same way. Nothing registers itself: what is not listed does not exist.

use std::collections::BTreeMap;
use std::fmt;

use schemars::Schema;
use serde_json::Value;
use serde_path_to_error::Segment;
use thiserror::Error;

use crate::fault::pointer_token;
use crate::{BuildError, Filter, Plugin};

/// The longest plugin name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// How many edits away a known name may be to be suggested for an unknown one.
const SUGGESTION_EDITS_MAX: usize = 3;

type Build = fn(&Value) -> Result<Box<dyn Filter>, BuildError>;

/// The plugins of a binary, by name.
#[derive(Clone, Default)]
pub struct Catalog {
    entries: BTreeMap<&'static str, Entry>,
}

#[derive(Clone)]
struct Entry {
    schema: Schema,
    build: Build,
}

/// A plugin that cannot be listed: a mistake in the plugin, not in a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CatalogError {
    /// Two plugins have this name.
    #[error("plugin `{0}` is listed twice")]
    Twice(&'static str),
    /// The name is not lower-case letters, digits and `-`, or is too long.
    #[error(
        "plugin name `{0}` must be lower-case letters, digits and `-`, start with a letter, and have at most {NAME_BYTES_MAX} bytes"
    )]
    Name(&'static str),
    /// The settings would accept keys that mean nothing.
    #[error("the settings of plugin `{0}` accept unknown keys: give them #[serde(deny_unknown_fields)]")]
    LooseSettings(&'static str),
}

impl Catalog {
    /// A catalog without plugins.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: BTreeMap::new() }
    }

    /// The same catalog with one plugin more.
    ///
    /// # Errors
    /// A [`CatalogError`] for a name that is taken or malformed, or settings that accept unknown keys.
    pub fn with<P: Plugin>(mut self) -> Result<Self, CatalogError> {
        let name = P::NAME;
        if !is_name(name) {
            return Err(CatalogError::Name(name));
        }
        let schema = schemars::schema_for!(P::Settings);
        if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
            return Err(CatalogError::LooseSettings(name));
        }
        if self.entries.insert(name, Entry { schema, build: build::<P> }).is_some() {
            return Err(CatalogError::Twice(name));
        }
        Ok(self)
    }

    /// Builds a filter of the named plugin from what the configuration says.
    ///
    /// # Errors
    /// A [`BuildError`] for an unknown plugin (empty pointer) or refused settings (pointer to the setting).
    pub fn build(&self, name: &str, settings: &Value) -> Result<Box<dyn Filter>, BuildError> {
        let Some(entry) = self.entries.get(name) else {
            let known = self.names().collect::<Vec<_>>();
            return Err(BuildError::new("", unknown("plugin", name, &known)));
        };
        check_keys(&entry.schema, settings)?;
        (entry.build)(settings)
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.entries.keys().copied()
    }

    /// The JSON Schema of the named plugin's settings.
    #[must_use]
    pub fn settings_schema(&self, name: &str) -> Option<&Schema> {
        self.entries.get(name).map(|entry| &entry.schema)
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.entries.keys()).finish()
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn build<P: Plugin>(settings: &Value) -> Result<Box<dyn Filter>, BuildError> {
    let settings = serde_path_to_error::deserialize::<_, P::Settings>(settings)
        .map_err(|error| BuildError::new(pointer(error.path()), error.inner().to_string()))?;
    P::build(settings)
}

/// Serde names an unknown key but suggests none; the schema knows the neighbours.
fn check_keys(schema: &Schema, settings: &Value) -> Result<(), BuildError> {
    let Value::Object(map) = settings else {
        return Err(BuildError::new("", "the settings of a plugin are a map"));
    };
    let known = schema.get("properties").and_then(Value::as_object);
    let known: Vec<&str> = known.into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    match map.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => {
            Err(BuildError::new(format!("/{}", pointer_token(key)), unknown("setting", key, &known)))
        }
        None => Ok(()),
    }
}

fn unknown(kind: &str, name: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), *candidate))
        .filter(|(edits, candidate)| *edits <= SUGGESTION_EDITS_MAX && *edits < candidate.len())
        .min();
    match nearest {
        Some((_, candidate)) => format!("unknown {kind} `{name}`; did you mean `{candidate}`?"),
        None if known.is_empty() => format!("unknown {kind} `{name}`; there is none"),
        None => format!("unknown {kind} `{name}`; known: {}", known.join(", ")),
    }
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        let token = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => pointer_token(key),
            Segment::Enum { variant } => pointer_token(variant),
            Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&token);
    }
    pointer
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::Hooks;

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        header: String,
        #[serde(default)]
        #[expect(dead_code, reason = "read by serde and the schema only")]
        nested: Vec<Nested>,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Nested {
        #[expect(dead_code, reason = "read by serde and the schema only")]
        size: u8,
    }

    struct Idle;
    impl Filter for Idle {
        fn hooks(&self) -> Hooks {
            Hooks::NONE
        }
    }

    struct Country;
    impl Plugin for Country {
        const NAME: &'static str = "country";
        type Settings = Settings;

        fn build(settings: Settings) -> Result<Box<dyn Filter>, BuildError> {
            if settings.header.is_empty() {
                return Err(BuildError::new("/header", "must not be empty"));
            }
            Ok(Box::new(Idle))
        }
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    struct Open {}

    struct Loose;
    impl Plugin for Loose {
        const NAME: &'static str = "loose";
        type Settings = Open;

        fn build(_: Open) -> Result<Box<dyn Filter>, BuildError> {
            Ok(Box::new(Idle))
        }
    }

    struct Shouting;
    impl Plugin for Shouting {
        const NAME: &'static str = "LOUD";
        type Settings = Settings;

        fn build(_: Settings) -> Result<Box<dyn Filter>, BuildError> {
            Ok(Box::new(Idle))
        }
    }

    fn check(settings: Value) -> Result<(), String> {
        let catalog = Catalog::new().with::<Country>().unwrap();
        catalog.build("country", &settings).map(|_| ()).map_err(|e| e.to_string())
    }

    #[test]
    fn right_settings_build_a_filter() {
        assert_eq!(check(json!({ "header": "x" })), Ok(()));
    }

    #[test]
    fn an_unknown_setting_is_refused_with_the_nearest_name() {
        assert_eq!(
            check(json!({ "headr": "x" })),
            Err("/headr: unknown setting `headr`; did you mean `header`?".into())
        );
        assert_eq!(
            check(json!({ "header": "x", "zzzzzzzz": 1 })),
            Err("/zzzzzzzz: unknown setting `zzzzzzzz`; known: header, nested".into())
        );
    }

    #[test]
    fn a_setting_of_the_wrong_type_is_pointed_at_however_deep() {
        let error =
            check(json!({ "header": "x", "nested": [{ "size": 1 }, { "size": "big" }] })).unwrap_err();
        assert!(error.starts_with("/nested/1/size: invalid type"), "{error}");
        let error = check(json!({ "header": "x", "nested": [{ "sise": 1 }] })).unwrap_err();
        assert!(error.starts_with("/nested/0") && error.contains("unknown field `sise`"), "{error}");
    }

    #[test]
    fn a_missing_setting_and_settings_that_are_no_map_are_refused() {
        assert_eq!(check(json!({})), Err("missing field `header`".into()));
        assert_eq!(check(json!("x")), Err("the settings of a plugin are a map".into()));
        assert_eq!(check(Value::Null), Err("the settings of a plugin are a map".into()));
    }

    #[test]
    fn the_plugin_itself_may_refuse() {
        assert_eq!(check(json!({ "header": "" })), Err("/header: must not be empty".into()));
    }

    #[test]
    fn an_unknown_plugin_is_refused_with_the_nearest_name() {
        let catalog = Catalog::new().with::<Country>().unwrap();
        let error = |name| catalog.build(name, &json!({})).map(|_| ()).unwrap_err().to_string();
        assert_eq!(error("contry"), "unknown plugin `contry`; did you mean `country`?");
        assert_eq!(error("geo-blocking"), "unknown plugin `geo-blocking`; known: country");
    }

    #[test]
    fn a_plugin_that_would_swallow_unknown_keys_is_not_listed() {
        assert_eq!(Catalog::new().with::<Loose>().unwrap_err(), CatalogError::LooseSettings("loose"));
    }

    #[test]
    fn names_are_checked_and_unique() {
        assert_eq!(Catalog::new().with::<Shouting>().unwrap_err(), CatalogError::Name("LOUD"));
        let twice = Catalog::new().with::<Country>().and_then(Catalog::with::<Country>);
        assert_eq!(twice.unwrap_err(), CatalogError::Twice("country"));
    }

    #[test]
    fn the_schema_of_the_settings_can_be_had() {
        let catalog = Catalog::new().with::<Country>().unwrap();
        assert_eq!(catalog.names().collect::<Vec<_>>(), ["country"]);
        assert!(catalog.settings_schema("country").unwrap().get("properties").is_some());
        assert!(catalog.settings_schema("other").is_none());
    }
}
