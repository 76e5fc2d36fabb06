//! The story: sixteen steps, each of which holds or ends it.

mod conserved;
mod crash;
mod documents;
mod events;
mod opening;
mod outage;
mod payment;
mod release;
mod reload;
mod scaling;
mod trail;
mod trial;

use super::broken::Broken;
use super::narrator::Narrator;
use super::stage::Stage;

/// The steps, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Registered,
    SignedUp,
    Tokens,
    Order,
    Limit,
    PaymentFails,
    Scaling,
    Crash,
    RegistryAway,
    Reloads,
    Apart,
    Release,
    Trials,
    Events,
    Trail,
    Conserved,
}

impl Step {
    const ALL: [Self; 16] = [
        Self::Registered,
        Self::SignedUp,
        Self::Tokens,
        Self::Order,
        Self::Limit,
        Self::PaymentFails,
        Self::Scaling,
        Self::Crash,
        Self::RegistryAway,
        Self::Reloads,
        Self::Apart,
        Self::Release,
        Self::Trials,
        Self::Events,
        Self::Trail,
        Self::Conserved,
    ];

    const fn title(self) -> &'static str {
        match self {
            Self::Registered => "four services are registered, the gateway is ready",
            Self::SignedUp => "a customer signs up and logs in",
            Self::Tokens => "everybody may look, only customers may order",
            Self::Order => "an order is taken and paid: client → gateway → order → gateway → payment",
            Self::Limit => "somebody guesses passwords, until the limit",
            Self::PaymentFails => "payment fails: retried, left alone, answered for, back again",
            Self::Scaling => "product is scaled from 1 to 5 instances under load",
            Self::Crash => "an instance is killed (-9) under load",
            Self::RegistryAway => "the registry is away for a while, under load",
            Self::Reloads => "a bad configuration is refused, a good one applied under load",
            Self::Apart => "one service down leaves the others",
            Self::Release => "product is replaced by a new version under load",
            Self::Trials => "a configuration on trial: a bad one reverts by itself, a good one is confirmed",
            Self::Events => "orders are paid by events, and cancelled by events",
            Self::Trail => "one id tells the whole story, through all logs",
            Self::Conserved => {
                "order, payment and product are killed (-9) amid orders: nothing lost, nothing doubled"
            }
        }
    }

    async fn play(self, stage: &mut Stage, narrator: &mut Narrator) -> Result<(), Broken> {
        match self {
            Self::Registered => opening::registered(stage, narrator).await,
            Self::SignedUp => opening::signed_up(stage, narrator).await,
            Self::Tokens => opening::tokens(stage, narrator).await,
            Self::Order => opening::order(stage, narrator).await,
            Self::Limit => opening::limit(stage, narrator).await,
            Self::PaymentFails => payment::fails(stage, narrator).await,
            Self::Scaling => scaling::scaled(stage, narrator).await,
            Self::Crash => crash::killed(stage, narrator).await,
            Self::RegistryAway => outage::registry_away(stage, narrator).await,
            Self::Reloads => reload::reloads(stage, narrator).await,
            Self::Apart => outage::user_service_away(stage, narrator).await,
            Self::Release => release::replaced(stage, narrator).await,
            Self::Trials => trial::trials(stage, narrator).await,
            Self::Events => events::both_ways(stage, narrator).await,
            Self::Trail => trail::followed(stage, narrator).await,
            Self::Conserved => conserved::conserved(stage, narrator).await,
        }
    }
}

/// Plays the story up to its end or to the first step that does not hold.
pub(super) async fn tell(stage: &mut Stage, narrator: &mut Narrator) -> Result<(), Broken> {
    for step in Step::ALL {
        narrator.begin(step.title());
        // Boxed: sixteen steps in one future would lie on the stack whole.
        match Box::pin(step.play(stage, narrator)).await {
            Ok(()) => narrator.held(),
            Err(broken) => {
                narrator.broke(&broken.to_string());
                return Err(broken);
            }
        }
    }
    Ok(())
}
