//! Paths P1–P20: which spellings are one path, which are refused, and that nothing changes twice.

use std::borrow::Cow;

use portcullis_core::head::{PathRefusal, is_normal, normalize};
use proptest::prelude::*;

#[track_caller]
fn becomes(raw: &str, expected: &str) {
    assert_eq!(normalize(raw).as_deref(), Ok(expected), "{raw:?}");
}

#[track_caller]
fn refused(raw: &str, refusal: PathRefusal) {
    assert_eq!(normalize(raw), Err(refusal), "{raw:?}");
}

#[test]
fn p01_dot_segments_are_resolved_before_a_route_is_looked_for() {
    becomes("/pub/../admin/x", "/admin/x");
    becomes("/../../admin", "/admin");
    becomes("/a/b/..", "/a/");
    becomes("/a/.", "/a/");
    becomes("/..", "/");
    becomes("/a/b/../../../c", "/c");
}

#[test]
fn p02_encoded_dots_are_dots() {
    becomes("/pub/%2e%2e/admin/x", "/admin/x");
    becomes("/pub/%2E./admin/x", "/admin/x");
    becomes("/pub/.%2e/admin/x", "/admin/x");
    becomes("/%2e/admin", "/admin");
}

#[test]
fn p03_an_encoded_slash_behind_dots_is_refused() {
    refused("/pub/..%2fadmin/x", PathRefusal::EncodedSeparator);
}

#[test]
fn p04_an_encoded_slash_is_refused() {
    refused("/%2fadmin/x", PathRefusal::EncodedSeparator);
    refused("/a%2Fb", PathRefusal::EncodedSeparator);
}

#[test]
fn p05_repeated_slashes_are_one() {
    becomes("//admin/x", "/admin/x");
    becomes("/a///b//", "/a/b/");
    becomes("//", "/");
    becomes("/a//../b", "/b");
}

#[test]
fn p06_a_single_dot_is_nothing() {
    becomes("/./admin/x", "/admin/x");
}

#[test]
fn p07_encoded_letters_are_letters() {
    becomes("/%61dmin/x", "/admin/x");
    becomes("/%7Euser/%2D%5F", "/~user/-_");
}

#[test]
fn p08_case_is_kept() {
    becomes("/ADMIN/x", "/ADMIN/x");
}

#[test]
fn p09_path_parameters_are_refused() {
    refused("/;a=b/admin/x", PathRefusal::PathParameters);
    refused("/admin;a=b/x", PathRefusal::PathParameters);
    refused("/%3Ba=b/admin/x", PathRefusal::PathParameters);
    becomes("/a%3bb", "/a%3Bb");
}

#[test]
fn p10_dots_with_parameters_are_refused() {
    refused("/pub/..;/admin/x", PathRefusal::PathParameters);
    refused("/pub/..%3b/admin/x", PathRefusal::PathParameters);
    refused("/pub/..%3B/admin/x", PathRefusal::PathParameters);
    refused("/pub/%2e%2e%3bx/admin/x", PathRefusal::PathParameters);
    refused("/pub/.%3B/admin", PathRefusal::PathParameters);
}

#[test]
fn p11_a_backslash_is_refused() {
    refused("/pub\\..\\admin/x", PathRefusal::ForbiddenByte);
}

#[test]
fn p12_an_encoded_backslash_is_refused() {
    refused("/pub/..%5cadmin/x", PathRefusal::EncodedSeparator);
    refused("/pub/..%5Cadmin/x", PathRefusal::EncodedSeparator);
}

#[test]
fn p13_nothing_is_decoded_twice() {
    becomes("/pub/%252e%252e/admin", "/pub/%252e%252e/admin");
}

#[test]
fn p14_a_doubly_encoded_slash_stays_one() {
    becomes("/pub/..%252fadmin", "/pub/..%252fadmin");
}

#[test]
fn p15_encoded_controls_are_refused() {
    for raw in ["/admin%00/x", "/a%0d%0ab", "/a%0A", "/a%7f", "/a%1F", "/a%09"] {
        refused(raw, PathRefusal::EncodedControl);
    }
}

#[test]
fn p16_a_fragment_is_refused() {
    refused("/pub#/../admin", PathRefusal::ForbiddenByte);
}

