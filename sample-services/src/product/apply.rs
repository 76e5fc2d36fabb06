//! What events of the order service do to the pieces set aside for an order.

use async_trait::async_trait;
use serde_json::json;

use super::NAME;
use super::event::Happened;
use super::reservations::{Settled, settle};
use crate::clock;
use crate::events::inbox::{Apply, Refusal};
use crate::events::outbox::Outbox;
use crate::events::{Event, Subscription, kind};
use crate::store::Tx;

/// The events that the product service hears.
pub(super) const SUBSCRIPTION: Subscription =
    Subscription { service: NAME, kinds: &[kind::ORDER_PAID, kind::ORDER_CANCELLED] };

#[derive(Debug)]
pub(super) struct Hearing(pub(super) Outbox);

#[async_trait]
impl Apply for Hearing {
    async fn apply(&self, tx: &mut Tx, event: &Event) -> Result<(), Refusal> {
        let happened = match &*event.kind {
            kind::ORDER_PAID => Happened::Paid,
            kind::ORDER_CANCELLED => Happened::Cancelled,
            other => return Err(Refusal::Never(format!("products know nothing of `{other}`"))),
        };
        match settle(tx, &event.key, happened).await? {
            Settled::Done => tracing::info!(order = %event.key, ?happened, "reservation settled"),
            Settled::Lost => {
                tracing::warn!(order = %event.key, "paid too late: its pieces are gone");
                let lost =
                    Event::new(kind::STOCK_LOST, &event.key, clock::now_ms(), &event.trace(), json!({}));
                self.0.append(tx, &lost).await?;
            }
        }
        Ok(())
    }
}
