//! The user service over a real socket, on both kinds of database.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use reqwest::Method;
use serde_json::{Value, json};

use super::*;
use crate::databases::{self, TestDatabase};
use crate::served::{Seen, Served, serve};
use crate::server;

const TIMES: Times = Times { rotation_ms: 86_400_000, lead_ms: 600_000, kept_ms: 1_200_000 };
const PASSWORD: &str = "over the moat and through the gate";

struct Door {
    served: Served,
    clock: Clock,
    users: Arc<Users>,
    _database: TestDatabase,
}

/// A fresh service for each kind of database; `boss@example.com` is staff.
async fn doors() -> Vec<Door> {
    let mut doors = Vec::new();
    for database in databases::each().await {
        let (store, clock) = (database.open(MIGRATIONS).await, Clock::set_to(1_800_000_000_000));
        let users = Users::new(store, clock.clone(), TIMES, Some("boss@example.com".to_owned())).unwrap();
        users.keys.tend(clock.now_ms()).await.unwrap();
        let users = Arc::new(users);
        let served = serve(server::app(router(users.clone()))).await;
        doors.push(Door { served, clock, users, _database: database });
    }
    doors
}

impl Door {
    async fn sign_up(&self, email: &str) -> Seen {
        self.served.post("/users", &json!({ "email": email, "name": "Ada", "password": PASSWORD })).await
    }

    /// Signs up without the cost of a password; answers the id.
    async fn insert(&self, email: &str, role: roles::Role) -> String {
        let account = accounts::Account {
            id: uuid::Uuid::now_v7().to_string(),
            email: email.to_owned(),
            name: "Ada".to_owned(),
            password_hash: String::new(),
            role,
        };
        let mut tx = self.users.store.begin().await.unwrap();
        assert!(accounts::insert(&mut tx, &account).await.unwrap());
        tx.commit().await.unwrap();
        account.id
    }

    /// A refresh token of a new session of an account.
    async fn begin(&self, account: &str, scope: Option<&str>) -> String {
        let mut tx = self.users.store.begin().await.unwrap();
        let token = refresh::begin(&mut tx, account, scope, self.clock.now_ms()).await.unwrap();
        tx.commit().await.unwrap();
        token
    }

    async fn log_in(&self, email: &str, password: &str) -> Seen {
        self.served.post("/sessions", &json!({ "email": email, "password": password })).await
    }

    async fn refresh(&self, token: &str) -> Seen {
        self.served.post("/sessions/refresh", &json!({ "refresh_token": token })).await
    }

    async fn as_staff(&self, user: &str, method: Method, path: &str, body: Option<Value>) -> Seen {
        let mut request = self.served.ask(method, path).header("x-user-id", user);
        request = request.header("x-user-role", "staff").header("x-scopes", "profile users:write");
        if let Some(body) = body {
            request = request.json(&body);
        }
        Seen::of(request).await
    }

    async fn set_role(&self, by: &str, user: &str, role: &str) -> Seen {
        self.as_staff(by, Method::PUT, &format!("/users/{user}/role"), Some(json!({ "role": role }))).await
    }

    async fn jwks(&self) -> Value {
        self.served.get("/.well-known/jwks.json").await.expect(200).json()
    }
}

/// The claims of a token that verifies with one of `keys`.
fn verified(token: &str, keys: &Value) -> Option<Value> {
    let kid = jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    let key = keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid)?;
    let key =
        DecodingKey::from_ec_components(key["x"].as_str().unwrap(), key["y"].as_str().unwrap()).unwrap();
    let mut rules = Validation::new(Algorithm::ES256);
    rules.set_audience(&[AUDIENCE]);
    rules.set_issuer(&[ISSUER]);
    // The clock of these tests is not the machine's.
    rules.validate_exp = false;
    Some(jsonwebtoken::decode::<Value>(token, &key, &rules).unwrap().claims)
}

fn text(seen: &Seen, member: &str) -> String {
    seen.json()[member].as_str().unwrap_or_else(|| panic!("no {member}: {seen:?}")).to_owned()
}

