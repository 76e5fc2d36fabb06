//! Driving an order to where it is settled: ask the partner who is next, tell the order, go on.
//!
//! Anybody may drive any order at any time, and many at once: every question may be repeated, and
//! an order moves only from the state that it is in. So whoever comes next ends what a crash began.

use super::partners::{Charge, Partners, Stock};
use super::reason::Reason;
use super::records::{Heard, NotHeard, Order, Records, Word};
use super::state::{News, State, Task};
use crate::clock;
use crate::mischief::reached;

/// Moves of an order in one go: more than there are on its longest way.
const MOVES_MAX: usize = 8;
/// Times news is told anew because the order moved in the meantime. Each time somebody else got on.
const OVERTAKEN_MAX: usize = 8;

pub(super) struct Driver {
    records: Records,
    partners: Partners,
    /// After so long an order that is not paid is cancelled.
    pay_within_ms: i64,
}

/// How far an order was driven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Driven {
    pub(super) order: Order,
    /// What there is to say about it, for the customer.
    pub(super) note: Option<String>,
}

/// What a partner had to say.
enum Said {
    /// News; and in the partner's words, if it has any.
    News(Word, Option<String>),
    /// Nothing: the order stays where it is, with a note why.
    Nothing(Option<String>),
}

impl Driver {
    pub(super) const fn new(records: Records, partners: Partners, pay_within_ms: i64) -> Self {
        Self { records, partners, pay_within_ms }
    }

    pub(super) const fn records(&self) -> &Records {
        &self.records
    }

    /// Drives an order until it is settled or somebody is of no help.
    pub(super) async fn drive(&self, id: &str) -> Result<Driven, NotHeard> {
        let unknown = || NotHeard::Unknown(id.to_owned());
        let mut order = self.records.find(id).await?.ok_or_else(unknown)?;
        let mut note = None;
        for _ in 0..MOVES_MAX {
            match self.ask(&order).await {
                Said::Nothing(why) => return Ok(Driven { order, note: why.or(note) }),
                Said::News(word, words) => {
                    order = self.tell(id, word).await?;
                    note = words.or(note);
                }
            }
        }
        Ok(Driven { order, note })
    }

    /// Tells an order news, in a transaction of its own; answers the order as it is then.
    pub(super) async fn tell(&self, id: &str, word: Word) -> Result<Order, NotHeard> {
        for _ in 0..OVERTAKEN_MAX {
            let trace = self.records.find(id).await?.map(|order| order.trace());
            let Some(trace) = trace else { return Err(NotHeard::Unknown(id.to_owned())) };
            let mut tx = self.records.store().begin().await?;
            let order = match self.records.hear(&mut tx, id, word, &trace).await {
                Ok(Heard::Stale(order)) => return Ok(order),
                Ok(Heard::Moved(order)) => order,
                Err(NotHeard::Overtaken) => continue,
                Err(error) => return Err(error),
            };
            match order.state {
                State::Reserved => reached("order.reserved_before_commit"),
                State::Paid => reached("order.charged_before_commit"),
                State::Placed | State::Cancelling | State::Cancelled => {}
            }
            tx.commit().await?;
            match order.state {
                State::Reserved => reached("order.reserved"),
                State::Paid => reached("order.paid"),
                State::Placed | State::Cancelling | State::Cancelled => {}
            }
            self.records.wake();
            tracing::info!(order = %order.id, state = %order.state, "order moved");
            return Ok(order);
        }
        Err(NotHeard::Overtaken)
    }

    async fn ask(&self, order: &Order) -> Said {
        let waited_ms = clock::now_ms() - order.placed_at_ms;
        let is_unpaid = matches!(order.state, State::Placed | State::Reserved);
        if is_unpaid && waited_ms > self.pay_within_ms {
            return Said::News(Word::because(News::TooLate, Reason::TooLate), None);
        }
        match order.state.task(order.paid_by) {
            Task::Reserve => self.reserve(order).await,
            Task::Charge => self.charge(order).await,
            Task::Undo => match self.partners.undo(order).await {
                Ok(()) => Said::News(Word::of(News::Undone), None),
                Err(why) => Said::Nothing(Some(why)),
            },
            Task::Wait if order.state == State::Reserved => {
                Said::Nothing(Some("the order is safe; its payment is on its way".to_owned()))
            }
            Task::Wait => Said::Nothing(Some("what was paid is being paid back".to_owned())),
            Task::Rest => Said::Nothing(None),
        }
    }

    async fn reserve(&self, order: &Order) -> Said {
        reached("order.reserving");
        match self.partners.reserve(order).await {
            Stock::Reserved { price_cents } => match price_cents.checked_mul(order.quantity) {
                Some(amount) if amount > 0 => {
                    let word = Word { amount_cents: Some(amount), ..Word::of(News::Reserved) };
                    Said::News(word, None)
                }
                Some(_) | None => Said::Nothing(Some("the price of the order cannot be told".to_owned())),
            },
            Stock::Refused { reason, detail } => {
                Said::News(Word::because(News::NoStock, reason), Some(detail))
            }
            Stock::Unknown(why) => Said::Nothing(Some(why)),
        }
    }

    async fn charge(&self, order: &Order) -> Said {
        let Some(amount_cents) = order.amount_cents else {
            return Said::Nothing(Some("the price of the order is not known".to_owned()));
        };
        reached("order.charging");
        match self.partners.charge(order, amount_cents).await {
            Charge::Charged => Said::News(Word::of(News::Charged), None),
            Charge::Declined(detail) => {
                Said::News(Word::because(News::Declined, Reason::Declined), Some(detail))
            }
            Charge::Unknown(why) => Said::Nothing(Some(why)),
        }
    }
}
