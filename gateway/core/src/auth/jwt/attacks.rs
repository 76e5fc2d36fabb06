//! What a gate lets in and, mostly, what it does not: every attack we know of, each as a test.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::issuer::Issuer;
use super::{
    Algorithm, JwksCell, JwksSource, JwtGate, JwtSettings, JwtSettingsError, KeySet, TOKEN_BYTES_MAX,
};
use crate::auth::refusal::Wanted;
use crate::auth::{AuthRefusal, Identity};
use crate::units::WallTime;

const NOW: WallTime = WallTime(1_800_000_000);

static PROPERTY: LazyLock<JwtGate> = LazyLock::new(|| gate(&Issuer::es256("k")));

fn settings() -> JwtSettings {
    JwtSettings {
        issuer: Some("https://auth.example".into()),
        audience: vec!["shop".into()],
        leeway_seconds: 30,
        algorithms: Algorithm::ALL.to_vec(),
        required_scopes: vec!["orders".into()],
        claims_to_headers: vec![(HeaderName::from_static("x-user-id"), "sub".into())],
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://auth.example", "aud": "shop", "sub": "u1", "scope": "orders profile",
        "iat": NOW.0 - 10, "nbf": NOW.0 - 10, "exp": NOW.0 + 300
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn cell(issuer: &Issuer) -> Arc<JwksCell> {
    let cell = JwksCell::new(JwksSource::Url("https://auth.example/jwks".into()));
    assert!(cell.publish(issuer.key_set()));
    Arc::new(cell)
}

fn gate(issuer: &Issuer) -> JwtGate {
    JwtGate::new(settings(), cell(issuer)).unwrap()
}

fn bearer(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
    headers
}

fn check(issuer: &Issuer, token: &str) -> Result<Arc<Identity>, AuthRefusal> {
    gate(issuer).check(&bearer(token), NOW)
}

/// The refusal of a token with this header, signed with the issuer's key all the same.
fn refused_header(header: &Value) -> AuthRefusal {
    let issuer = Issuer::es256("k");
    check(&issuer, &issuer.token_with(&header.to_string(), &claims().to_string())).unwrap_err()
}

/// The refusal of a well signed token with these claims.
fn refused_claims(claims: &str) -> AuthRefusal {
    let issuer = Issuer::es256("k");
    check(&issuer, &issuer.token_with(r#"{"alg":"ES256","kid":"k"}"#, claims)).unwrap_err()
}

#[test]
fn a_good_token_of_every_algorithm_is_let_in() {
    for issuer in [Issuer::rs256("k"), Issuer::es256("k"), Issuer::ed_dsa("k")] {
        let identity = check(&issuer, &issuer.token(&claims())).unwrap();
        assert_eq!(&*identity.subject, "u1");
        assert_eq!(identity.name(), "u1");
        assert_eq!(
            identity.headers,
            [(HeaderName::from_static("x-user-id"), HeaderValue::from_static("u1"))]
        );
    }
}

#[test]
fn no_algorithm_but_the_keys_own_is_believed() {
    for alg in ["none", "NonE", "NONE", "HS256", "ES384", "PS256"] {
        assert_eq!(refused_header(&json!({"alg": alg, "kid": "k"})), AuthRefusal::AlgorithmRefused, "{alg}");
    }
    assert_eq!(refused_header(&json!({"alg": "RS256", "kid": "k"})), AuthRefusal::UnknownKid);
    assert_eq!(refused_header(&json!({"alg": "EdDSA", "kid": "k"})), AuthRefusal::UnknownKid);
}

#[test]
fn an_unsigned_token_is_refused() {
    let segments = |header: &str| {
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims().to_string()))
    };
    let issuer = Issuer::es256("k");
    for token in [segments(r#"{"alg":"none"}"#), segments(r#"{"alg":"ES256","kid":"k"}"#)] {
        assert!(matches!(check(&issuer, &token), Err(AuthRefusal::Malformed(_))));
        assert!(matches!(check(&issuer, &format!("{token}.")), Err(AuthRefusal::Malformed(_))));
        assert!(check(&issuer, &format!("{token}.AAAA")).is_err());
    }
}

#[test]
fn a_public_key_is_not_a_shared_secret() {
    let issuer = Issuer::rs256("k");
    let n = URL_SAFE_NO_PAD.decode(issuer.jwk()["n"].as_str().unwrap()).unwrap();
    let secret = hmac::Key::new(hmac::HMAC_SHA256, &n);
    for alg in ["HS256", "RS256"] {
        let header = json!({"alg": alg, "kid": "k"}).to_string();
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims().to_string()));
        let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&secret, signed.as_bytes()));
        assert!(check(&issuer, &format!("{signed}.{tag}")).is_err(), "{alg}");
    }
}

