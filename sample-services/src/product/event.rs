//! What an event about an order does to the pieces set aside for it. Decides; moves nothing.

use super::reservations::State;

/// What has happened to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happened {
    /// `order.paid`.
    Paid,
    /// `order.cancelled`.
    Cancelled,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// It is as it should be.
    Nothing,
    /// The held pieces are sold.
    Sell,
    /// The pieces went back before the payment came: sell them if there are enough left, else they are lost.
    SellAgain,
    /// Nothing was ever set aside: the order cannot be filled.
    Lose,
    /// The pieces go back into the stock.
    GiveBack,
    /// The pieces are back already; the reservation is over for good.
    Close,
    /// The order is unknown here. It is noted, so that a reservation that comes late is refused.
    Remember,
}

/// What `happened` does to an order whose reservation is in this state, if it has one.
pub(super) const fn decide(happened: Happened, state: Option<State>) -> Move {
    match (happened, state) {
        (Happened::Paid, Some(State::Held)) => Move::Sell,
        (Happened::Paid, Some(State::Sold)) => Move::Nothing,
        (Happened::Paid, Some(State::Expired | State::Released)) => Move::SellAgain,
        (Happened::Paid, None) => Move::Lose,
        (Happened::Cancelled, Some(State::Held | State::Sold)) => Move::GiveBack,
        (Happened::Cancelled, Some(State::Expired)) => Move::Close,
        (Happened::Cancelled, Some(State::Released)) => Move::Nothing,
        (Happened::Cancelled, None) => Move::Remember,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_twice_moves_pieces_once() {
        assert_eq!(decide(Happened::Paid, Some(State::Held)), Move::Sell);
        assert_eq!(decide(Happened::Paid, Some(State::Sold)), Move::Nothing);
        assert_eq!(decide(Happened::Cancelled, Some(State::Sold)), Move::GiveBack);
        assert_eq!(decide(Happened::Cancelled, Some(State::Held)), Move::GiveBack);
        assert_eq!(decide(Happened::Cancelled, Some(State::Released)), Move::Nothing);
    }

    #[test]
    fn a_payment_that_comes_late_takes_the_pieces_again_or_says_they_are_lost() {
        assert_eq!(decide(Happened::Paid, Some(State::Expired)), Move::SellAgain);
        assert_eq!(decide(Happened::Paid, Some(State::Released)), Move::SellAgain);
        assert_eq!(decide(Happened::Paid, None), Move::Lose);
    }

    #[test]
    fn an_order_that_is_cancelled_reserves_no_more() {
        assert_eq!(decide(Happened::Cancelled, Some(State::Expired)), Move::Close);
        assert_eq!(decide(Happened::Cancelled, None), Move::Remember);
    }
}
