//! The moves of an order, and that any road of news keeps money and stock right.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const NEWS: [News; 8] = [
    News::Reserved,
    News::NoStock,
    News::Charged,
    News::Declined,
    News::Undone,
    News::StockLost,
    News::CancelAsked,
    News::TooLate,
];

fn moved(state: State, news: News, by: PaidBy) -> (State, Option<&'static str>) {
    let made = state.hear(news, by).unwrap().unwrap();
    (made.to, made.event)
}

#[test]
fn an_order_is_reserved_then_paid() {
    for (by, created) in [(PaidBy::Rest, None), (PaidBy::Event, Some(kind::ORDER_CREATED))] {
        assert_eq!(moved(State::Placed, News::Reserved, by), (State::Reserved, created));
        assert_eq!(moved(State::Reserved, News::Charged, by), (State::Paid, Some(kind::ORDER_PAID)));
    }
}

#[test]
fn only_what_might_be_charged_is_cancelled_by_way_of_cancelling() {
    let cancelled = (State::Cancelled, Some(kind::ORDER_CANCELLED));
    assert_eq!(moved(State::Placed, News::CancelAsked, PaidBy::Rest), cancelled);
    assert_eq!(moved(State::Placed, News::NoStock, PaidBy::Rest), cancelled);
    assert_eq!(moved(State::Reserved, News::Declined, PaidBy::Rest), cancelled);
    for state in [State::Reserved, State::Paid] {
        let to_undo = (State::Cancelling, Some(kind::ORDER_CANCEL_REQUESTED));
        assert_eq!(moved(state, News::CancelAsked, PaidBy::Event), to_undo);
        assert_eq!(moved(state, News::CancelAsked, PaidBy::Rest), (State::Cancelling, None));
    }
    assert_eq!(moved(State::Cancelling, News::Undone, PaidBy::Rest), cancelled);
}

#[test]
fn a_name_is_read_as_it_is_written() {
    for state in State::ALL {
        assert_eq!(state.name().parse(), Ok(state));
        assert_eq!(serde_json::json!(state), serde_json::json!(state.name()));
    }
    for by in [PaidBy::Rest, PaidBy::Event] {
        assert_eq!(by.name().parse(), Ok(by));
    }
    assert!("PAID".parse::<State>().is_err());
}

/// The world around one order, as the other services keep it: each answers a question once and for all.
#[derive(Debug, Default)]
struct World {
    state: Option<State>,
    is_held: bool,
    is_tombstoned: bool,
    is_sold: bool,
    charge: Charge,
    /// What was asked and has been answered, but not heard yet: late news.
    on_the_way: Vec<News>,
    /// What the payment service has published: heard in the order in which it happened.
    payment_says: VecDeque<News>,
    published: Vec<&'static str>,
    n_consumed: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Charge {
    #[default]
    Never,
    Charged,
    Declined,
    Voided,
    Refunded,
}

/// One thing that may happen next.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Somebody drives the order: a partner is asked, and its answer is on the way.
    Drive {
        partner_says_no: bool,
    },
    /// News on the way arrives, from any position: drivers overtake each other.
    Arrive {
        which: prop::sample::Index,
    },
    /// The next event is consumed by whom it is for.
    Consume,
    /// The next event of the payment service is consumed.
    PaymentSays,
    CancelAsked,
    TooLate,
    /// The reservation expires at the product service; the pieces are sold to others.
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<bool>().prop_map(|partner_says_no| Step::Drive { partner_says_no }),
        5 => any::<prop::sample::Index>().prop_map(|which| Step::Arrive { which }),
        4 => Just(Step::Consume),
        3 => Just(Step::PaymentSays),
        1 => Just(Step::CancelAsked),
        1 => Just(Step::TooLate),
        1 => Just(Step::Expire),
    ]
}

impl World {
    fn state(&self) -> State {
        self.state.unwrap_or(State::Placed)
    }

    fn hear(&mut self, news: News, by: PaidBy) {
        if let Some(made) = self.state().hear(news, by).unwrap() {
            self.state = Some(made.to);
            self.published.extend(made.event);
        }
    }

    fn charge(&mut self, says_no: bool) -> Option<News> {
        if self.charge == Charge::Never {
            self.charge = if says_no { Charge::Declined } else { Charge::Charged };
        }
        match self.charge {
            Charge::Charged => Some(News::Charged),
            Charge::Declined => Some(News::Declined),
            // The order is being cancelled: nothing to hear but the undoing.
            Charge::Never | Charge::Voided | Charge::Refunded => None,
        }
    }