#[test]
fn a_gate_takes_only_the_algorithms_it_lists() {
    let issuer = Issuer::rs256("k");
    let only = JwtSettings { algorithms: vec![Algorithm::Es256], ..settings() };
    let gate = JwtGate::new(only, cell(&issuer)).unwrap();
    let refusal = gate.check(&bearer(&issuer.token(&claims())), NOW);
    assert_eq!(refusal.unwrap_err(), AuthRefusal::AlgorithmRefused);
}

#[test]
fn a_key_id_is_a_name_and_nothing_else() {
    let kids =
        ["../../dev/null", "/dev/null", "k' OR '1'='1", "https://evil.example/key", "k\0", "K", "", " k"];
    for kid in kids {
        assert_eq!(refused_header(&json!({"alg": "ES256", "kid": kid})), AuthRefusal::UnknownKid, "{kid}");
    }
    for kid in [json!("k".repeat(257)), json!(1), json!(null), json!(["k"])] {
        let refusal = refused_header(&json!({"alg": "ES256", "kid": kid}));
        assert!(matches!(refusal, AuthRefusal::Malformed(_)), "{kid}");
    }
}

#[test]
fn a_token_that_brings_or_names_its_own_key_is_refused() {
    let own = Issuer::es256("own").jwk();
    for (name, value) in [
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/cert")),
        ("jwk", own),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["x"])),
        ("crit", json!([])),
    ] {
        let mut header = json!({"alg": "ES256", "kid": "k"});
        header[name] = value;
        assert!(matches!(refused_header(&header), AuthRefusal::Malformed(_)), "{name}");
    }
}