#[test]
fn p17_a_path_begins_with_a_slash() {
    for raw in ["", "a", "*", "%2fa", "h/a", ".."] {
        refused(raw, PathRefusal::NotAbsolute);
    }
    refused("/?a", PathRefusal::ForbiddenByte);
}

#[test]
fn p18_dots_behind_a_prefix_are_part_of_its_name() {
    becomes("/api../admin", "/api../admin");
    becomes("/api%2e%2e/admin", "/api../admin");
    // Cutting `/api` off this would leave `../admin`, which is no path; cutting it off `/api/../x` cannot happen.
    assert!(!is_normal("../admin"));
}

#[test]
fn p19_an_encoded_prefix_is_matched_in_the_form_it_is_cut_off_in() {
    becomes("/api%2e/admin/secret", "/api./admin/secret");
}

#[test]
fn p20_a_rewritten_path_must_already_be_in_its_one_form() {
    for bad in
        ["//evil.host/x", "/a\r\nHost: evil", "/a b", "/a/../b", "a", "", "/%61", "/a%2fb", "/a;b", "/%c3"]
    {
        assert!(!is_normal(bad), "{bad:?}");
    }
    for good in ["/", "/a", "/a/", "/a/b", "/%C3%A9", "/a:b@c,d", "/..a/.b/c..", "/..."] {
        assert!(is_normal(good), "{good:?}");
    }
}

#[test]
fn other_encodings_keep_their_meaning_in_upper_case() {
    becomes("/caf%c3%a9", "/caf%C3%A9");
    becomes("/a%20b%3f%23%25", "/a%20b%3F%23%25");
    becomes("/a%ff", "/a%FF");
}

#[test]
fn a_percent_sign_needs_two_digits() {
    for raw in ["/%", "/%4", "/a%zz", "/%%32%65", "/%2%35", "/%u002e", "/%+1", "/%4/1"] {
        refused(raw, PathRefusal::BadEncoding);
    }
}

#[test]
fn raw_bytes_outside_the_grammar_are_refused() {
    for raw in ["/a b", "/a\tb", "/a\0", "/caf\u{e9}", "/a|b", "/{a}", "/a^b", "/<a>", "/\"a\"", "/a\x7f"] {
        refused(raw, PathRefusal::ForbiddenByte);
    }
}

#[test]
fn a_path_that_is_already_right_is_not_copied() {
    for raw in ["/", "/api/orders/42", "/a/", "/caf%C3%A9", "/a%25b"] {
        assert!(matches!(normalize(raw), Ok(Cow::Borrowed(same)) if same == raw), "{raw:?}");
    }
}

fn path_like() -> impl Strategy<Value = String> {
    const PARTS: [&str; 26] = [
        "/", "//", ".", "..", "%2e", "%2E", "%2f", "%5c", "%252e", "%25", "%", "%3b", "%3B", ";", "a", "A",
        "admin", "%61", "%C3%A9", "%c3", "%00", "\\", "?", "#", " ", "~",
    ];
    proptest::collection::vec(proptest::sample::select(PARTS.to_vec()), 0..14)
        .prop_map(|parts| format!("/{}", parts.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn normalizing_twice_is_normalizing_once(raw in prop_oneof![path_like(), "/[ -~]{0,30}", ".{0,20}"]) {
        if let Ok(once) = normalize(&raw) {
            let twice = normalize(&once);
            prop_assert_eq!(twice.as_deref(), Ok(&*once), "{:?}", raw);
            prop_assert!(is_normal(&once), "{:?} -> {:?}", raw, once);
        }
    }

    #[test]
    fn no_form_has_a_segment_that_a_server_would_resolve(raw in path_like()) {
        if let Ok(path) = normalize(&raw) {
            prop_assert!(path.starts_with('/') && !path.contains("//") && !path.contains([';', '\\', '?', '#']));
            let decoded = path.replace("%3B", ";");
            for segment in decoded.split('/') {
                let name = segment.split(';').next().unwrap_or_default();
                prop_assert!(!matches!(name, "." | ".."), "{:?} -> {:?}", raw, path);
            }
        }
    }
}
