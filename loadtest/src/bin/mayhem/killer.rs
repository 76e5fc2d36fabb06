//! Carries out a plan of kills, one after the other, and starts again what was killed.

use std::time::Duration;

use crate::clock::{now, poll};
use crate::dice::Dice;
use crate::note;
use crate::plan::{Kill, Payment, Victim, When};
use crate::stage::{SERVICES, Stage};
use crate::table::Kills;

/// Longest wait for a service to reach the point at which it is to die.
const REACH_WAIT: Duration = Duration::from_secs(15);
/// How long a victim stays dead before it is started again, in milliseconds, at most.
const DEAD_MS_MAX: u64 = 300;
/// The pause before the next kill, in milliseconds, at most.
const PEACE_MS_MAX: u64 = 200;
/// One order service in so many, started again, has its orders paid by a call instead of an event.
const REST_ONE_IN: u64 = 3;
/// Kills between two lines that say how far the run is.
const NOTE_EVERY: usize = 10;

/// Kills as planned. An error is a process that cannot be started again, or one that died unasked.
pub(crate) async fn carry_out(
    plan: &[Kill],
    seed: u64,
    stage: &mut Stage,
    kills: &mut Kills,
) -> Result<(), String> {
    let mut dice = Dice::nth(seed, u64::MAX);
    for (idx, kill) in plan.iter().enumerate() {
        tokio::time::sleep(Duration::from_millis(dice.between(0, PEACE_MS_MAX))).await;
        everybody_lives(stage)?;
        fit(kill, stage).await?;
        let row = kills.of(kill.victim, kill.point());
        row.planned += 1;
        if strike(kill, stage).await? {
            row.died += 1;
        } else {
            row.at_once_instead += 1;
        }
        let died = now();
        tokio::time::sleep(Duration::from_millis(dice.between(0, DEAD_MS_MAX))).await;
        stage.pay_by(if dice.one_in(REST_ONE_IN) { Payment::Rest } else { Payment::Event });
        stage.start(kill.victim).await?;
        row.away += now().duration_since(died);
        if (idx + 1) % NOTE_EVERY == 0 {
            note(&format!("{} of {} killed", idx + 1, plan.len()));
        }
    }
    everybody_lives(stage)
}

/// Nobody dies unless told to.
fn everybody_lives(stage: &Stage) -> Result<(), String> {
    let all = SERVICES.into_iter().chain([Victim::Gateway, Victim::Registry]);
    match all.into_iter().find(|process| !stage.is_alive(*process)) {
        None => Ok(()),
        Some(dead) => Err(format!("{} died, and nobody had told it to", dead.name())),
    }
}

/// Starts the order service again if it has its orders paid in a way that does not lead past this point.
async fn fit(kill: &Kill, stage: &mut Stage) -> Result<(), String> {
    match kill.needs() {
        Some(way) if way != stage.payment_now() => {
            stage.kill(Victim::Order);
            stage.pay_by(way);
            stage.start(Victim::Order).await
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether the victim died as planned; dead it is in any case.
async fn strike(kill: &Kill, stage: &mut Stage) -> Result<bool, String> {
    let reached = match kill.when {
        When::Now => true,
        When::Reaches { point, nth } => {
            // No answer is no failure yet: the victim may get there before it has answered.
            let armed = stage.arm(kill.victim, point, nth).await;
            let until = now() + REACH_WAIT;
            while stage.is_alive(kill.victim) && now() < until {
                poll().await;
            }
            let died = !stage.is_alive(kill.victim);
            if !died {
                armed?;
            }
            died
        }
    };
    stage.kill(kill.victim);
    Ok(reached)
}