    fn undo(&mut self) -> News {
        self.charge = match self.charge {
            Charge::Never | Charge::Declined | Charge::Voided => Charge::Voided,
            Charge::Charged | Charge::Refunded => Charge::Refunded,
        };
        News::Undone
    }

    fn drive(&mut self, says_no: bool, by: PaidBy) {
        let answer = match self.state().task(by) {
            Task::Reserve if self.is_tombstoned || (says_no && !self.is_held) => Some(News::NoStock),
            Task::Reserve => {
                self.is_held = true;
                Some(News::Reserved)
            }
            Task::Charge => self.charge(says_no),
            Task::Undo => Some(self.undo()),
            Task::Wait | Task::Rest => None,
        };
        self.on_the_way.extend(answer);
    }

    fn consume(&mut self) {
        let Some(event) = self.published.get(self.n_consumed) else { return };
        self.n_consumed += 1;
        match *event {
            kind::ORDER_CREATED => {
                let answer = self.charge(false);
                self.payment_says.extend(answer);
            }
            kind::ORDER_CANCEL_REQUESTED => {
                let answer = self.undo();
                self.payment_says.push_back(answer);
            }
            kind::ORDER_PAID if self.is_held => (self.is_held, self.is_sold) = (false, true),
            kind::ORDER_PAID => self.on_the_way.push(News::StockLost),
            kind::ORDER_CANCELLED => {
                (self.is_held, self.is_sold, self.is_tombstoned) = (false, false, true);
            }
            other => panic!("{other} is not for anybody"),
        }
    }

    fn payment_says(&mut self, by: PaidBy) {
        if let Some(news) = self.payment_says.pop_front() {
            self.hear(news, by);
        }
    }

    fn take(&mut self, step: Step, by: PaidBy) {
        match step {
            Step::Drive { partner_says_no } => self.drive(partner_says_no, by),
            Step::Arrive { which } if !self.on_the_way.is_empty() => {
                let news = self.on_the_way.remove(which.index(self.on_the_way.len()));
                self.hear(news, by);
            }
            Step::Arrive { .. } => {}
            Step::Consume => self.consume(),
            Step::PaymentSays => self.payment_says(by),
            Step::CancelAsked => self.hear(News::CancelAsked, by),
            Step::TooLate => self.hear(News::TooLate, by),
            Step::Expire => self.is_held = false,
        }
    }

    /// Everybody does what is left to be done.
    fn settle(&mut self, by: PaidBy) {
        for _ in 0..64 {
            self.drive(false, by);
            while let Some(news) = self.on_the_way.pop() {
                self.hear(news, by);
            }
            while self.n_consumed < self.published.len() {
                self.consume();
            }
            while !self.payment_says.is_empty() {
                self.payment_says(by);
            }
        }
    }
}

proptest! {
    /// Whatever happens in whatever order, no news is ever forbidden, and in the end the order is
    /// final, charged if and only if it is paid, and its pieces sold if and only if it is paid.
    #[test]
    fn in_the_end_money_and_stock_agree_with_the_order(
        steps in prop::collection::vec(step(), 0..40),
        by in prop_oneof![Just(PaidBy::Rest), Just(PaidBy::Event)],
    ) {
        let mut world = World::default();
        for step in steps {
            world.take(step, by);
        }
        world.settle(by);
        prop_assert!(world.state().is_final(), "{world:?}");
        let is_paid = world.state() == State::Paid;
        prop_assert_eq!(world.charge == Charge::Charged, is_paid, "{:?}", world);
        prop_assert_eq!(world.is_sold, is_paid, "{:?}", world);
        prop_assert!(!world.is_held, "{world:?}");
    }

    /// Saying the same thing twice is saying it once.
    #[test]
    fn repeated_news_changes_nothing(
        state in prop::sample::select(State::ALL.to_vec()),
        news in prop::sample::select(NEWS.to_vec()),
        by in prop_oneof![Just(PaidBy::Rest), Just(PaidBy::Event)],
    ) {
        if let Ok(Some(made)) = state.hear(news, by) {
            prop_assert_eq!(made.to.hear(news, by), Ok(None));
            prop_assert_ne!(made.to, state);
        }
    }

    /// A cancelled order stays cancelled, and says so once.
    #[test]
    fn cancelled_is_the_end(news in prop::collection::vec(prop::sample::select(NEWS.to_vec()), 0..12)) {
        for news in news {
            prop_assert_eq!(State::Cancelled.hear(news, PaidBy::Event), Ok(None));
        }
    }
}