#[test]
fn a_repeated_header_parameter_or_claim_is_refused() {
    let issuer = Issuer::es256("k");
    let twice = issuer.token_with(r#"{"alg":"ES256","alg":"none","kid":"k"}"#, &claims().to_string());
    assert!(matches!(check(&issuer, &twice), Err(AuthRefusal::Malformed(_))));
    let claims = claims().to_string();
    for more in [r#","sub":"admin"}"#, r#","exp":9999999999}"#, r#","\u0073ub":"admin"}"#] {
        let twice = format!("{}{more}", &claims[..claims.len() - 1]);
        assert!(matches!(refused_claims(&twice), AuthRefusal::Malformed(_)), "{more}");
    }
}

#[test]
fn an_expiry_is_there_and_is_a_whole_number_of_seconds() {
    let mut without = claims();
    without.as_object_mut().unwrap().remove("exp");
    assert!(matches!(refused_claims(&without.to_string()), AuthRefusal::Malformed(_)));
    let text = format!("{}", NOW.0 + 300);
    for exp in [json!(text), json!(NOW.0 as f64 + 0.5), json!(1e300), json!(-1), json!(u64::MAX), json!(null)]
    {
        assert!(matches!(refused_claims(&with("exp", exp).to_string()), AuthRefusal::Malformed(_)));
    }
    let huge = claims().to_string().replace(&text, "99999999999999999999999999");
    assert!(matches!(refused_claims(&huge), AuthRefusal::Malformed(_)));
}

#[test]
fn a_token_counts_only_in_its_time() {
    assert_eq!(refused_claims(&with("exp", json!(NOW.0 - 30)).to_string()), AuthRefusal::Expired);
    assert_eq!(refused_claims(&with("exp", json!(0)).to_string()), AuthRefusal::Expired);
    assert_eq!(refused_claims(&with("nbf", json!(NOW.0 + 31)).to_string()), AuthRefusal::NotYetValid);
    assert_eq!(refused_claims(&with("iat", json!(NOW.0 + 31)).to_string()), AuthRefusal::NotYetValid);
    let issuer = Issuer::es256("k");
    assert!(check(&issuer, &issuer.token(&with("exp", json!(NOW.0 - 29)))).is_ok());
    assert!(check(&issuer, &issuer.token(&with("nbf", json!(NOW.0 + 30)))).is_ok());
}

#[test]
fn a_token_of_another_issuer_or_for_another_audience_is_refused() {
    assert_eq!(
        refused_claims(&with("iss", json!("https://evil.example")).to_string()),
        AuthRefusal::WrongIssuer
    );
    assert_eq!(refused_claims(&with("aud", json!(["other"])).to_string()), AuthRefusal::WrongAudience);
    assert!(matches!(refused_claims(&with("sub", json!(7)).to_string()), AuthRefusal::Malformed(_)));
}

#[test]
fn a_known_client_without_the_scope_is_forbidden_not_unknown() {
    let refusal = refused_claims(&with("scope", json!("profile")).to_string());
    assert_eq!(refusal, AuthRefusal::ScopeMissing("orders".into()));
    assert_eq!(refusal.status(), StatusCode::FORBIDDEN);
}

#[test]
fn a_signature_of_zeros_or_of_another_length_is_refused() {
    let issuer = Issuer::es256("k");
    let token = issuer.token(&claims());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let longer = [&signature[..], &[0]].concat();
    for forged in [&[0; 64][..], &[0; 1], &signature[..63], &longer, &[0xff; 64]] {
        let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(forged));
        assert_eq!(check(&issuer, &forged).unwrap_err(), AuthRefusal::BadSignature);
    }
}

#[test]
fn a_token_changed_anywhere_is_refused_cold_and_hot() {
    let issuer = Issuer::es256("k");
    let gate = gate(&issuer);
    let token = issuer.token(&claims());
    assert!(gate.check(&bearer(&token), NOW).is_ok());
    for idx in (0..token.len()).step_by(7) {
        let mut changed = token.clone().into_bytes();
        changed[idx] = if changed[idx] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(gate.check(&bearer(&changed), NOW).is_err(), "{idx}");
    }
    for tail in [".", "=", "==", "A", ".A", " "] {
        assert!(gate.check(&bearer(&format!("{token}{tail}")), NOW).is_err(), "{tail:?}");
    }
}

#[test]
fn a_second_spelling_of_a_good_token_is_refused() {
    let issuer = Issuer::es256("k");
    let token = issuer.token(&claims());
    let last = token.bytes().last().unwrap();
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let position = alphabet.iter().position(|c| *c == last).unwrap();
    let twin = char::from(alphabet[position ^ 1]);
    let respelled = format!("{}{twin}", &token[..token.len() - 1]);
    assert!(matches!(check(&issuer, &respelled), Err(AuthRefusal::Malformed(_))));
}

#[test]
fn a_token_of_a_megabyte_is_refused_by_its_length() {
    let issuer = Issuer::es256("k");
    assert!(matches!(check(&issuer, &"a".repeat(1024 * 1024)), Err(AuthRefusal::Malformed(_))));
    let big = issuer.token(&with("pad", json!("x".repeat(TOKEN_BYTES_MAX))));
    assert!(matches!(check(&issuer, &big), Err(AuthRefusal::Malformed(_))));
}

