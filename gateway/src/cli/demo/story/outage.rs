//! Steps 9 and 11: the registry is away and traffic goes on; a service is away and the others go on.

use std::time::Duration;

use crate::cli::demo::broken::{Broken, ensure};
use crate::cli::demo::narrator::{Narrator, Seconds};
use crate::cli::demo::services::Service;
use crate::cli::demo::stage::Stage;
use crate::cli::demo::wait::until;
use crate::clock;

/// Longest wait for the gateway to notice that the registry is away, or back.
const NOTICE_WAIT: Duration = Duration::from_secs(60);
/// Longest wait for the services to register again, or to be up again.
const REGISTER_WAIT: Duration = Duration::from_secs(60);
/// Answers before, during and after the absence.
const ANSWERS: u32 = 200;

pub(super) async fn registry_away(stage: &mut Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    let load = stage.load_products()?;
    stage.answers(ANSWERS).await?;
    stage.registry.take_away().await;
    narrator.fact(stage.registry.describe_absence());
    let line = until("the gateway to say that its endpoints are stale", NOTICE_WAIT, async || {
        let seen = stage.gateway.readiness().await?.expect(200)?;
        let line = seen.body.lines().find(|line| line.contains("product-service") && line.contains("stale"));
        line.map(str::to_owned).ok_or(seen.body)
    })
    .await?;
    narrator.fact(format!("/readyz?verbose → 200, {line}"));
    stage.answers(ANSWERS).await?;
    narrator.fact(format!("{ANSWERS} more requests answered without it"));
    let began = clock::now();
    stage.registry.give_back(&stage.programs).await?;
    registered_again(stage).await?;
    let took = clock::now().saturating_since(began);
    narrator.fact(format!("it is back; every instance is registered {} later", Seconds(took)));
    seen_after_it(stage, narrator).await?;
    stage.answers(ANSWERS).await?;
    narrator.fact(load.stop_clean().await?.line());
    Ok(())
}

async fn registered_again(stage: &Stage) -> Result<(), Broken> {
    for service in Service::ALL {
        let n = stage.n_running(service);
        until(&format!("{} to be registered again", service.name()), REGISTER_WAIT, async || {
            let (all, passing) = stage.registry.instances(service.name()).await?;
            Ok(ensure(passing == n, || format!("{all} registered, {passing} of {n} passing"))?)
        })
        .await?;
    }
    until("the gateway to trust the registry again", NOTICE_WAIT, async || {
        let seen = stage.gateway.readiness().await?.expect(200)?;
        if seen.body.contains("stale") { Err(seen.body) } else { Ok(()) }
    })
    .await
}

/// What is started now is seen: the gateway listens again.
async fn seen_after_it(stage: &mut Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    let address = stage.start(Service::Product).await?.address.to_string();
    until("the gateway to know the new instance", REGISTER_WAIT, async || {
        let seen = stage.gateway.upstream("products").await?;
        let passing = seen.passing();
        Ok(ensure(passing.contains(&address.as_str()), || passing.join(", "))?)
    })
    .await?;
    narrator.fact(format!("an instance started now, {address}, is found"));
    Ok(())
}

pub(super) async fn user_service_away(stage: &mut Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    let mut instance = stage.take(Service::User)?;
    instance.process.stop().await;
    narrator.fact("user service stopped: it finished its requests and left the registry");
    let seen = stage.shop.sign_up("grace@shop.example").await?;
    ensure(matches!(seen.status, 502 | 503), || seen.instead_of("502 or 503"))?;
    narrator.fact(format!("POST /api/users → {}: {}", seen.status, seen.text("/title")?));
    stage.shop.products().await?.expect(200)?;
    stage.shop.order(Some(&stage.customer()?.token)).await?.expect(201)?;
    narrator.fact("GET /api/products → 200; POST /api/orders with a token from before → 201, paid");
    let began = clock::now();
    stage.start(Service::User).await?;
    until("customers to sign up again", REGISTER_WAIT, async || {
        stage.shop.sign_up("grace@shop.example").await?.expect(201)?;
        Ok(())
    })
    .await?;
    let took = clock::now().saturating_since(began);
    narrator.fact(format!("started again: POST /api/users → 201 {} later", Seconds(took)));
    Ok(())
}
