//! What a payment may become: (what is known of an order's payment, what is asked) → what to do.
//!
//! An order is charged once, paid back once, and an answer once given stays: a declined order is
//! never charged later, and one that was cancelled before it was charged never is.

use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;
use utoipa::ToSchema;

/// How the payment of an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The money is here.
    Charged,
    /// It was asked for and will never be.
    Declined,
    /// It never was, and never will be.
    Voided,
    /// It was here and was paid back.
    Refunded,
}

/// What is known of the payment of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// How it stands.
    pub state: State,
    /// What it was about, in cents; 0 if it was voided before anybody asked for money.
    pub amount_cents: i64,
}

/// What to do about a charge that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnCharge {
    /// Take the money.
    Charge,
    /// Say no, for good.
    Decline(WhyNot),
    /// Nothing: it was charged before.
    Replay,
    /// Nothing: it was declined before.
    StillDeclined,
    /// Refuse: the order is cancelled.
    Undone(State),
    /// Refuse: it was about another amount.
    OtherAmount(i64),
}

/// Why a charge is declined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WhyNot {
    /// More than is ever charged.
    #[error("more than is charged at once")]
    TooMuch,
    /// Mischief.
    #[error("the card was declined")]
    Told,
}

/// What to do about an order whose payment is to be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUndo {
    /// See to it that it is never charged.
    Void,
    /// Pay back what was charged.
    Refund(i64),
    /// Nothing: it was undone before, and this is how.
    Before(State),
}

/// How charges are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judge {
    /// The most that is charged at once, in cents.
    pub charge_max: i64,
    /// Whether to decline whatever is asked.
    pub declines: bool,
}

impl Judge {
    /// Decides about a charge of `amount_cents`.
    #[must_use]
    pub fn charge(self, known: Option<Known>, amount_cents: i64) -> OnCharge {
        match known {
            None if self.declines => OnCharge::Decline(WhyNot::Told),
            None if amount_cents > self.charge_max => OnCharge::Decline(WhyNot::TooMuch),
            None => OnCharge::Charge,
            Some(Known { state: state @ (State::Voided | State::Refunded), .. }) => OnCharge::Undone(state),
            Some(known) if known.amount_cents != amount_cents => OnCharge::OtherAmount(known.amount_cents),
            Some(Known { state: State::Charged, .. }) => OnCharge::Replay,
            Some(Known { state: State::Declined, .. }) => OnCharge::StillDeclined,
        }
    }
}

/// Decides about undoing the payment of an order.
#[must_use]
pub fn undo(known: Option<Known>) -> OnUndo {
    match known {
        None | Some(Known { state: State::Declined, .. }) => OnUndo::Void,
        Some(Known { state: State::Charged, amount_cents }) => OnUndo::Refund(amount_cents),
        Some(Known { state: state @ (State::Voided | State::Refunded), .. }) => OnUndo::Before(state),
    }
}

/// A name that is none of a state's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a payment is never {0:?}")]
pub struct UnknownState(String);

impl State {
    const ALL: [Self; 4] = [Self::Charged, Self::Declined, Self::Voided, Self::Refunded];

    /// Its name in the database and in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Charged => "charged",
            Self::Declined => "declined",
            Self::Voided => "voided",
            Self::Refunded => "refunded",
        }
    }
}

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(name: &str) -> Result<Self, UnknownState> {
        Self::ALL.into_iter().find(|state| state.name() == name).ok_or_else(|| UnknownState(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const JUDGE: Judge = Judge { charge_max: 1_000, declines: false };

    fn known(state: State, amount_cents: i64) -> Option<Known> {
        Some(Known { state, amount_cents })
    }

    #[test]
    fn an_order_is_charged_once_and_never_another_amount() {
        assert_eq!(JUDGE.charge(None, 500), OnCharge::Charge);
        assert_eq!(JUDGE.charge(known(State::Charged, 500), 500), OnCharge::Replay);
        assert_eq!(JUDGE.charge(known(State::Charged, 500), 501), OnCharge::OtherAmount(500));
    }

    #[test]
    fn a_decline_is_for_good() {
        assert_eq!(JUDGE.charge(None, 1_001), OnCharge::Decline(WhyNot::TooMuch));
        let told = Judge { declines: true, ..JUDGE };
        assert_eq!(told.charge(None, 5), OnCharge::Decline(WhyNot::Told));
        assert_eq!(JUDGE.charge(known(State::Declined, 5), 5), OnCharge::StillDeclined);
        assert_eq!(told.charge(known(State::Charged, 5), 5), OnCharge::Replay);
    }

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for state in State::ALL {
            assert_eq!(state.name().parse(), Ok(state));
            assert_eq!(serde_json::json!(state), serde_json::json!(state.name()));
        }
    }

    proptest! {
        /// However charges and undoings follow on each other, money is taken at most once, paid back at
        /// most once, and after an undoing nothing is left.
        #[test]
        fn money_is_taken_once_and_paid_back_once(
            asked in prop::collection::vec((any::<bool>(), 1..2_000_i64, any::<bool>()), 0..20)
        ) {
            let (mut kept, mut is_undone, mut n_taken, mut balance) = (None, false, 0, 0);
            for (is_charge, amount, declines) in asked {
                if is_charge {
                    match (Judge { declines, ..JUDGE }).charge(kept, amount) {
                        OnCharge::Charge => {
                            prop_assert!(!is_undone);
                            (n_taken, balance) = (n_taken + 1, balance + amount);
                            kept = known(State::Charged, amount);
                        }
                        OnCharge::Decline(_) => kept = known(State::Declined, amount),
                        OnCharge::Replay | OnCharge::StillDeclined | OnCharge::Undone(_) | OnCharge::OtherAmount(_) => {}
                    }
                } else {
                    match undo(kept) {
                        OnUndo::Void => kept = known(State::Voided, kept.map_or(0, |kept: Known| kept.amount_cents)),
                        OnUndo::Refund(amount) => {
                            balance -= amount;
                            kept = known(State::Refunded, amount);
                        }
                        OnUndo::Before(state) => prop_assert_eq!(Some(state), kept.map(|kept| kept.state)),
                    }
                    is_undone = true;
                }
                prop_assert!(n_taken <= 1 && balance >= 0);
                prop_assert!(!is_undone || balance == 0);
            }
        }
    }
}