#[test]
fn two_tokens_are_refused_in_any_order_and_form() {
    let issuer = Issuer::es256("k");
    let good = issuer.token(&claims());
    let gate = gate(&issuer);
    for (first, second) in [("bad.bad.bad", &*good), (&*good, "bad.bad.bad"), (&*good, &*good)] {
        let mut headers = bearer(first);
        headers.append(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {second}")).unwrap());
        assert!(matches!(gate.check(&headers, NOW), Err(AuthRefusal::Malformed(_))));
        for joint in [", Bearer ", ",", " "] {
            assert!(gate.check(&bearer(&format!("{first}{joint}{second}")), NOW).is_err());
        }
    }
}

#[test]
fn a_request_without_a_bearer_token_is_told_what_is_missing() {
    let gate = gate(&Issuer::es256("k"));
    assert_eq!(gate.check(&HeaderMap::new(), NOW).unwrap_err(), AuthRefusal::Missing(Wanted::Bearer));
    for value in ["Basic dTpw", "Bearerx", ""] {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
        assert_eq!(gate.check(&headers, NOW).unwrap_err(), AuthRefusal::Missing(Wanted::Bearer), "{value}");
    }
    for value in [&b"Bearer"[..], b"Bearer ", b"Bearer \xff"] {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        assert!(matches!(gate.check(&headers, NOW), Err(AuthRefusal::Malformed(_))), "{value:?}");
    }
}

#[test]
fn the_scheme_is_read_in_any_case() {
    let issuer = Issuer::es256("k");
    let mut headers = HeaderMap::new();
    let value = format!("bEARER  {}", issuer.token(&claims()));
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&value).unwrap());
    assert!(gate(&issuer).check(&headers, NOW).is_ok());
    let tabbed = value.replace("  ", " \t");
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&tabbed).unwrap());
    assert!(gate(&issuer).check(&headers, NOW).is_err());
}

#[test]
fn a_gate_without_keys_is_closed_and_an_outage_keeps_the_last_ones() {
    let issuer = Issuer::es256("k");
    let cell = Arc::new(JwksCell::new(JwksSource::Url("https://auth.example/jwks".into())));
    let gate = JwtGate::new(settings(), cell.clone()).unwrap();
    let headers = bearer(&issuer.token(&claims()));
    let refusal = gate.check(&headers, NOW).unwrap_err();
    assert_eq!((&refusal, refusal.status()), (&AuthRefusal::KeysUnavailable, StatusCode::UNAUTHORIZED));
    assert!(cell.publish(issuer.key_set()));
    cell.fail();
    assert!(KeySet::parse(b"503 Service Unavailable").is_err());
    assert!(gate.check(&headers, NOW).is_ok());
}

#[test]
fn a_rotation_ends_the_old_keys_tokens_hot_ones_too() {
    let (old, new) = (Issuer::es256("old"), Issuer::es256("new"));
    let cell = cell(&old);
    let gate = JwtGate::new(settings(), cell.clone()).unwrap();
    let (old_token, new_token) = (bearer(&old.token(&claims())), bearer(&new.token(&claims())));
    assert!(gate.check(&old_token, NOW).is_ok());
    assert_eq!(gate.check(&new_token, NOW).unwrap_err(), AuthRefusal::UnknownKid);
    assert!(cell.publish(new.key_set()));
    assert!(gate.check(&new_token, NOW).is_ok());
    assert_eq!(gate.check(&old_token, NOW).unwrap_err(), AuthRefusal::UnknownKid);
}

#[test]
fn a_hot_token_is_the_same_identity_and_expires_on_time() {
    let issuer = Issuer::es256("k");
    let gate = gate(&issuer);
    let headers = bearer(&issuer.token(&claims()));
    let first = gate.check(&headers, NOW).unwrap();
    let second = gate.check(&headers, NOW).unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert!(gate.check(&headers, WallTime(NOW.0 + 329)).is_ok());
    assert_eq!(gate.check(&headers, WallTime(NOW.0 + 330)).unwrap_err(), AuthRefusal::Expired);
}