#[tokio::test]
async fn a_customer_signs_up_logs_in_and_is_known() {
    for door in doors().await {
        let made = door.sign_up("Ada@Example.com").await.expect(201);
        assert_eq!(made.json()["role"], "customer");
        let id = text(&made, "id");
        door.sign_up("ada@example.com").await.problem(409, "email_taken");
        let session = door.log_in("ADA@example.com", PASSWORD).await.expect(200);
        assert_eq!(session.header("cache-control"), "no-store");
        let claims = verified(&text(&session, "access_token"), &door.jwks().await).unwrap();
        let expected = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": id, "name": "Ada", "role": "customer",
            "scope": "profile orders:read orders:write", "iat": 1_800_000_000, "exp": 1_800_000_900,
        });
        assert_eq!(claims, expected);
        door.log_in("ada@example.com", "wrong").await.problem(401, "wrong_credentials");
        let asked = json!({ "email": "ada@example.com", "password": PASSWORD, "scope": "users:write" });
        door.served.post("/sessions", &asked).await.problem(403, "scope_not_granted");
        let me =
            Seen::of(door.served.ask(Method::GET, "/users/me").header("x-user-id", &id)).await.expect(200);
        assert_eq!(
            me.json(),
            json!({ "id": id, "email": "ada@example.com", "name": "Ada", "role": "customer" })
        );
        door.served.get("/users/me").await.problem(401, "no_identity");
        let gone = Seen::of(door.served.ask(Method::GET, "/users/me").header("x-user-id", "nobody")).await;
        gone.problem(404, "not_found");
    }
}

