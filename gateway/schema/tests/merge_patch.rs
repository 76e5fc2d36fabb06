//! Merge patches and the YAML they are kept in, over values nobody thought of.

use portcullis_schema::{merge_patch, parse_value, to_yaml};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Any value; a `null` only inside of lists, where a merge patch can carry it.
fn value(null: bool) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9f64).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        awkward().prop_map(Value::from),
        Just(if null { Value::Null } else { json!("none") }),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(key(), inner, 0..6)
                .prop_map(|entries| Value::Object(Map::from_iter(entries))),
        ]
    })
}

/// Few keys, so that two values share some.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-d]", 1 => ".{0,4}", 1 => awkward()]
}

/// Text that YAML takes for something else when it is not quoted.
fn awkward() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "",
        " ",
        "~",
        "null",
        "true",
        "False",
        "none",
        "5",
        "-5",
        "1.10",
        "0x1F",
        "1_000",
        "1e3",
        ".inf",
        "- a",
        "a: b",
        "a #b",
        "#",
        "*a",
        "&a",
        "!a",
        "%a",
        "@a",
        "`a",
        "{a",
        "[a",
        "a,b",
        "|",
        ">",
        "?",
        "---",
        "...",
        "a\nb",
        "\t",
        "\r",
        "\u{85}",
        "\u{2028}",
        "\u{feff}x",
        "\u{7f}",
        "\u{1b}[0m",
        "\"",
        "\\",
        "'",
        "${A}",
        "$${",
        "ü",
        "😀",
        "<<",
        "/**",
        "007",
        "12:30",
        "2026-01-31",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn the_patch_between_two_values_leads_from_one_to_the_other(from in value(false), wanted in value(false)) {
        let mut reached = from.clone();
        if let Some(patch) = merge_patch::diff(&from, &wanted).unwrap() {
            merge_patch::apply(&mut reached, &patch);
        }
        prop_assert_eq!(reached, wanted);
    }

    #[test]
    fn laying_a_patch_over_a_value_twice_changes_no_more(from in value(true), patch in value(true)) {
        let mut once = from;
        merge_patch::apply(&mut once, &patch);
        let mut twice = once.clone();
        merge_patch::apply(&mut twice, &patch);
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn a_value_written_as_yaml_is_read_back_as_it_was(value in value(true)) {
        let text = to_yaml(&value);
        let read = parse_value("value.yaml", &text);
        prop_assert!(read.is_ok(), "{}\n{:?}", text, read.err().map(|bad| bad.diagnostics));
        prop_assert_eq!(read.unwrap(), value, "{}", text);
    }
}
