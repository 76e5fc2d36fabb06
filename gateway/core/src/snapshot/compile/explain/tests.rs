//! That the explanation tells of the route that serves requests, and of nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use portcullis_plugin_sdk::{BuildError, Catalog, Fault, Filter, Flow, Hooks, Plugin, RequestView};
use portcullis_schema::{ByteSize, MemorySource, Share, Style, json_schema, load, parse_duration, render};
use schemars::JsonSchema;
use serde::Deserialize;

use super::*;
use crate::limit::LimitSeed;
use crate::snapshot::{Carried, compile};

/// A plugin that does nothing, in place of those the product has.
struct Idle;

/// The settings that files here give to it.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    origins: Vec<String>,
    credentials: bool,
    status: Option<u16>,
    password: BTreeMap<String, String>,
    use_token: bool,
}

macro_rules! idle {
    ($($plugin:ident $name:literal)+) => {$(
        struct $plugin;

        impl Plugin for $plugin {
            const NAME: &'static str = $name;
            type Settings = Settings;

            fn build(_: Settings) -> Result<Box<dyn Filter>, BuildError> {
                Ok(Box::new(Idle))
            }
        }
    )+};
}

idle! { Cors "cors" Answer "answer" }

impl Filter for Idle {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST
    }

    fn on_request(&self, _: &mut RequestView<'_>) -> Result<Flow, Fault> {
        Ok(Flow::Continue)
    }
}

fn compiled(text: &str) -> (Loaded, Option<Snapshot>) {
    let source = MemorySource::new().with("g.yaml", text);
    let env = BTreeMap::from([("SECRET".to_owned(), "s3cret".to_owned())]);
    let loaded = load(Path::new("g.yaml"), &source, &env);
    let catalog = Catalog::new().with::<Cors>().and_then(Catalog::with::<Answer>).unwrap();
    let compiled = compile(&loaded, &catalog, &Carried::nothing(LimitSeed([1, 2])));
    (loaded, compiled.snapshot)
}

/// The explanation of the route `a`, one line a setting.
fn lines(text: &str) -> Vec<String> {
    let (loaded, snapshot) = compiled(text);
    let shown = render(&loaded.diagnostics, &loaded.sources, Style::Plain);
    let explanation = explain(&loaded, &snapshot.expect(&shown), "a").unwrap();
    let line = |setting: &Explained| {
        let upstream = setting.upstream.as_ref().map(|name| format!("@{name}")).unwrap_or_default();
        let place = setting.at.map(|at| format!(":{}", at.line)).unwrap_or_default();
        format!("{}{upstream} = {} ({}{place})", setting.key, setting.value, setting.origin)
    };
    explanation.settings.iter().map(line).collect()
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let lines = lines(text);
    for expected in expected {
        let holds = match expected.strip_prefix("no ") {
            Some(key) => !lines.iter().any(|line| line.starts_with(key)),
            None => lines.iter().any(|line| line == expected),
        };
        assert!(holds, "{expected:?} does not hold:\n{}", lines.join("\n"));
    }
}

const LAYERS: &str = "\
version: 1
defaults:
  rate_limit: { rate: 100/s, burst: 7 }
  retry: { attempts: 3, statuses: [502] }
  plugins: [cors]
  request_headers: { set: { X-A: one, X-B: one } }
  max_body: 1MiB
policies:
  strict: { rate_limit: 10/s, retry: none, request_headers: { set: { x-b: two } } }
  again: { retry: { budget: 5% }, max_body: none }
routes:
  a:
    path: /a
    use: [strict, again]
    rate_limit: { by: route }
    plugins: []
    to: consul://a
";

#[test]
fn each_value_is_that_of_the_layer_that_won() {
    check(
        LAYERS,
        &[
            "path = /a (route:13)",
            "use = [strict, again] (route:14)",
            "to = consul://a (route:17)",
            "rate_limit.rate = 10/s (policy strict:9)",
            "rate_limit.burst = 7 (defaults:3)",
            "rate_limit.by = route (route:15)",
            "rate_limit.dry_run = false (default)",
            "retry.budget.share = 5% (policy again:10)",
            "retry.attempts = 2 (default)",
            "retry.statuses = [502, 503, 504] (default)",
            "request_headers.set.X-A = one (defaults:6)",
            "request_headers.set.x-b = two (policy strict:9)",
            "max_body = none (policy again:10)",
            "plugins = [] (route:16)",
            "jwt = none (default)",
            "no request_headers.set.X-B",
            "no plugins[0]",
        ],
    );
}