#[tokio::test]
async fn the_first_staff_is_whoever_the_operator_named() {
    for door in doors().await {
        assert_eq!(door.sign_up("Boss@example.com").await.expect(201).json()["role"], "staff");
        let session = door.log_in("boss@example.com", PASSWORD).await.expect(200);
        assert!(text(&session, "scope").ends_with("users:write events:replay"), "{session:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_an_account_is_refused() {
    for door in doors().await {
        let good = json!({ "email": "ada@example.com", "name": "Ada", "password": PASSWORD });
        for (member, value) in [
            ("email", json!("ada")),
            ("email", json!("a\u{0}@example.com")),
            ("name", json!("")),
            ("name", json!("A\u{0}da")),
            ("name", json!("x".repeat(101))),
            ("password", json!("short")),
            ("password", json!("x".repeat(129))),
            ("password", json!(12_345_678)),
            ("role", json!("staff")),
        ] {
            let mut body = good.clone();
            body[member] = value;
            let seen = door.served.post("/users", &body).await;
            assert_eq!(
                (seen.status, seen.header("content-type")),
                (422, "application/problem+json"),
                "{body}"
            );
        }
        door.served.post("/users", &json!({ "email": "a@b.c" })).await.problem(422, "malformed_body");
        door.served
            .post("/users", &json!({ "name": "x".repeat(70_000) }))
            .await
            .problem(413, "malformed_body");
        for scope in ["", "admin", "profile  profile"] {
            let body = json!({ "email": "ada@example.com", "password": PASSWORD, "scope": scope });
            door.served.post("/sessions", &body).await.problem(422, "invalid_value");
        }
    }
}

#[tokio::test]
async fn many_wrong_passwords_lock_an_account_known_or_not() {
    for door in doors().await {
        door.sign_up("ada@example.com").await.expect(201);
        for email in ["ada@example.com", "nobody@example.com"] {
            let statuses = join_all((0..7).map(|_| door.log_in(email, "guess"))).await;
            let n_tried = statuses.iter().filter(|seen| seen.status == 401).count();
            assert_eq!(n_tried, 5, "{email}");
            let locked = door.log_in(email, PASSWORD).await.problem(429, "too_many_attempts");
            assert_eq!(locked.header("retry-after"), "30");
        }
        door.clock.advance(Duration::from_secs(30));
        door.log_in("ada@example.com", PASSWORD).await.expect(200);
        door.log_in("ada@example.com", "guess").await.problem(401, "wrong_credentials");
    }
}

#[tokio::test]
async fn a_session_goes_on_by_tokens_of_one_use() {
    for door in doors().await {
        let ada = door.insert("ada@example.com", roles::Role::Customer).await;
        let first = door.begin(&ada, Some("profile")).await;
        let session = door.refresh(&first).await.expect(200);
        assert_eq!(
            (text(&session, "scope"), session.header("cache-control")),
            ("profile".to_owned(), "no-store")
        );
        let second = text(&session, "refresh_token");
        let third = text(&door.refresh(&second).await.expect(200), "refresh_token");
        // A copy of an old one is used: the session ends for everybody.
        door.refresh(&first).await.problem(401, "refresh_token_reused");
        door.refresh(&third).await.problem(401, "bad_refresh_token");
        // Another session of the same account goes on.
        let other = door.begin(&ada, None).await;
        let other = text(&door.refresh(&other).await.expect(200), "refresh_token");
        door.clock.advance(REFRESH_LIFETIME);
        door.refresh(&other).await.problem(401, "bad_refresh_token");
        refresh::sweep(&door.users.store, door.clock.now_ms()).await.unwrap();
        door.refresh(&first).await.problem(401, "bad_refresh_token");
    }
}

#[tokio::test]
async fn two_who_refresh_with_one_token_do_not_both_go_on() {
    for door in doors().await {
        let ada = door.insert("ada@example.com", roles::Role::Customer).await;
        let token = door.begin(&ada, None).await;
        let both = join_all([door.refresh(&token), door.refresh(&token)]).await;
        let mut statuses: Vec<u16> = both.iter().map(|seen| seen.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 401]);
        let won = both.iter().find(|seen| seen.status == 200).unwrap();
        door.refresh(&text(won, "refresh_token")).await.problem(401, "bad_refresh_token");
    }
}

#[tokio::test]
async fn a_session_that_is_revoked_is_over() {
    for door in doors().await {
        let ada = door.insert("ada@example.com", roles::Role::Customer).await;
        let token = door.begin(&ada, None).await;
        let revoke = async |token: &str| {
            door.served.post("/sessions/revoke", &json!({ "refresh_token": token })).await
        };
        revoke(&token).await.expect(204);
        revoke(&token).await.expect(204);
        door.refresh(&token).await.problem(401, "bad_refresh_token");
        revoke(&URL_SAFE_NO_PAD.encode([7; 32])).await.expect(204);
        revoke("x").await.problem(422, "invalid_value");
        door.refresh(&"\u{0}".repeat(43)).await.problem(422, "invalid_value");
    }
}

#[tokio::test]
async fn staff_change_roles_and_the_next_token_says_so() {
    for door in doors().await {
        let boss = door.insert("boss@example.com", roles::Role::Staff).await;
        let ada = door.insert("ada@example.com", roles::Role::Customer).await;
        let token = door.begin(&ada, None).await;
        door.set_role(&ada, &ada, "staff").await.problem(403, "not_staff");
        let path = format!("/users/{ada}/role");
        let customer =
            door.served.ask(Method::PUT, &path).header("x-user-id", &ada).json(&json!({ "role": "staff" }));
        Seen::of(customer).await.problem(403, "not_staff");
        assert_eq!(door.set_role(&boss, &ada, "staff").await.expect(200).json()["role"], "staff");
        let session = door.refresh(&token).await.expect(200);
        assert!(text(&session, "scope").contains("users:write"), "{session:?}");
        let claims = verified(&text(&session, "access_token"), &door.jwks().await).unwrap();
        assert_eq!(claims["role"], "staff");
        door.set_role(&boss, &uuid::Uuid::now_v7().to_string(), "staff").await.problem(404, "not_found");
        door.set_role(&boss, "ada", "staff").await.problem(400, "malformed_path");
        door.set_role(&boss, &ada, "king").await.problem(422, "malformed_body");
        door.set_role(&ada, &ada, "customer").await.expect(200);
        door.set_role(&boss, &boss, "customer").await.problem(409, "last_staff");
    }
}

#[tokio::test]
async fn the_last_two_staff_cannot_make_each_other_customers() {
    for door in doors().await {
        let first = door.insert("first@example.com", roles::Role::Staff).await;
        let second = door.insert("second@example.com", roles::Role::Staff).await;
        let both = join_all([
            door.set_role(&first, &second, "customer"),
            door.set_role(&second, &first, "customer"),
        ])
        .await;
        let mut statuses: Vec<u16> = both.iter().map(|seen| seen.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 403]);
    }
}

