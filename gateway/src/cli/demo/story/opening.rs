//! Steps 1 to 5: the shop opens, a customer comes in, orders, and somebody tries to break in.

use std::time::Duration;

use serde_json::Value;

use crate::cli::demo::broken::{Broken, ensure};
use crate::cli::demo::http::Seen;
use crate::cli::demo::narrator::{Narrator, Seconds, shortened};
use crate::cli::demo::services::Service;
use crate::cli::demo::stage::{Customer, Stage};
use crate::cli::demo::wait::until;
use crate::clock;

/// Longest wait for an instance to be registered and found healthy.
const REGISTER_WAIT: Duration = Duration::from_secs(30);
/// Longest wait for a request's lines in the access log, which is written behind.
const LOG_WAIT: Duration = Duration::from_secs(5);
/// The customer.
const EMAIL: &str = "ada@shop.example";
/// Guesses after which a limit must have been met.
const GUESSES_MAX: usize = 20;

pub(super) async fn registered(stage: &mut Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    narrator.fact(stage.registry.describe());
    match &stage.bus {
        None => narrator.fact("events go over HTTP, from the outbox of one service to the inbox of another"),
        Some(broker) => narrator.fact(format!("events go through {}", broker.describe())),
    }
    for service in Service::ALL {
        let (n_before, _) = stage.registry.instances(service.name()).await?;
        ensure(n_before == 0, || {
            format!(
                "{n_before} instances of {} are registered already; use a Consul without them",
                service.name()
            )
        })?;
    }
    let began = clock::now();
    for service in Service::ALL {
        stage.start(service).await?;
    }
    if let Some(broker) = &stage.bus {
        for service in Service::ALL.into_iter().filter(|service| service.takes_events()) {
            broker.lets_in(stage.one(service)?).await?;
        }
    }
    for service in Service::ALL {
        until(&format!("{} to be registered", service.name()), REGISTER_WAIT, async || {
            let (all, passing) = stage.registry.instances(service.name()).await?;
            Ok(ensure(passing == 1, || format!("{all} registered, {passing} passing"))?)
        })
        .await?;
    }
    let names = Service::ALL.map(Service::name).join(", ");
    narrator.fact(format!(
        "{names}: registered and healthy after {}",
        Seconds(clock::now().saturating_since(began))
    ));
    let began = clock::now();
    stage.start_gateway().await?;
    narrator
        .fact(format!("gateway: ready {} after its start", Seconds(clock::now().saturating_since(began))));
    for service in Service::ALL {
        until(&format!("the gateway to know {}", service.name()), REGISTER_WAIT, async || {
            Ok(stage.gateway.upstream(service.upstream()).await?.expect_passing(1)?)
        })
        .await?;
    }
    Ok(())
}

pub(super) async fn signed_up(stage: &mut Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    let seen = stage.shop.sign_up(EMAIL).await?.expect(201)?;
    narrator.fact(format!("POST /api/users → 201 in {}", Seconds(seen.took)));
    let seen = stage.shop.log_in(EMAIL, None).await?.expect(200)?;
    let token = seen.text("/access_token")?;
    narrator.fact(format!(
        "POST /api/sessions → 200 in {}, scope {}",
        Seconds(seen.took),
        seen.text("/scope")?
    ));
    narrator.fact(format!("token {}", shortened(&token)));
    stage.customer = Some(Customer { email: EMAIL.to_owned(), token });
    Ok(())
}

pub(super) async fn tokens(stage: &mut Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    let seen = stage.shop.products().await?.expect(200)?;
    let n_products = seen.json().pointer("/items").and_then(Value::as_array).map_or(0, Vec::len);
    ensure(n_products > 0, || seen.instead_of("a list of products"))?;
    narrator.fact(format!("GET /api/products without a token → 200, {n_products} products"));
    let seen = stage.shop.order(None).await?.expect(401)?;
    narrator.fact(format!(
        "POST /api/orders without a token → 401, WWW-Authenticate: {}",
        seen.expect_header("www-authenticate")?
    ));
    stage.shop.get("/payments/1").await?.expect(404)?;
    narrator.fact("GET /payments/1 → 404: what services ask each other is not on the customers' listener");
    let narrow = stage.shop.log_in(&stage.customer()?.email, Some("profile")).await?.expect(200)?;
    let seen = stage.shop.order(Some(&narrow.text("/access_token")?)).await?.expect(403)?;
    narrator
        .fact(format!("POST /api/orders with a token for `profile` alone → 403: {}", seen.text("/detail")?));
    Ok(())
}