#[test]
fn times_say_towards_which_upstream_where_it_matters() {
    let text = "\
version: 1
defaults: { timeout: { request: 9s, connect: 2s } }
upstreams:
  one: { service: consul://one, timeout: { connect: 3s, idle: none } }
  two: consul://two
routes:
  a: { path: /a, timeout: 4s, weights: { one: 1, two: 2 } }
";
    check(
        text,
        &[
            "weights.one = 1 (route:7)",
            "timeout.connect@one = 3s (upstream one:4)",
            "timeout.idle@one = none (upstream one:4)",
            "timeout.request@one = 4s (route:7)",
            "timeout.connect@two = 2s (defaults:2)",
            "timeout.idle@two = 60s (default)",
            "timeout.request@two = 4s (route:7)",
        ],
    );
    check(
        &text.replace(", timeout: { connect: 3s, idle: none }", ""),
        &["timeout.connect = 2s (defaults:2)", "timeout.idle = 60s (default)", "no timeout.idle@"],
    );
}

#[test]
fn secrets_are_masked_and_variables_not_expanded() {
    let text = "\
version: 1
routes:
  a:
    path: /a
    to: consul://a
    headers: { X-Beta: '${SECRET}', X-Access-Token: s3cret }
    request_headers: { set: { Authorization: s3cret, X-Key: \"${SECRET}\", X-Api-Key: '${SECRET}' } }
    plugins: [{ cors: { origins: [x, y], password: { old: s3cret }, use_token: true } }]
    fallback:
      - { text: 'for ${SECRET}', on: [timeout] }
      - status: 504
";
    check(
        text,
        &[
            "headers.X-Beta.is = '${SECRET}' (route:6)",
            "headers.X-Access-Token.is = *** (route:6)",
            "request_headers.set.Authorization = *** (route:7)",
            "request_headers.set.X-Key = \"${SECRET}\" (route:7)",
            "request_headers.set.X-Api-Key = '${SECRET}' (route:7)",
            "plugins[0].cors.origins = [x, y] (route:8)",
            "plugins[0].cors.password.old = *** (route:8)",
            "plugins[0].cors.use_token = true (route:8)",
            "plugins[0].failure = deny (default)",
            "fallback[0].text = 'for ${SECRET}' (route:10)",
            "fallback[0].on = [timeout] (route:10)",
            "fallback[0].status = 503 (default)",
            "fallback[1].status = 504 (route:11)",
        ],
    );
    assert!(!lines(text).join("\n").contains("s3cret"));
}

#[test]
fn an_alias_is_of_the_layer_that_uses_it() {
    let text = "\
version: 1
policies:
  one: &one { retry: { attempts: 4 } }
  two: *one
routes:
  a: { path: /a, use: [one, two], to: consul://a }
";
    check(text, &["retry.attempts = 4 (policy two:3)"]);
}

#[test]
fn gates_are_on_where_a_request_can_be_stopped() {
    let on = |settings: &str| {
        let text = format!(
            "version: 1\nconsumers: {{ c: {{ api_keys: [{{ sha256: {:064} }}], rate_limit: 5/s }} }}\n\
             routes: {{ a: {{ path: /a, to: consul://a, {settings} }} }}\n",
            0
        );
        let (loaded, snapshot) = compiled(&text);
        let explanation = explain(&loaded, &snapshot.unwrap(), "a").unwrap();
        assert!(explanation.gates.iter().map(|(gate, _)| *gate).eq(Gate::ORDER));
        let on = explanation.gates.iter().filter(|(_, is_on)| *is_on).map(|(gate, _)| gate.as_str());
        on.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(on("max_body: none"), "");
    assert_eq!(on("rate_limit: 5/s"), "rate_limit max_body");
    assert_eq!(on("api_key: X-Api-Key, plugins: [cors]"), "api_key consumer_limit max_body plugins");
    let jwt = "jwt: { jwks: \"consul://u/keys\" }, rate_limit: { rate: 5/s, by: consumer }";
    assert_eq!(on(jwt), "jwt consumer_limit max_body");
    assert_eq!(on("jwt: { jwks: \"consul://u/keys\" }, api_key: X-Key"), "api_key jwt max_body");
}

#[test]
fn the_sections_are_the_keys_of_a_policy() {
    let schema = json_schema();
    let keys: BTreeSet<&str> =
        schema["$defs"]["PolicyKeys"]["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(SECTIONS));
}

/// The examples that are shipped and the golden files of compiling.
fn files() -> Vec<PathBuf> {
    let core = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [core.join("../../config/examples"), core.join("tests/golden")];
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect()
}

#[test]
fn what_is_shown_as_written_is_what_is_in_force() {
    let (mut n_routes, mut n_compared) = (0, 0);
    for file in files() {
        let (loaded, snapshot) = compiled(&std::fs::read_to_string(&file).unwrap());
        let Some(snapshot) = snapshot else {
            assert!(!file.to_string_lossy().contains("examples"), "{} has errors", file.display());
            continue;
        };
        let alone: Vec<_> = loaded
            .document
            .routes
            .keys()
            .filter_map(|name| explain(&loaded, &snapshot, name.as_str()))
            .collect();
        assert!(explain_all(&loaded, &snapshot).eq(alone), "{}: alone is not as among all", file.display());
        for (name, entry) in &loaded.document.routes {
            let context = format!("{}: {name}", file.display());
            let explanation = explain(&loaded, &snapshot, name.as_str()).expect(&context);
            let compiled = snapshot.route(name.as_str()).unwrap();
            n_routes += 1;
            n_compared += agrees(&explanation, compiled, &context);
            let said = Explainer::of(&loaded, &snapshot).layers(&entry.value);
            for setting in explanation.settings.iter().filter(|setting| setting.at.is_some()) {
                let is_said = said.iter().any(|(origin, written)| {
                    *origin == setting.origin
                        && written.iter().any(|one| one.key == setting.key && Some(one.at) == setting.at)
                });
                let is_upstreams = matches!(setting.origin, Origin::Upstream(_));
                assert!(is_said || is_upstreams, "{context}: nobody says {setting:?}");
            }
        }
    }
    assert!(n_routes >= 30 && n_compared >= 100, "{n_routes} routes, {n_compared} values");
}

/// Compares every written value with the one in force; says how many there were.
fn agrees(explanation: &Explanation, compiled: &crate::snapshot::Route, context: &str) -> usize {
    let mut n_compared = 0;
    for destination in destinations(compiled) {
        let in_force = in_force(compiled).into_iter().chain(times_in_force(&destination.timeouts));
        for (key, value) in in_force {
            let name = &destination.upstream.name;
            let setting = explanation
                .settings
                .iter()
                .find(|one| one.key == key && one.upstream.as_ref().is_none_or(|towards| towards == name))
                .unwrap_or_else(|| panic!("{context}: {key} is in force and not explained"));
            if setting.origin != Origin::Portcullis && !setting.value.contains("${") {
                assert_eq!(meaning(&setting.value), meaning(&value), "{context}: {key}");
                n_compared += 1;
            }
        }
    }
    n_compared
}

/// What a value means, however it is written.
fn meaning(text: &str) -> String {
    let text = text.trim_matches(['"', '\'']);
    if let Some(items) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let mut items: Vec<String> = items.split(", ").map(meaning).filter(|item| item != "head").collect();
        items.sort();
        return items.join(", ");
    }
    if let Ok(time) = parse_duration(text) {
        return format!("{time:?}");
    }
    if let Ok(ByteSize(bytes)) = ByteSize::parse(text) {
        return bytes.to_string();
    }
    Share::parse(text).map_or_else(|_| text.to_lowercase(), |Share(share)| share.to_string())
}
