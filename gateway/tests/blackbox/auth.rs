//! Tokens, API keys, and who the upstream is told the client is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::{Act, Gateway, Issuer, Upstream, until};

fn jwt(jwks: &Upstream, app: &Upstream) -> String {
    format!(
        "routes:\n  \
           private:\n    path: /private/**\n    to: \"http://{app}\"\n    \
             jwt:\n      issuer: https://issuer.test\n      audience: shop\n      jwks: \"http://{jwks}/keys\"\n      \
               algorithms: [ES256]\n      scopes: [read]\n      headers: {{ X-User-Id: sub, X-Scopes: scope }}\n  \
           open: {{ path: /open, to: \"http://{app}\" }}\n",
        app = app.address,
        jwks = jwks.address,
    )
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[test]
fn a_token_opens_the_route_and_its_claims_become_headers() {
    let (issuer, app) = (Issuer::new("k1"), Upstream::answering("in"));
    let gateway = Gateway::start(&jwt(&issuer.serve(), &app));
    let ask = |authorization: &str| gateway.ask("GET", "/private/a", &[("Authorization", authorization)], "");
    let missing = gateway.get("/private/a");
    assert_eq!((missing.status, missing.code().as_str()), (401, "unauthenticated"));
    assert!(missing.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Bearer")));
    let narrow = ask(&bearer(&issuer.token(&json!({ "sub": "u1", "scope": "write" }))));
    assert_eq!((narrow.status, narrow.code().as_str()), (403, "forbidden"));
    let good = bearer(&issuer.token(&json!({ "sub": "u1", "scope": "read write" })));
    for (what, wrong) in [
        ("expired", bearer(&issuer.token(&json!({ "sub": "u1", "scope": "read", "exp": 1_000_000_000 })))),
        (
            "other issuer",
            bearer(&issuer.token(&json!({ "sub": "u1", "scope": "read", "iss": "https://evil.test" }))),
        ),
        ("other audience", bearer(&issuer.token(&json!({ "sub": "u1", "scope": "read", "aud": "bank" })))),
        ("exp is text", bearer(&issuer.token(&json!({ "sub": "u1", "scope": "read", "exp": "4000000000" })))),
        ("other key", bearer(&Issuer::new("k1").token(&json!({ "sub": "u1", "scope": "read" })))),
        ("trailing dot", format!("{good}.")),
        ("no signature", good.rsplit_once('.').unwrap().0.to_owned() + "."),
        ("nonsense", "Bearer x".to_owned()),
        ("basic", "Basic dTpw".to_owned()),
    ] {
        assert_eq!(ask(&wrong).status, 401, "{what}");
    }
    assert_eq!(app.count(), 0, "{:#?}", app.seen());
    let spoofed = [
        ("Authorization", good.as_str()),
        ("X-User-Id", "root"),
        ("x-user-id", "admin"),
        ("X_User_Id", "root"),
        ("X-Scopes", "everything"),
    ];
    assert_eq!(gateway.ask("GET", "/private/a", &spoofed, "").status, 200);
    assert_eq!(app.last().header("x-user-id"), Some("u1"));
    assert_eq!(app.last().header("x-scopes"), Some("read write"));
    assert_eq!(app.last().all("x_user_id"), Vec::<&str>::new());
    // What one route sets, a client may bring on none.
    assert_eq!(gateway.ask("GET", "/open", &[("X-User-Id", "root")], "").status, 200);
    assert_eq!(app.last().header("x-user-id"), None);
}

#[test]
fn a_new_key_is_fetched_once_and_unknown_ones_do_not_become_load_on_the_issuer() {
    let (issuer, app) = (Issuer::new("k1"), Upstream::answering("in"));
    let keys = issuer.serve();
    let gateway = Gateway::start(&jwt(&keys, &app));
    let ask = |issuer: &Issuer| {
        let token = bearer(&issuer.token(&json!({ "sub": "u1", "scope": "read" })));
        gateway.ask("GET", "/private/a", &[("Authorization", &token)], "").status
    };
    assert_eq!(ask(&issuer), 200);
    let stranger = Issuer::new("nobody-knows-me");
    for _ in 0..20 {
        assert_eq!(ask(&stranger), 401);
    }
    assert!(keys.count() <= 2, "{} fetches for 20 tokens with unknown keys", keys.count());
    issuer.rotate("k2");
    until("the new key is known", || ask(&issuer) == 200);
    assert!(keys.count() <= 3, "{} fetches", keys.count());
}

#[test]
fn an_issuer_that_is_down_opens_nothing_and_closes_nothing_that_was_known() {
    let (issuer, app) = (Issuer::new("k1"), Upstream::answering("in"));
    let down = Arc::new(AtomicBool::new(true));
    let (theirs, serving) = (down.clone(), issuer.clone());
    let keys = Upstream::start(
        move |_| {
            if theirs.load(Ordering::SeqCst) { Act::status(500) } else { serving.jwks() }
        },
    );
    let gateway = Gateway::start(&jwt(&keys, &app));
    let token = bearer(&issuer.token(&json!({ "sub": "u1", "scope": "read" })));
    let ask = || gateway.ask("GET", "/private/a", &[("Authorization", &token)], "").status;
    for _ in 0..3 {
        let status = ask();
        assert!(status == 401 || status == 503, "{status}");
    }
    assert_eq!(app.count(), 0);
    down.store(false, Ordering::SeqCst);
    until("the keys are fetched", || ask() == 200);
    down.store(true, Ordering::SeqCst);
    let stranger = bearer(&Issuer::new("k9").token(&json!({ "sub": "u1", "scope": "read" })));
    assert_eq!(gateway.ask("GET", "/private/a", &[("Authorization", &stranger)], "").status, 401);
    assert_eq!(ask(), 200);
}

#[test]
fn keys_are_carried_over_a_reload() {
    let (issuer, app) = (Issuer::new("k1"), Upstream::answering("in"));
    let keys = issuer.serve();
    let config = jwt(&keys, &app);
    let gateway = Gateway::start(&config);
    let token = bearer(&issuer.token(&json!({ "sub": "u1", "scope": "read" })));
    let ask = || gateway.ask("GET", "/private/a", &[("Authorization", &token)], "").status;
    assert_eq!(ask(), 200);
    drop(keys);
    let more = format!("{config}  more: {{ path: /more, to: \"http://{}\" }}\n", app.address);
    assert_eq!(gateway.reload(&more).status, 200);
    assert_eq!(ask(), 200);
}

#[test]
fn an_api_key_names_the_consumer_and_goes_no_further() {
    let app = Upstream::answering("in");
    let hash = hex::encode(Sha256::digest(b"correct horse"));
    let gateway = Gateway::start(&format!(
        "consumers: {{ robot: {{ api_keys: [{{ sha256: {hash} }}] }} }}\n\
         routes: {{ all: {{ path: /**, to: \"http://{}\", api_key: {{ header: X-Api-Key }} }} }}",
        app.address
    ));
    assert_eq!(gateway.get("/").status, 401);
    for wrong in ["wrong", "", &hash, "correct horse battery"] {
        assert_eq!(gateway.ask("GET", "/", &[("X-Api-Key", wrong)], "").status, 401, "{wrong:?}");
    }
    let twice = [("X-Api-Key", "correct horse"), ("X-Api-Key", "wrong")];
    assert!(matches!(gateway.ask("GET", "/", &twice, "").status, 400 | 401));
    assert_eq!(app.count(), 0);
    let reply = gateway.ask("GET", "/", &[("X-Api-Key", "correct horse")], "");
    assert_eq!(reply.status, 200);
    assert_eq!(app.only().header("x-api-key"), None);
    let line = gateway.logged(reply.header("x-request-id").unwrap());
    assert_eq!(line["consumer"], "robot");
}
