//! What loading makes of documents: values, merging, variables, secrets, and what it does with nonsense.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use portcullis_schema::{
    At, ByteSize, Code, Document, JwksSource, LimitBy, Loaded, MemorySource, Merge, PolicyKeys, Rate,
    SecretSource, ServiceRef, Setting, Style, Target, TestRequest, load, nearest, parse_duration, render,
};
use proptest::prelude::*;

fn load_text(text: &str, env: &[(&str, &str)]) -> Loaded {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    load(Path::new("g.yaml"), &MemorySource::new().with("g.yaml", text), &env)
}

fn good(text: &str, env: &[(&str, &str)]) -> Document {
    let loaded = load_text(text, env);
    let shown = render(&loaded.diagnostics, &loaded.sources, Style::Plain);
    assert!(!loaded.has_errors(), "{shown}");
    loaded.document
}

fn codes(text: &str) -> Vec<&'static str> {
    load_text(text, &[]).diagnostics.iter().map(|diagnostic| diagnostic.code.as_str()).collect()
}

#[test]
fn durations_sizes_rates_and_shares_need_their_unit() {
    for (text, millis) in
        [("500ms", 500), ("10s", 10_000), ("1.5s", 1_500), ("1m30s", 90_000), ("1h", 3_600_000)]
    {
        assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
    }
    for text in ["", "10", "s", "-1s", "1e3s", "10 parsecs", "1s2", "99999999d", "1.2.3s", "NaNs", "infs"] {
        assert!(parse_duration(text).is_err(), "{text}");
    }
    for (text, bytes) in
        [("512B", 512), ("64KiB", 65_536), ("2MiB", 2_097_152), ("10MB", 10_000_000), ("1.5kB", 1_500)]
    {
        assert_eq!(ByteSize::parse(text), Ok(ByteSize(bytes)), "{text}");
    }
    for text in ["", "5", "MiB", "5 megabytes", "-5MiB", "99999999999999GiB"] {
        assert!(ByteSize::parse(text).is_err(), "{text}");
    }
    assert_eq!(Rate::parse("5/m").map(|rate| (rate.permits.get(), rate.per.as_secs())), Ok((5, 60)));
    for text in ["", "5", "0/s", "/s", "5/y", "-5/s", "99999999999/s"] {
        assert!(Rate::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_line_ends_where_an_editor_ends_it() {
    let text = "version: 1\r\nroutes:\r\n  # nothing to see\r  a: { path: /admin, to: consul://a }\r\n";
    let loaded = load_text(text, &[]);
    let places: Vec<_> = loaded.diagnostics.iter().filter_map(|found| found.at()).collect();
    assert_eq!(codes(text), ["E0101"]);
    assert_eq!(places.iter().map(|at| (at.line, at.column)).collect::<Vec<_>>(), [(3, 19)]);
    assert!(!loaded.complete);
}

#[test]
fn references_are_read_whole_or_refused() {
    let service = ServiceRef::parse("consul://orders?tag=v2&dc=eu&passing=true").unwrap();
    assert_eq!((&*service.name, service.tag.as_deref(), service.passing), ("orders", Some("v2"), Some(true)));
    assert!(matches!(Target::parse("orders"), Ok(Target::Upstream(_))));
    assert!(matches!(Target::parse("http://127.0.0.1:80"), Ok(Target::Address(_))));
    assert!(matches!(JwksSource::parse("consul://users/jwks.json"), Ok(JwksSource::Service { .. })));
    for text in
        ["consul://", "consul://a b", "consul://a?x=1", "consul://a/path", "consul://a?tag=", "https://a", ""]
    {
        assert!(Target::parse(text).is_err(), "{text}");
    }
    let request = TestRequest::parse("GET https://Shop.example.com?x=1").unwrap();
    assert_eq!((request.scheme, request.host.as_deref()), (Some("https"), Some("shop.example.com")));
    assert_eq!(request.path_and_query, "/?x=1");
}

#[test]
fn short_and_long_forms_mean_the_same() {
    let document = good(
        "version: 1
upstreams: { a: consul://a, b: { service: consul://b }, c: http://127.0.0.1:80 }
policies:
  short: { rate_limit: 100/s, timeout: 10s, retry: { budget: 20% }, api_key: X-Key }
  long: { rate_limit: { rate: 100/s }, timeout: { request: 10s }, retry: { budget: { share: 20% } } }
routes:
  r: { path: /a, host: a.example.com, to: a, headers: { X-A: 1, x-b: { present: false } } }
",
        &[],
    );
    let rate = |name: &str| match &document.policies[name].value.rate_limit.as_ref().unwrap().value {
        Setting::On(limit) => limit.rate.as_ref().map(|rate| rate.permits.get()),
        Setting::Off => None,
    };
    assert_eq!((rate("short"), rate("long")), (Some(100), Some(100)));
    let route = &document.routes["r"].value;
    assert_eq!(route.host.as_ref().unwrap().0[0].as_str(), "a.example.com");
    assert_eq!(route.headers["x-a"].value.is.as_ref().unwrap().value, "1");
    assert_eq!(document.upstreams["c"].value.hosts.as_ref().map(Vec::len), Some(1));
}

#[test]
fn layers_merge_by_key_lists_replace_and_none_turns_off() {
    let document = good(
        "version: 1
policies:
  below:
    rate_limit: { rate: 100/s, burst: 50, by: consumer }
    retry: { attempts: 3, statuses: [502, 503] }
    response_headers: { set: { A: 1, B: 1 } }
  above:
    rate_limit: 5/m
    retry: { statuses: [504] }
    response_headers: { set: { b: 2 } }
  off: { retry: none }
",
        &[],
    );
    let policy = |name: &str| document.policies[name].value.clone();
    let mut merged: PolicyKeys = policy("below");
    merged.merge(&policy("above"));
    let limit = merged.rate_limit.clone().unwrap().value.on().cloned().unwrap();
    assert_eq!(limit.rate.unwrap().permits.get(), 5);
    assert_eq!(limit.burst.unwrap().get(), 50);
    assert_eq!(limit.by.unwrap().value, LimitBy::Consumer);
    let retry = merged.retry.clone().unwrap().value.on().cloned().unwrap();
    assert_eq!(retry.attempts.unwrap().value, 3);
    assert_eq!(retry.statuses.unwrap().iter().map(|status| status.value).collect::<Vec<_>>(), [504]);
    let set = merged.response_headers.clone().unwrap().value.set;
    assert_eq!((&*set["a"].value.value, &*set["b"].value.value), ("1", "2"));
    merged.merge(&policy("off"));
    assert!(matches!(merged.retry, Some(At { value: Setting::Off, .. })));
    merged.merge(&policy("above"));
    assert!(matches!(merged.retry, Some(At { value: Setting::On(_), .. })));
}

#[test]
fn a_byte_order_mark_is_no_column() {
    for text in ["\u{feff}a: [", "\u{feff}a: 1\r", "\u{feff}routes: 1\n"] {
        let loaded = load_text(text, &[]);
        let bare = load_text(text.trim_start_matches('\u{feff}'), &[]);
        let places = |loaded: &Loaded| -> Vec<_> {
            loaded.diagnostics.iter().filter_map(|found| found.at()).map(|at| (at.line, at.column)).collect()
        };
        assert!(!places(&loaded).is_empty());
        assert_eq!(places(&loaded), places(&bare), "{text:?}");
    }
}

#[test]
fn a_finding_names_a_variable_and_does_not_repeat_what_it_holds() {
    let env = [("LONG", "hold-your-tongue"), ("LONGER", "hold-your-tongue-now"), ("SHORT", "v1")];
    let text = "version: 1\nroutes:\n  a: { path: \"${LONG}/x\", to: consul://a }\n  \
                b: { path: \"${LONGER}/x\", to: consul://a }\n  c: { path: \"${SHORT}/x\", to: consul://a }\n";
    let loaded = load_text(text, &env);
    let helps: Vec<_> = loaded.diagnostics.iter().filter_map(|found| found.help.as_deref()).collect();
    assert_eq!(helps, ["write `/${LONG}/x`", "write `/${LONGER}/x`", "write `/v1/x`"]);
    let shown = render(&loaded.diagnostics, &loaded.sources, Style::Plain);
    assert!(!shown.contains("hold-your-tongue"), "{shown}");
}

#[test]
fn variables_are_expanded_in_values_of_any_kind() {
    let document = good(
        "version: ${VERSION}
discovery: { consul: { address: \"${ADDRESS:-http://127.0.0.1:8500}\", token_env: TOKEN, datacenter: \"$${x}${EMPTY:-eu}\" } }
routes: { a: { path: \"/${NAME}/x\", to: \"consul://${NAME}\", priority: \"${UNSET:-}7\" } }
",
        &[("VERSION", "1"), ("NAME", "orders"), ("EMPTY", ""), ("TOKEN", "hush")],
    );
    let consul = document.discovery.unwrap().value.consul.unwrap().value;
    assert_eq!(consul.address.as_ref().unwrap().as_str(), "http://127.0.0.1:8500");
    assert_eq!(consul.datacenter.as_ref().unwrap().value, "${x}eu");
    assert_eq!(document.routes["a"].value.path.as_ref().unwrap().value, "/orders/x");
    assert!(matches!(&consul.token, Some(SecretSource::Value(token)) if token.reveal() == "hush"));
    assert!(!format!("{consul:?}").contains("hush"));
}

#[test]
fn secrets_are_in_no_output() {
    let env = [("HIDDEN", "hush-from-env")];
    for text in [
        "version: 1\ndiscovery:\n  consul:\n    token: hush-in-file\n    oops: 1\n    address: ${HIDDEN}\n",
        "version: 1\ndiscovery:\n  consul:\n    token: hush-in-file\n   broken: [\n",
    ] {
        let loaded = load_text(text, &env);
        assert!(loaded.has_errors());
        let mut shown = render(&loaded.diagnostics, &loaded.sources, Style::Plain);
        for diagnostic in &loaded.diagnostics {
            write!(shown, "{}", diagnostic.to_json(&loaded.sources)).unwrap();
        }
        write!(shown, "{:?}", loaded.document).unwrap();
        assert!(!shown.contains("hush"), "{shown}");
    }
}

#[test]
fn what_can_be_read_is_read_beside_what_cannot() {
    let loaded = load_text(
        "version: 1\nupstreams: { a: { balance: x, service: consul://a }, b: 5 }\nroutes: { r: { path: /a, to: a, timeout: 5 }, s: 7 }\n",
        &[],
    );
    assert_eq!(loaded.diagnostics.len(), 4);
    assert!(loaded.complete && loaded.has_errors());
    assert_eq!(loaded.document.upstreams.keys().map(ToString::to_string).collect::<Vec<_>>(), ["a", "b"]);
    assert!(loaded.document.upstreams["a"].value.service.is_some());
    assert!(loaded.document.routes["r"].value.to.is_some());
    assert!(!load_text("version: 1\nroutes: [", &[]).complete);
}

#[test]
fn findings_carry_their_place_as_json() {
    let loaded = load_text("version: 1\nroutes:\n  a: { path: /a, too: consul://a }\n", &[]);
    let json = loaded.diagnostics[0].to_json(&loaded.sources);
    assert_eq!((&json["code"], &json["line"], &json["column"]), (&"E0201".into(), &3.into(), &18.into()));
    assert_eq!(json["excerpt"], "a: { path: /a, too: consul://a }");
    assert_eq!(json["help"], "did you mean `to`?");
    assert_eq!(json["file"], "g.yaml");
    let colour = render(&loaded.diagnostics, &loaded.sources, Style::Colour);
    assert!(colour.contains("\x1b[") && colour.ends_with("1 error\n"), "{colour}");
}

#[test]
fn a_plugin_keeps_its_settings_with_their_places() {
    let document = good(
        "version: 1\nroutes:\n  a:\n    path: /a\n    to: consul://a\n    plugins:\n      - maintenance\n      - { cors: { origins: [x, 5, true], max: ~ }, failure: bypass }\n",
        &[],
    );
    let plugins = document.routes["a"].value.policy.plugins.clone().unwrap();
    assert_eq!(plugins[0].name.as_str(), "maintenance");
    let cors = &plugins[1];
    assert_eq!(cors.settings.value, serde_json::json!({ "origins": ["x", 5, true], "max": null }));
    assert_eq!(cors.settings.place("/origins/1").column, 32);
    assert_eq!(cors.settings.place("/origins/1/deeper"), cors.settings.place("/origins/1"));
}

#[test]
fn errors_are_bounded_and_the_rest_is_counted() {
    let mut text = "version: 1\nroutes:\n".to_owned();
    for idx in 0..2_000 {
        writeln!(text, "  r{idx}: {{ path: /r{idx}, to: consul://a, timeout: 5 }}").unwrap();
    }
    let loaded = load_text(&text, &[]);
    assert_eq!(loaded.diagnostics.len(), portcullis_schema::DIAGNOSTICS_MAX + 1);
    assert_eq!(loaded.diagnostics.last().map(|last| last.code), Some(Code::TooManyErrors));
}

#[test]
fn files_are_bounded_in_size_and_number() {
    let large = "#".repeat(portcullis_schema::FILE_BYTES_MAX + 1);
    assert_eq!(codes(&large), ["E0105"]);
    let mut source = MemorySource::new().with("g.yaml", "version: 1\ninclude: [\"d/*.yaml\"]\n");
    for idx in 0..portcullis_schema::FILES_MAX + 5 {
        source = source.with(format!("d/{idx}.yaml"), "");
    }
    let loaded = load(Path::new("g.yaml"), &source, &BTreeMap::new());
    assert_eq!(loaded.diagnostics.iter().map(|d| d.code).collect::<Vec<_>>(), [Code::TooManyFiles]);
}

#[test]
fn includes_are_found_beside_the_main_file_and_hidden_files_are_not() {
    let route = |name: &str| format!("routes: {{ {name}: {{ path: /{name}, to: consul://a }} }}\n");
    let source = MemorySource::new()
        .with("/etc/p/gateway.yaml", "version: 1\ninclude: [./routes.d/*.yaml, \"teams/*/*.yaml\"]\n")
        .with("/etc/p/routes.d/a.yaml", route("a"))
        .with("/etc/p/routes.d/b.yaml", format!("version: 1\n{}", route("b")))
        .with("/etc/p/routes.d/.hidden.yaml", "nonsense: 1")
        .with("/etc/p/routes.d/notes.txt", "nonsense: 1")
        .with("/etc/p/teams/x/c.yaml", route("c"));
    let loaded = load(Path::new("/etc/p/gateway.yaml"), &source, &BTreeMap::new());
    assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
    assert_eq!(loaded.document.routes.keys().map(ToString::to_string).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(loaded.sources.path(loaded.document.routes["c"].at.file), Path::new("/etc/p/teams/x/c.yaml"));
}

#[test]
fn codes_are_unique_ordered_and_explained() {
    let mut seen = BTreeSet::new();
    let mut before = "";
    for code in Code::ALL {
        let text = code.as_str();
        assert!(seen.insert(text), "{text} twice");
        assert!(before.starts_with('E') != text.starts_with('E') || before < text, "{text} after {before}");
        assert!(!code.title().is_empty() && !code.explanation().is_empty(), "{text}");
        assert_eq!(Code::find(&text.to_lowercase()), Some(*code));
        before = text;
    }
}

#[test]
fn the_nearest_name_is_within_two_edits() {
    assert_eq!(nearest("ordres", ["order", "orders", "users"]), Some("orders"));
    assert_eq!(nearest("order", ["orders", "users"]), Some("orders"));
    assert_eq!(nearest("xyz", ["orders", "to"]), None);
    assert_eq!(nearest("ot", ["to", "use"]), Some("to"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn loading_never_panics_on_any_text(text in any::<String>()) {
        let loaded = load_text(&text, &[]);
        render(&loaded.diagnostics, &loaded.sources, Style::Plain);
    }

    #[test]
    fn loading_never_panics_on_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let source = MemorySource::new().with("g.yaml", bytes);
        let loaded = load(Path::new("g.yaml"), &source, &BTreeMap::new());
        render(&loaded.diagnostics, &loaded.sources, Style::Colour);
    }

    #[test]
    fn loading_never_panics_on_things_that_look_like_a_configuration(
        pieces in prop::collection::vec(prop::sample::select(&[
            "version: 1\n", "routes:\n", "  a:\n", "    path: /a\n", "    to: ", "consul://a", "\n", "{", "}", "[", "]",
            ": ", ", ", "- ", "&x ", "*x", "*x ", "<<: ", "${", "}", "$${", "${A:-b}", "\"", "'", "|\n", ">\n", "\t", "  ",
            "!t ", "# c\n", "---\n", "...\n", "%YAML 1.2\n", "none", "5", "10s", "rate_limit: ", "tests: ", "request: ",
            "GET /", "headers: ", "token: ", "é", "\u{feff}", "\u{0}", "\r\n", "include: ", "upstreams: ", "? ", "~",
        ][..]), 0..40),
    ) {
        let text = pieces.concat();
        let loaded = load_text(&text, &[("A", "b")]);
        for diagnostic in &loaded.diagnostics {
            diagnostic.to_json(&loaded.sources);
        }
        render(&loaded.diagnostics, &loaded.sources, Style::Plain);
    }
}