#[test]
fn equal_subjects_of_two_issuers_do_not_share_a_limit() {
    let issuer = Issuer::es256("k");
    let any = JwtSettings { issuer: None, ..settings() };
    let gate = JwtGate::new(any, cell(&issuer)).unwrap();
    let key = |iss: &str| {
        gate.check(&bearer(&issuer.token(&with("iss", json!(iss)))), NOW).unwrap().limit_key.clone()
    };
    assert_ne!(key("https://a"), key("https://b"));
    assert!(key("https://a").starts_with("subject "));
}

#[test]
fn stated_claims_are_judged_by_subject_and_scope_alone() {
    let gate = gate(&Issuer::es256("k"));
    let judge = |claims: Value| gate.identify(claims.as_object().cloned().unwrap());
    assert_eq!(judge(json!({"sub": "u2", "scope": "orders"})).unwrap().name(), "u2");
    assert_eq!(judge(json!({"sub": "u2"})).unwrap_err(), AuthRefusal::ScopeMissing("orders".into()));
    assert!(matches!(judge(json!({"sub": 2, "scope": "orders"})), Err(AuthRefusal::Malformed(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_that_the_issuer_did_not_sign_is_let_in(
        header in prop_oneof![
            "[ -~]{0,40}",
            Just(r#"{"alg":"ES256","kid":"k"}"#.to_owned()),
            r#"\{"alg":"(ES256|none|HS256)"(,"[a-z5]{1,4}":[0-9"a-z\[\]{}]{1,6}){0,2}\}"#,
        ],
        payload in prop_oneof!["[ -~]{0,60}", Just(claims().to_string())],
        signature in prop::collection::vec(any::<u8>(), 0..72),
        tail in "[A-Za-z0-9_.= -]{0,4}",
    ) {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (header, payload) = (encode(header.as_bytes()), encode(payload.as_bytes()));
        let token = format!("{header}.{payload}.{}{tail}", encode(&signature));
        prop_assert!(PROPERTY.check(&bearer(&token), NOW).is_err());
    }

    #[test]
    fn no_authorization_field_and_no_key_set_makes_the_gate_panic(
        field in prop::collection::vec(prop_oneof![32_u8..=126, 128_u8..=255, Just(9)], 0..80),
        json in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_bytes(&field).unwrap());
        prop_assert!(PROPERTY.check(&headers, NOW).is_err());
        prop_assert!(KeySet::parse(&json).is_err());
    }
}

#[test]
fn debug_shows_no_token_and_no_claim() {
    let issuer = Issuer::es256("k");
    let gate = gate(&issuer);
    let token = issuer.token(&with("email", json!("u1@example.org")));
    let identity = gate.check(&bearer(&token), NOW).unwrap();
    let shown = format!("{gate:?} {identity:?}");
    assert!(!shown.contains(&token) && !shown.contains("u1@example.org"), "{shown}");
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let cell = cell(&Issuer::es256("k"));
    let refused = |settings: JwtSettings| JwtGate::new(settings, cell.clone()).unwrap_err();
    let header = |name: &'static str| (HeaderName::from_static(name), Arc::from("sub"));
    assert_eq!(refused(JwtSettings { algorithms: vec![], ..settings() }), JwtSettingsError::NoAlgorithm);
    assert_eq!(refused(JwtSettings { leeway_seconds: 301, ..settings() }), JwtSettingsError::Leeway);
    let scopes = vec![Arc::from("a b")];
    assert_eq!(
        refused(JwtSettings { required_scopes: scopes, ..settings() }),
        JwtSettingsError::Scope("a b".into())
    );
    for name in ["content-length", "host", "authorization"] {
        let claims_to_headers = vec![header(name)];
        let error = refused(JwtSettings { claims_to_headers, ..settings() });
        assert_eq!(error, JwtSettingsError::Header(HeaderName::from_static(name)));
    }
    let claims_to_headers = vec![header("x-a"), header("x-a")];
    assert!(matches!(
        refused(JwtSettings { claims_to_headers, ..settings() }),
        JwtSettingsError::HeaderTwice(_)
    ));
}
