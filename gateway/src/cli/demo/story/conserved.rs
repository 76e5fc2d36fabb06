//! Step 16: order, payment and product service are each killed (-9) in the middle of orders, at the
//! worst moments, and started again. Nothing is lost and nothing is doubled.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::events::BY_EVENT;
use crate::cli::demo::books::{Books, Money, Moved};
use crate::cli::demo::broken::{Broken, ensure};
use crate::cli::demo::narrator::{Narrator, Seconds};
use crate::cli::demo::services::Service;
use crate::cli::demo::stage::Stage;
use crate::cli::demo::wait::until;
use crate::clock;
use crate::entropy;

/// Orders that are placed while the services die.
const ORDERS: usize = 12;
/// Who dies, where, and the how manieth time it gets there: each has done something and told nobody of it yet.
const DEATHS: [(Service, &str, u32); 3] = [
    (Service::Product, "product.reserve_committed", 2),
    (Service::Payment, "inbox.committed", 2),
    (Service::Order, "outbox.published", 6),
];
/// Longest wait for the next of them to die.
const DEATHS_WAIT: Duration = Duration::from_secs(30);
/// Longest wait for an order to be answered once everybody is back.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// The step's own state: what is sent, and who has died so far.
struct Crashes {
    keys: Vec<String>,
    n_unanswered: usize,
    dead: Vec<Service>,
}

pub(super) async fn conserved(stage: &mut Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    let before = Books::settled(&stage.inside).await?;
    for (service, point, nth) in DEATHS {
        stage.one(service)?.misbehave(&json!({ "crash": { "point": point, "nth": nth } })).await?;
    }
    let run = entropy::number();
    let keys = (0..ORDERS).map(|n| format!("{run:016x}-{n}")).collect();
    let mut crashes = Crashes { keys, n_unanswered: 0, dead: Vec::new() };
    let began = clock::now();
    crashes.place(stage, narrator).await?;
    crashes.all_died(stage, narrator).await?;
    narrator.fact(format!(
        "{ORDERS} orders were sent meanwhile; {} got an error for an answer",
        crashes.n_unanswered
    ));
    let ids = crashes.ask_again(stage).await?;
    ensure(ids.len() == ORDERS, || format!("{} orders for {ORDERS} keys", ids.len()))?;
    narrator.fact(format!("sent again with the same Idempotency-Key, each is one order: {}", ids.len()));
    let after = Books::settled(&stage.inside).await?;
    let took = clock::now().saturating_since(began);
    let moved = after.since(&before);
    let n = i64::try_from(ORDERS).unwrap_or(i64::MAX);
    let expected =
        Moved { placed: n, paid: n, cancelled: 0, pieces: 0, sold: n, kept_cents: moved.kept_cents };
    ensure(moved == expected, || format!("the books moved by {moved:?}"))?;
    narrator.fact(format!(
        "every order is paid {} after the first was sent: {n} pieces sold, {} charged",
        Seconds(took),
        Money(moved.kept_cents)
    ));
    twice(stage, narrator)?;
    for line in after.lines() {
        narrator.fact(format!("  {line}"));
    }
    Ok(())
}

impl Crashes {
    /// Sends each order once and takes what comes.
    async fn place(&mut self, stage: &mut Stage, narrator: &mut Narrator) -> Result<(), Broken> {
        for key in &self.keys {
            let sent = stage.shop.order_once(&stage.customer()?.token, key).await;
            self.n_unanswered += usize::from(!sent.is_ok_and(|seen| seen.status == 202));
            revive(stage, &mut self.dead, narrator).await?;
        }
        Ok(())
    }

    async fn all_died(&mut self, stage: &mut Stage, narrator: &mut Narrator) -> Result<(), Broken> {
        while self.dead.len() < DEATHS.len() {
            let dead = &self.dead;
            until("all three to have died", DEATHS_WAIT, async || {
                Ok(ensure(stage.somebody_died(), || format!("dead so far: {dead:?}"))?)
            })
            .await?;
            revive(stage, &mut self.dead, narrator).await?;
        }
        Ok(())
    }

    /// Asks for every order once more, by its key: the ids there are.
    async fn ask_again(&self, stage: &Stage) -> Result<BTreeSet<String>, Broken> {
        let token = &stage.customer()?.token;
        let mut ids = BTreeSet::new();
        for key in &self.keys {
            let id = until("an order to be answered", ANSWER_WAIT, async || {
                let seen = stage.shop.order_once(token, key).await?;
                ensure(matches!(seen.status, 200..=202), || seen.instead_of("200, 201 or 202"))?;
                Ok(seen.text("/id")?)
            })
            .await?;
            ids.insert(id);
        }
        Ok(ids)
    }
}

/// Starts again whoever died.
async fn revive(stage: &mut Stage, dead: &mut Vec<Service>, narrator: &mut Narrator) -> Result<(), Broken> {
    while let Some(buried) = stage.bury_one() {
        let service = buried.service;
        let point = DEATHS.iter().find(|(who, _, _)| *who == service && !dead.contains(who));
        let (_, point, _) = point.ok_or_else(|| {
            Broken::new(format!("{} died, and nobody told it to", buried.process.name))
                .see(&buried.process.name)
        })?;
        let own: &[(&str, &str)] = match service {
            Service::Order => &BY_EVENT,
            Service::User | Service::Product | Service::Payment => &[],
        };
        let began = clock::now();
        let address = stage.start_with(service, own).await?.address;
        let took = clock::now().saturating_since(began);
        narrator.fact(format!(
            "{} killed (-9) at {point}; another serves at {address} {} later",
            service.name(),
            Seconds(took)
        ));
        dead.push(service);
    }
    Ok(())
}

/// What was told twice, since nobody knew that it had been told, was heard once.
fn twice(stage: &Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    let is_known = |line: &Value| line.get("msg").and_then(Value::as_str) == Some("event was handled before");
    let lines = stage.instances.iter().flat_map(|instance| instance.process.lines());
    let n = lines.filter(is_known).count();
    ensure(n > 0, || "no event came twice, so nothing shows that it would take effect once".to_owned())?;
    narrator.fact(format!("{n} events came twice and took effect once:"));
    Ok(())
}
