//! What an order may become: (state, news) → a move, or nothing, or a refusal.
//!
//! Decides and does nothing else: no database, no partner, no clock. News may be late, repeated or
//! overtaken, since two instances may drive one order and events arrive more than once; what is
//! stale is told from what cannot be.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

use crate::events::kind;

/// Where an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Taken; its stock is still to be reserved.
    Placed,
    /// Its stock is reserved; its payment is still to come.
    Reserved,
    /// Paid.
    Paid,
    /// Being cancelled: what was or might have been paid is still to be undone.
    Cancelling,
    /// Cancelled: nothing is reserved for it and nothing is paid.
    Cancelled,
}

/// How an order is paid; fixed when it is placed, so that a changed setting strands no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaidBy {
    /// The order service asks the payment service and waits for the answer.
    Rest,
    /// The payment service hears of the order by an event, and answers by one.
    Event,
}

/// What happened to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum News {
    /// Its stock is reserved.
    Reserved,
    /// Its stock cannot be reserved: gone, or no such product.
    NoStock,
    /// It is charged.
    Charged,
    /// It will never be charged.
    Declined,
    /// What was charged is paid back, or will never be charged.
    Undone,
    /// The pieces of a paid order are gone: its reservation had expired.
    StockLost,
    /// The customer wants it no more.
    CancelAsked,
    /// It was not paid in time.
    TooLate,
}

/// A move, with the events that tell of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// Where the order is afterwards.
    pub to: State,
    /// The kind of the event to publish with it.
    pub event: Option<&'static str>,
}

/// News that cannot be true of an order in this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an order that is {state} cannot be {news}")]
pub struct Forbidden {
    /// Where the order is.
    pub state: State,
    /// What is said to have happened.
    pub news: News,
}

/// What an order needs next from the one who drives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Ask for its stock.
    Reserve,
    /// Ask for its payment.
    Charge,
    /// Ask for its payment to be undone.
    Undo,
    /// Nothing: an event will tell.
    Wait,
    /// Nothing: it is settled.
    Rest,
}

impl State {
    /// All of them, in the order in which an order may pass through them.
    pub const ALL: [Self; 5] = [Self::Placed, Self::Reserved, Self::Paid, Self::Cancelling, Self::Cancelled];

    /// Its name in the database and in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Reserved => "reserved",
            Self::Paid => "paid",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the order stays as it is unless the customer or lost stock moves it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Paid | Self::Cancelled)
    }

    /// What is to be done for an order in this state.
    #[must_use]
    pub const fn task(self, by: PaidBy) -> Task {
        match (self, by) {
            (Self::Placed, _) => Task::Reserve,
            (Self::Reserved, PaidBy::Rest) => Task::Charge,
            (Self::Cancelling, PaidBy::Rest) => Task::Undo,
            (Self::Reserved | Self::Cancelling, PaidBy::Event) => Task::Wait,
            (Self::Paid | Self::Cancelled, _) => Task::Rest,
        }
    }

    /// What `news` makes of an order; `None` if it is stale and changes nothing.
    ///
    /// # Errors
    /// News that no order of this state can have: somebody is wrong, and people should look.
    pub const fn hear(self, news: News, by: PaidBy) -> Result<Option<Move>, Forbidden> {
        let event = match by {
            PaidBy::Rest => (None, None),
            PaidBy::Event => (Some(kind::ORDER_CREATED), Some(kind::ORDER_CANCEL_REQUESTED)),
        };
        let (to, event) = match (self, news) {
            (Self::Placed, News::Reserved) => (Self::Reserved, event.0),
            (Self::Placed, News::NoStock | News::CancelAsked | News::TooLate)
            | (Self::Reserved, News::Declined)
            | (Self::Cancelling, News::Undone) => (Self::Cancelled, Some(kind::ORDER_CANCELLED)),
            (Self::Reserved, News::Charged) => (Self::Paid, Some(kind::ORDER_PAID)),
            (Self::Reserved, News::CancelAsked | News::TooLate)
            | (Self::Paid, News::CancelAsked | News::StockLost) => (Self::Cancelling, event.1),
            // Late, repeated or overtaken: another driver or a later event was faster.
            (Self::Reserved, News::Reserved | News::NoStock)
            | (Self::Paid, News::Reserved | News::NoStock | News::Charged | News::TooLate)
            | (
                Self::Cancelling,
                News::Reserved
                | News::NoStock
                | News::Charged
                | News::Declined
                | News::StockLost
                | News::CancelAsked
                | News::TooLate,
            )
            | (Self::Cancelled, _) => return Ok(None),
            (Self::Placed, News::Charged | News::Declined | News::Undone | News::StockLost)
            | (Self::Reserved, News::Undone | News::StockLost)
            | (Self::Paid, News::Declined | News::Undone) => return Err(Forbidden { state: self, news }),
        };
        Ok(Some(Move { to, event }))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is none of a state's or a way to pay.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not known")]
pub struct UnknownName(String);

impl UnknownName {
    pub(super) fn new(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl FromStr for State {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|state| state.name() == name).ok_or_else(|| UnknownName::new(name))
    }
}

impl PaidBy {
    /// Its name in the database and in settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Event => "event",
        }
    }
}

impl FromStr for PaidBy {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        match name {
            "rest" => Ok(Self::Rest),
            "event" => Ok(Self::Event),
            other => Err(UnknownName::new(other)),
        }
    }
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reserved => "reserved",
            Self::NoStock => "out of stock",
            Self::Charged => "charged",
            Self::Declined => "declined",
            Self::Undone => "paid back",
            Self::StockLost => "without its stock",
            Self::CancelAsked => "cancelled",
            Self::TooLate => "too late",
        })
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
