//! What events of the order service do to payments, and what payments answer by events.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

use super::records;
use super::rules::{Judge, OnCharge, State};
use super::{NAME, Payments};
use crate::clock;
use crate::events::inbox::{Apply, Refusal};
use crate::events::{Event, Subscription, kind};
use crate::store::Tx;

/// The events that the payment service hears.
pub(super) const SUBSCRIPTION: Subscription =
    Subscription { service: NAME, kinds: &[kind::ORDER_CREATED, kind::ORDER_CANCEL_REQUESTED] };

/// What `order.created` says.
#[derive(Debug, Deserialize)]
struct Created {
    amount_cents: i64,
}

#[async_trait]
impl Apply for Payments {
    async fn apply(&self, tx: &mut Tx, event: &Event) -> Result<(), Refusal> {
        let answer = match &*event.kind {
            kind::ORDER_CREATED => {
                let Created { amount_cents } = Created::deserialize(&event.data)
                    .map_err(|error| Refusal::Never(format!("`data` is not that of an order: {error}")))?;
                charge(tx, self.judge(), &event.key, amount_cents).await?
            }
            kind::ORDER_CANCEL_REQUESTED => Some(undo(tx, &event.key).await?),
            other => return Err(Refusal::Never(format!("payments know nothing of `{other}`"))),
        };
        if let Some((kind, data)) = answer {
            let answer = Event::new(kind, &event.key, clock::now_ms(), &event.trace(), data);
            self.outbox.append(tx, &answer).await?;
        }
        Ok(())
    }
}

/// The answer to an order that wants to be charged; none if it is cancelled already.
async fn charge(
    tx: &mut Tx,
    judge: Judge,
    order_id: &str,
    amount_cents: i64,
) -> Result<Option<(&'static str, Value)>, Refusal> {
    if amount_cents < 1 {
        return Err(Refusal::Never(format!("{amount_cents} cents cannot be charged")));
    }
    match records::charge(tx, judge, order_id, amount_cents).await? {
        OnCharge::Charge | OnCharge::Replay => {
            Ok(Some((kind::PAYMENT_CHARGED, json!({ "amount_cents": amount_cents }))))
        }
        OnCharge::Decline(why) => Ok(Some((kind::PAYMENT_DECLINED, json!({ "reason": why.to_string() })))),
        OnCharge::StillDeclined => {
            Ok(Some((kind::PAYMENT_DECLINED, json!({ "reason": "it was declined before" }))))
        }
        OnCharge::Undone(_) => Ok(None),
        OnCharge::OtherAmount(before) => {
            Err(Refusal::Never(format!("asked for {amount_cents} cents, and for {before} before")))
        }
    }
}

/// The answer to an order whose payment is to be undone.
async fn undo(tx: &mut Tx, order_id: &str) -> Result<(&'static str, Value), Refusal> {
    Ok(match records::undo(tx, order_id).await? {
        State::Refunded => (kind::PAYMENT_REFUNDED, json!({})),
        State::Voided | State::Charged | State::Declined => (kind::PAYMENT_VOIDED, json!({})),
    })
}