#[tokio::test]
async fn staff_see_everybody_page_by_page() {
    for door in doors().await {
        let boss = door.insert("boss@example.com", roles::Role::Staff).await;
        for n in 0..4 {
            door.insert(&format!("user-{n}@example.com"), roles::Role::Customer).await;
        }
        let first = door.as_staff(&boss, Method::GET, "/users?limit=3", None).await.expect(200);
        let next = text(&first, "next");
        assert_eq!(first.header("link"), format!("<?limit=3&cursor={next}>; rel=\"next\""));
        let path = format!("/users?limit=3&cursor={next}");
        let last = door.as_staff(&boss, Method::GET, &path, None).await.expect(200).json();
        assert_eq!((last["items"].as_array().unwrap().len(), &last["next"]), (2, &Value::Null));
        assert_eq!(last["items"][1]["email"], "user-3@example.com");
        assert_eq!(last["items"][1].get("password_hash"), None);
        door.served.get("/users").await.problem(401, "no_identity");
        door.as_staff(&boss, Method::GET, "/users?cursor=x", None).await.problem(422, "invalid_value");
    }
}

#[tokio::test]
async fn a_rotation_fails_no_request_of_a_gateway_that_reads_the_keys_now_and_then() {
    for door in doors().await {
        let boss = door.insert("boss@example.com", roles::Role::Staff).await;
        let mut refresh_token = door.begin(&boss, None).await;
        Seen::of(door.served.ask(Method::POST, "/keys/rotate")).await.problem(401, "no_identity");
        let (mut read, mut tokens, mut signers) =
            (door.jwks().await, Vec::new(), std::collections::BTreeSet::new());
        for minute in 0..45 {
            if minute == 3 {
                let made = door.as_staff(&boss, Method::POST, "/keys/rotate", None).await.expect(201);
                let again = door.as_staff(&boss, Method::POST, "/keys/rotate", None).await.expect(200);
                assert_eq!(made.json(), again.json());
            }
            // The gateway reads every five minutes; here it misses every other time.
            if minute % 10 == 0 {
                read = door.jwks().await;
            }
            let session = door.refresh(&refresh_token).await.expect(200);
            refresh_token = text(&session, "refresh_token");
            let token = text(&session, "access_token");
            signers.insert(jsonwebtoken::decode_header(&token).unwrap().kid.unwrap());
            tokens.push((minute + 15, token));
            tokens.retain(|(expires, _)| *expires > minute);
            for (_, token) in &tokens {
                assert!(verified(token, &read).is_some(), "in minute {minute}: {read}");
            }
            door.clock.advance(Duration::from_secs(60));
            door.users.keys.tend(door.clock.now_ms()).await.unwrap();
        }
        assert_eq!((signers.len(), door.jwks().await["keys"].as_array().unwrap().len()), (2, 1));
    }
}

#[test]
fn times_that_would_fail_requests_are_refused() {
    let read = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        times(&crate::settings::Settings::from_map(pairs.collect()).unwrap().variables)
    };
    assert_eq!(read(&[]).unwrap().lead_ms, 600_000);
    assert_eq!(read(&[("KEY_ROTATION", "2m")]).unwrap().lead_ms, 60_000);
    assert_eq!(read(&[("KEY_ROTATION", "59s")]).unwrap_err().name, "KEY_ROTATION");
    assert_eq!(read(&[("KEY_ROTATION", "1h"), ("KEY_LEAD", "1h")]).unwrap_err().name, "KEY_LEAD");
}
