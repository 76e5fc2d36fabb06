//! What events of the other services do to an order.

use async_trait::async_trait;

use super::reason::Reason;
use super::records::{Heard, NotHeard, Records, Word};
use super::state::News;
use crate::events::inbox::{Apply, Refusal};
use crate::events::{Event, Subscription, kind};
use crate::store::Tx;

/// The events that orders hear.
pub(super) const SUBSCRIPTION: Subscription = Subscription {
    service: super::NAME,
    kinds: &[
        kind::PAYMENT_CHARGED,
        kind::PAYMENT_DECLINED,
        kind::PAYMENT_VOIDED,
        kind::PAYMENT_REFUNDED,
        kind::STOCK_LOST,
    ],
};

#[derive(Debug)]
pub(super) struct Hearing(pub(super) Records);

#[async_trait]
impl Apply for Hearing {
    async fn apply(&self, tx: &mut Tx, event: &Event) -> Result<(), Refusal> {
        let word = match &*event.kind {
            kind::PAYMENT_CHARGED => Word::of(News::Charged),
            kind::PAYMENT_DECLINED => Word::because(News::Declined, Reason::Declined),
            kind::PAYMENT_VOIDED | kind::PAYMENT_REFUNDED => Word::of(News::Undone),
            kind::STOCK_LOST => Word::because(News::StockLost, Reason::StockLost),
            other => return Err(Refusal::Never(format!("orders know nothing of `{other}`"))),
        };
        match self.0.hear(tx, &event.key, word, &event.trace()).await {
            Ok(Heard::Moved(order)) => {
                tracing::info!(order = %order.id, state = %order.state, "order moved");
                Ok(())
            }
            Ok(Heard::Stale(_)) => Ok(()),
            Err(NotHeard::Overtaken) => Err(Refusal::Later(NotHeard::Overtaken.to_string())),
            Err(error @ (NotHeard::Unknown(_) | NotHeard::Forbidden(_))) => {
                Err(Refusal::Never(error.to_string()))
            }
            Err(NotHeard::Store(error)) => Err(error.into()),
        }
    }
}