pub(super) async fn order(stage: &mut Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    let token = &stage.customer()?.token;
    let seen = stage.shop.order(Some(token)).await?.expect(201)?;
    ensure(seen.text("/state")? == "paid", || seen.instead_of("a paid order"))?;
    let order = seen.text("/id")?;
    narrator.fact(format!("POST /api/orders → 201, paid, in {}", Seconds(seen.took)));
    let listed = stage.shop.orders(token).await?.expect(200)?;
    ensure(listed.body.contains(&order), || listed.instead_of("the order"))?;
    narrator.fact(format!("GET /api/orders lists {order}"));
    logged(stage, &seen, narrator).await
}

/// The order's request id tells the whole story: the customer's call and the calls it caused.
async fn logged(stage: &Stage, seen: &Seen, narrator: &mut Narrator) -> Result<(), Broken> {
    let id = seen.expect_header("x-request-id")?;
    let lines = until(&format!("the access log to tell of request {id}"), LOG_WAIT, async || {
        let lines = stage.access_lines(&id);
        let tells =
            |route: &str| lines.iter().any(|line| line.get("route").and_then(Value::as_str) == Some(route));
        ensure(tells("orders") && tells("payments"), || format!("{} lines", lines.len()))?;
        Ok(lines)
    })
    .await
    .map_err(|broken| broken.see("gateway"))?;
    narrator.fact(format!("access log, request {id}:"));
    for line in &lines {
        narrator.fact(format!("  {}", summary(line)));
    }
    Ok(())
}

/// A line of the access log, shorter: `internal · POST /payments · payments → 127.0.0.1:4001 · 201 · 3.1 ms`.
fn summary(line: &Value) -> String {
    let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or("-");
    let attempts = line.get("attempts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let endpoints: Vec<&str> =
        attempts.iter().filter_map(|attempt| attempt.get("endpoint").and_then(Value::as_str)).collect();
    let status = line.get("status").and_then(Value::as_u64).unwrap_or_default();
    let took_ms = line.get("duration_ms").and_then(Value::as_f64).unwrap_or_default();
    format!(
        "{} · {} {} · {} → {} · {status} · {took_ms:.1} ms",
        text("listener"),
        text("method"),
        text("path"),
        text("route"),
        endpoints.join(", ")
    )
}

pub(super) async fn limit(stage: &mut Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    let email = stage.customer()?.email.clone();
    let mut n_wrong = 0;
    for guess in 0..GUESSES_MAX {
        let seen = stage.shop.guess(&email, &format!("guess number {guess}")).await?;
        if seen.status == 429 {
            narrator.fact(format!("after {n_wrong} wrong guesses (401): 429 Too Many Requests"));
            for name in ["RateLimit-Policy", "RateLimit", "Retry-After"] {
                narrator.fact(format!("  {name}: {}", seen.expect_header(name)?));
            }
            return Ok(());
        }
        seen.expect(401)?;
        n_wrong += 1;
    }
    Err(Broken::new(format!("{n_wrong} guesses met no limit")).see("gateway"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_of_the_access_log_is_shortened_to_what_matters() {
        let line = json!({
            "listener": "internal", "method": "POST", "path": "/payments", "route": "payments", "status": 201,
            "duration_ms": 3.06, "attempts": [{ "endpoint": "127.0.0.1:1" }, { "endpoint": "127.0.0.1:2" }]
        });
        assert_eq!(
            summary(&line),
            "internal · POST /payments · payments → 127.0.0.1:1, 127.0.0.1:2 · 201 · 3.1 ms"
        );
    }
}
